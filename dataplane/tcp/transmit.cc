// Segments on their way: headers, the window that they announce, answers and resets.
#include "dataplane/tcp/transmit.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "base/assert.h"
#include "dataplane/tcp/output.h"

namespace penstock::dataplane::tcp {
namespace {

// Below this a reference costs more than a copy (DESIGN.md 5).
constexpr size_t kLendFrom = 256;
constexpr Nanos kRetryDelay = 2 * Wheel::kTick;
// Row 8: one answer to segments without data in so long.
constexpr Nanos kReplyInterval = 500 * kMillisecond;
constexpr Nanos kChallengeInterval = 5 * kSecond;
constexpr uint32_t kChallengesMax = 10;

using HeaderBytes = std::array<std::byte, kHeaderBytesMax>;

TcpSegment header_for(const Core& core, const Tcb& t, SeqNumber seq, uint8_t flags) {
  TcpSegment h;
  h.source_port = t.flow.local_port;
  h.destination_port = t.flow.remote_port;
  h.seq = seq;
  h.flags = flags;
  if ((flags & kAck) != 0) h.ack = t.rcv_nxt;
  if (t.timestamps) h.timestamps = Timestamps{timestamp_now(core, t.ts_offset), t.ts_recent};
  return h;
}

// RFC 2018 4, RFC 2883 4: what came twice first, then what came last.
void add_sack_blocks(const Tcb& t, TcpSegment& h) {
  if (!t.sack || (!t.dsack && t.reassembly.empty())) return;
  const size_t room = t.timestamps ? 3 : 4;
  if (t.dsack) h.sacks[h.sack_count++] = *t.dsack;
  h.sack_count +=
      static_cast<uint8_t>(t.reassembly.sack_blocks(std::span(h.sacks).subspan(h.sack_count, room - h.sack_count)));
}

// Everything that has an ACK goes through here: what was owed is paid.
void note_acknowledged(Tcb& t) {
  t.ack_pending = 0;
  t.ack_now = false;
  t.last_ack_sent = t.rcv_nxt;
  t.dsack.reset();
  t.disarm(Timer::kDelayedAck);
}

// segment: of several in one, how long each is; 0: this is one.
bool hand_over(Core& core, const Tcb& t, const TcpSegment& h, const SendQueue::Gathered* payload,
               uint32_t segment = 0) {
  HeaderBytes bytes;
  const size_t n = write_header(h, bytes);
  std::span<const net::TxPiece> pieces;
  net::TxOwner* owner = nullptr;
  uint64_t token = 0;
  if (payload != nullptr) {
    pieces = std::span(payload->pieces).first(payload->count);
    if (payload->bytes >= kLendFrom && core.ip.takes_references()) {
      const auto lent = core.send_memory.lend(std::span(payload->regions).first(payload->count));
      if (!lent) {
        core.counters.add(Metric::tcp_output_refused);
        return false;
      }
      owner = &core.send_memory;
      token = *lent;
    }
  }
  if (!core.ip.send(t.flow.local, t.flow.remote, std::span(bytes).first(n), pieces, owner, token, segment)) {
    core.counters.add(Metric::tcp_output_refused);
    return false;
  }
  core.counters.add(Metric::tcp_segments_sent, segment > 0 ? (payload->bytes + segment - 1) / segment : 1);
  return true;
}

// The owner waits for bytes, and the peer has no room for a whole segment, though it may have it: who sends nothing
// less (RFC 9293 3.8.6.2.1) waits for us.
bool peer_waits(const Tcb& t) {
  if (t.chain.size() >= std::max<size_t>(t.want, 1) || t.rcv_wnd() >= t.segment_max()) return false;
  const SeqNumber edge = t.rcv_consumed + static_cast<uint32_t>(t.receive_limit);
  return seq_bytes(t.rcv_nxt, edge) >= t.segment_max() + t.window_unit() - 1;
}

}  // namespace

uint32_t sack_option_bytes(const Tcb& t) {
  if (!t.sack) return 0;
  const size_t blocks = std::min<size_t>(t.reassembly.range_count() + (t.dsack ? 1 : 0), t.timestamps ? 3 : 4);
  return blocks == 0 ? 0 : static_cast<uint32_t>(4 + 8 * blocks);
}

// Receiver's silly window avoidance (RFC 9293 3.8.6.2.2): the edge moves when it can move by a segment or half the
// buffer, or lets a peer go on that waits for it. A scaled window cannot name each edge. Rounding down would take back
// what was promised, by less than a unit; so it is rounded up (RFC 7323 appendix F), as long as that promises at most a
// unit beyond the buffer. Whatever a header says, what was promised once is taken: rcv_adv never goes back.
uint16_t advertise(Tcb& t) {
  const auto limit = static_cast<uint32_t>(t.receive_limit);
  SeqNumber edge = t.paused ? t.rcv_adv : t.rcv_consumed + limit;
  const bool far = seq_bytes(t.rcv_adv, edge) >= std::min<uint32_t>(limit / 2, t.rcv_mss);
  if (edge < t.rcv_adv || (!far && !peer_waits(t))) edge = t.rcv_adv;
  const uint32_t window = seq_bytes(t.rcv_nxt, edge);
  uint32_t field = std::min(window >> t.rcv_scale, 65535u);
  const SeqNumber up = t.rcv_nxt + ((field + 1) << t.rcv_scale);
  if (t.rcv_nxt + (field << t.rcv_scale) < t.rcv_adv && field < 65535 &&
      up <= t.rcv_consumed + limit + t.window_unit()) {
    ++field;
  }
  t.rcv_adv = seq_max(t.rcv_adv, t.rcv_nxt + (field << t.rcv_scale));
  return static_cast<uint16_t>(field);
}

bool window_update_due(const Tcb& t) {
  // A SYN can offer 64 KiB at most; the rest is told with the first ACK that is due anyway.
  if (!receives(t.state) || t.paused || t.rcv_nxt == t.irs + 1) return false;
  const auto limit = static_cast<uint32_t>(t.receive_limit);
  const uint32_t opened = seq_bytes(t.rcv_adv, t.rcv_consumed + limit);
  // What the field cannot say without scaling opens nothing.
  if (seq_bytes(t.rcv_nxt, t.rcv_adv) >> t.rcv_scale >= 65535) return false;
  return (opened > 0 && opened >= std::min<uint32_t>(2 * t.rcv_mss, limit / 2)) || peer_waits(t);
}

void put_off(Core& core, Tcb& t) {
  if (t.refused_since == kNever) t.refused_since = core.now;
  arm(core, t, Timer::kRetry, core.now + kRetryDelay);
}

uint32_t transmit(Core& core, Tcb& t, SeqNumber seq, uint32_t bytes, uint32_t segment) {
  const SeqNumber data_end = t.queue_end();
  const uint32_t payload = std::min(bytes, seq_bytes(seq, data_end));
  bool fin = payload < bytes;
  DCHECK(!fin || (t.snd_fin && seq + payload == *t.snd_fin && bytes == payload + 1));
  SendQueue::Gathered gathered;
  if (payload > 0) {
    gathered = t.queue.gather(seq_bytes(t.queue_begin(), seq), payload);
    if (gathered.bytes < payload) fin = false;
    // What lies in too many pieces is sent as far as they go.
    if (segment > 0 && gathered.bytes > segment) gathered.shorten(gathered.bytes - gathered.bytes % segment);
  }
  if (gathered.bytes <= segment) segment = 0;
  TcpSegment h = header_for(core, t, seq, kAck | (fin ? kFin : 0));
  if (gathered.bytes > 0 && seq + static_cast<uint32_t>(gathered.bytes) == data_end && !t.more) h.flags |= kPsh;
  h.window = advertise(t);
  if ((segment > 0 ? segment : gathered.bytes) + sack_option_bytes(t) <= t.snd_mss) add_sack_blocks(t, h);
  if (!hand_over(core, t, h, gathered.bytes > 0 ? &gathered : nullptr, segment)) return 0;
  t.refused_since = kNever;
  note_acknowledged(t);
  return static_cast<uint32_t>(gathered.bytes) + fin;
}

uint32_t transmit_new(Core& core, Tcb& t, uint32_t bytes, uint32_t segment) {
  const uint32_t sent = transmit(core, t, t.snd_nxt, bytes, segment);
  if (sent == 0) return 0;
  for (uint32_t left = sent; left > 0;) {
    const uint32_t n = segment > 0 ? std::min(left, segment) : left;
    // If the byte went out before, as a probe, its round trip cannot be told.
    t.board.sent(t.snd_nxt, n, core.now, !std::exchange(t.probe_out, false));
    t.snd_nxt += n;
    left -= n;
  }
  t.last_sent_at = core.now;
  t.persist_backoff = 0;
  if (t.recovery.state == CongestionState::kRecovery) t.recovery.prr_out += sent;
  core.counters.add(Metric::tcp_bytes_sent, sent - (t.fin_sent() ? 1 : 0));
  return sent;
}

void send_syn(Core& core, Tcb& t) {
  const bool answer = t.state == State::kSynReceived;
  TcpSegment h = header_for(core, t, t.iss, answer ? kSyn | kAck : kSyn);
  h.mss = announced_mss(core, t.flow.remote);
  // An answer has what the peer has offered too (RFC 7323 1.3, RFC 2018 2).
  if (answer ? t.scaling : core.options.window_scaling) h.window_scale = t.rcv_scale;
  h.sack_permitted = answer ? t.sack : core.options.sack;
  const bool timestamps = answer ? t.timestamps : core.options.timestamps;
  h.timestamps.reset();
  if (timestamps) h.timestamps = Timestamps{timestamp_now(core, t.ts_offset), t.ts_recent};
  // Never scaled (RFC 7323 2.2).
  const auto window = static_cast<uint32_t>(std::min<size_t>(t.receive_limit, 65535));
  h.window = static_cast<uint16_t>(window);
  if (answer) t.rcv_adv = seq_max(t.rcv_adv, t.rcv_nxt + window);
  if (!hand_over(core, t, h, nullptr)) return;  // the timer sends it again
  if (answer) note_acknowledged(t);
}

bool send_ack(Core& core, Tcb& t) {
  t.ack_now = true;
  TcpSegment h = header_for(core, t, t.snd_nxt, kAck);
  h.window = advertise(t);
  add_sack_blocks(t, h);
  if (!hand_over(core, t, h, nullptr)) {
    put_off(core, t);
    return false;
  }
  t.refused_since = kNever;
  note_acknowledged(t);
  return true;
}

void reply_ack(Core& core, Tcb& t, bool segment_had_data) {
  if (!segment_had_data) {
    if (core.now - t.last_reply_at < kReplyInterval) {
      core.counters.add(Metric::tcp_acks_suppressed);
      return;
    }
    t.last_reply_at = core.now;
  }
  t.ack_now = true;
  make_dirty(core, t);
}

void challenge_ack(Core& core, Tcb& t) {
  if (core.now - t.challenge_since >= kChallengeInterval) {
    t.challenge_since = core.now;
    t.challenges = 0;
  }
  if (t.challenges >= kChallengesMax) {
    core.counters.add(Metric::tcp_acks_suppressed);
    return;
  }
  ++t.challenges;
  core.counters.add(Metric::tcp_challenge_acks);
  t.ack_now = true;
  make_dirty(core, t);
}

void send_keepalive(Core& core, Tcb& t) {
  TcpSegment h = header_for(core, t, t.snd_una - 1, kAck);
  h.window = advertise(t);
  core.counters.add(Metric::tcp_keepalives);
  hand_over(core, t, h, nullptr);  // if it was refused, the next one comes
}

void send_window_probe(Core& core, Tcb& t) {
  core.counters.add(Metric::tcp_window_probes);
  if (transmit(core, t, t.snd_nxt, 1) == 0) {
    put_off(core, t);
    return;
  }
  t.probe_out = true;
}

void send_reset(Core& core, Tcb& t) {
  TcpSegment h = header_for(core, t, t.snd_nxt, kRst | kAck);
  core.counters.add(Metric::tcp_resets_sent);
  hand_over(core, t, h, nullptr);
}

void send_bare(Core& core, const Flow& flow, const TcpSegment& segment) {
  HeaderBytes bytes;
  TcpSegment h = segment;
  h.source_port = flow.local_port;
  h.destination_port = flow.remote_port;
  const size_t n = write_header(h, bytes);
  if (core.ip.send(flow.local, flow.remote, std::span(bytes).first(n), {}, nullptr, 0)) {
    core.counters.add(Metric::tcp_segments_sent);
  } else {
    core.counters.add(Metric::tcp_output_refused);
  }
}

void refuse(Core& core, const Flow& flow, const TcpSegment& segment) {
  if (segment.has(kRst)) return;
  if (core.now - core.resets_since >= kSecond) {
    core.resets_since = core.now;
    core.resets_left = core.options.resets_per_second;
  }
  if (core.resets_left == 0) return;
  --core.resets_left;
  TcpSegment h;
  if (segment.has(kAck)) {
    h.seq = segment.ack;
    h.flags = kRst;
  } else {
    h.ack = segment.end();
    h.flags = kRst | kAck;
  }
  core.counters.add(Metric::tcp_resets_sent);
  send_bare(core, flow, h);
}

}  // namespace penstock::dataplane::tcp
