#include "tests/sim/tcp_wire.h"

#include <algorithm>

namespace penstock::sim {

using namespace dataplane::tcp;

std::string TcpWire::sent(const TcpLink::Packet& packet) {
  const auto s = parse(packet.bytes);
  if (!s) return "malformed segment sent";
  Side& side = sides_[{s->source_port, s->destination_port}];
  const auto payload = std::span(packet.bytes).subspan(s->header_bytes);
  if (s->has(kSyn)) {
    if (side.syn && side.iss == s->seq) {
      if (s->timestamps) side.ts = s->timestamps->value;
      return "";
    }
    const Side old = side;
    side = Side{.syn = true, .iss = s->seq, .end = s->seq + 1};
    // A cookie and a proper answer may both be on their way; the peer settles for one of them.
    if (s->has(kAck)) side.syns = old.syns;
    side.syns.push_back({s->seq, s->window_scale});
    side.scale_offered = s->window_scale.has_value();
    side.scale = s->window_scale.value_or(0);
    side.timestamps = s->timestamps.has_value();
    if (s->timestamps) side.ts = s->timestamps->value;
    // What the peer's SYN has said stays known.
    side.peer_scale = old.peer_scale;
    side.peer_scale_offered = old.peer_scale_offered;
    side.peer_edge = old.peer_edge;
    side.peer_edge_known = old.peer_edge_known && s->has(kAck);
    return payload.empty() ? "" : "data on a SYN";
  }
  if (s->has(kRst) || !side.syn) return "";
  return judge(side, *s, payload);
}

std::string TcpWire::judge(Side& side, const TcpSegment& s, std::span<const std::byte> payload) {
  if (!s.has(kAck)) return "a segment without ACK in an open connection";
  if (side.has_ack && s.ack < side.ack) return "ACK went back";
  if (!side.has_ack) {
    for (const Syn& syn : side.syns) {
      if (syn.iss + 1 != s.seq) continue;
      side.iss = syn.iss;
      side.end = s.seq;
      side.scale_offered = syn.scale.has_value();
      side.scale = syn.scale.value_or(0);
    }
  }
  side.ack = s.ack;
  side.has_ack = true;
  if (s.timestamps) {
    if (ts_before(s.timestamps->value, side.ts)) return "timestamp went back";
    side.ts = s.timestamps->value;
  }
  for (size_t i = 0; i < s.sack_count; ++i) {
    if (s.sacks[i].begin >= s.sacks[i].end) return "empty SACK block";
    // The first may be a duplicate's, below the ACK (RFC 2883).
    if (i > 0 && s.sacks[i].begin <= s.ack) return "SACK block not above the ACK";
  }
  if (std::string wrong = judge_window(side, s); !wrong.empty()) return wrong;
  return judge_data(side, s, payload);
}

std::string TcpWire::judge_window(Side& side, const TcpSegment& s) {
  const uint8_t scale = side.scale_offered && side.peer_scale_offered ? side.scale : 0;
  const SeqNumber edge = s.ack + (static_cast<uint32_t>(s.window) << scale);
  if (side.has_edge && edge + (1u << scale) <= side.edge) return "own right edge moved left";
  side.edge = side.has_edge ? seq_max(side.edge, edge) : edge;
  side.has_edge = true;
  return "";
}

std::string TcpWire::judge_data(Side& side, const TcpSegment& s, std::span<const std::byte> payload) {
  if (payload.empty() && !s.has(kFin)) return "";
  if (s.seq < side.iss + 1) return "data before the beginning";
  const auto at = seq_bytes(side.iss + 1, s.seq);
  if (at > side.stream.size() + (side.fin ? 1 : 0)) return "data left out";
  const SeqNumber end = s.seq + static_cast<uint32_t>(payload.size());
  if (side.fin && end > *side.fin) return "data behind FIN";
  if (s.has(kFin)) {
    if (side.fin && *side.fin != end) return "FIN moved";
    side.fin = end;
  }
  for (size_t i = 0; i < payload.size(); ++i) {
    if (at + i < side.stream.size()) {
      if (side.stream[at + i] != payload[i]) return "other bytes than the first time";
    } else {
      side.stream.push_back(payload[i]);
    }
  }
  if (s.end() > side.end) {
    // New: into the window that is known, or one byte to probe it.
    if (side.peer_edge_known && s.end() > side.peer_edge && s.length() > 1) return "sent beyond the peer's window";
    side.end = s.end();
  }
  return "";
}

void TcpWire::heard(const TcpLink::Packet& packet) {
  const auto s = parse(packet.bytes);
  if (!s || s->has(kRst)) return;
  Side& side = sides_[{s->destination_port, s->source_port}];
  // Of several answers to a SYN the first counts.
  if (s->has(kSyn) && !(s->has(kAck) && side.peer_edge_known)) {
    side.peer_scale_offered = s->window_scale.has_value();
    side.peer_scale = s->window_scale.value_or(0);
  }
  if (!s->has(kAck)) return;
  const uint8_t scale = side.scale_offered && side.peer_scale_offered && !s->has(kSyn) ? side.peer_scale : 0;
  const SeqNumber edge = s->ack + (static_cast<uint32_t>(s->window) << scale);
  side.peer_edge = side.peer_edge_known ? seq_max(side.peer_edge, edge) : edge;
  side.peer_edge_known = true;
}

}  // namespace penstock::sim
