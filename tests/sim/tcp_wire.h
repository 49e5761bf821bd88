// TcpWire: what must hold of every segment that a stack sends, whatever happens on the way; seen from outside, by the
// bytes alone. One for each direction of a link; sent() is told of each segment as it leaves, delivered() of each that
// reaches the stack at the other side of this direction.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/units.h"
#include "dataplane/tcp/header.h"
#include "tests/sim/tcp_link.h"

namespace penstock::sim {

class TcpWire {
 public:
  // Judges a segment that leaves. Empty, or what is wrong.
  std::string sent(const TcpLink::Packet& packet);
  // A segment of the other direction has reached the sender: what it may know now.
  void heard(const TcpLink::Packet& packet);

 private:
  struct Syn {
    dataplane::tcp::SeqNumber iss;
    std::optional<uint8_t> scale;  // of the windows behind it
  };
  struct Side {
    bool syn = false;
    dataplane::tcp::SeqNumber iss;
    std::vector<Syn> syns;          // all of them
    dataplane::tcp::SeqNumber end;  // behind the highest sent
    std::optional<dataplane::tcp::SeqNumber> fin;
    bool has_ack = false;
    dataplane::tcp::SeqNumber ack;   // highest sent
    dataplane::tcp::SeqNumber edge;  // ack + window of our own headers
    bool has_edge = false;
    uint8_t scale = 0;  // of our own windows
    bool scale_offered = false;
    bool timestamps = false;
    uint32_t ts = 0;
    // What the other side has told.
    bool peer_edge_known = false;
    dataplane::tcp::SeqNumber peer_edge;
    uint8_t peer_scale = 0;
    bool peer_scale_offered = false;
    Bytes stream;  // what was sent at iss + 1 + index
  };
  std::string judge(Side& side, const dataplane::tcp::TcpSegment& s, std::span<const std::byte> payload);
  std::string judge_data(Side& side, const dataplane::tcp::TcpSegment& s, std::span<const std::byte> payload);
  std::string judge_window(Side& side, const dataplane::tcp::TcpSegment& s);

  std::map<std::pair<uint16_t, uint16_t>, Side> sides_;  // by the sender's ports
};

}  // namespace penstock::sim
