// The contract between net and tcp. Up: parsed packets and ICMP errors, given to tcp::Stack. Down: IpOutput, which a
// network layer implements (and the simulator of tests/sim, which links two stacks without one).
//
// Nobody here blocks, and nothing is promised: a segment that cannot be sent now is lost, and TCP sends it again.
#pragma once

#include <array>
#include <bit>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/buffer.h"
#include "base/units.h"
#include "dataplane/net/tx.h"

namespace penstock::dataplane::net {

// An IPv6 address, or an IPv4 address mapped into one (::ffff:a.b.c.d, RFC 4291 2.5.5.2). Network order.
struct IpAddress {
  std::array<std::byte, 16> bytes{};

  static constexpr IpAddress v4(uint32_t host_order) {
    IpAddress a;
    a.bytes[10] = a.bytes[11] = std::byte{0xff};
    for (size_t i = 0; i < 4; ++i) a.bytes[12 + i] = static_cast<std::byte>(host_order >> (24 - 8 * i));
    return a;
  }
  constexpr bool is_v4() const {
    for (size_t i = 0; i < 10; ++i) {
      if (bytes[i] != std::byte{0}) return false;
    }
    return bytes[10] == std::byte{0xff} && bytes[11] == std::byte{0xff};
  }
  // The four bytes of a mapped IPv4 address as a number.
  constexpr uint32_t v4_value() const {
    uint32_t v = 0;
    for (size_t i = 12; i < 16; ++i) v = v << 8 | std::to_integer<uint32_t>(bytes[i]);
    return v;
  }
  constexpr bool is_unspecified() const {
    for (size_t i = 0; i < 16; ++i) {
      if (bytes[i] != std::byte{0} && !(is_v4() && (i == 10 || i == 11))) return false;
    }
    return true;
  }
  friend constexpr auto operator<=>(const IpAddress&, const IpAddress&) = default;
};

// A TCP segment that came for one of our addresses. The IP header was validated and is gone; source is a unicast
// address (net has dropped multicast, broadcast and unspecified sources: RFC 1122 3.2.1.3).
struct TcpPacket {
  IpAddress source;
  IpAddress destination;
  Buffer segment;      // from the TCP header on, trimmed to the length that the IP header says; any length from 0 on
  Nanos at;            // when its burst was received
  bool checksum_good;  // the device has verified the TCP checksum; false: nobody has, tcp does it
};

// An ICMP or ICMPv6 error about a TCP segment of ours. quoted_* is what the error quotes of that segment; net has
// checked that the quote is long enough (8 bytes of TCP header) and that its source address is ours.
struct IcmpError {
  enum class Kind : uint8_t {
    kPacketTooBig,  // fragmentation needed (RFC 1191), packet too big (RFC 8201): mtu is set
    kUnreachable,   // any other destination unreachable
    kTimeExceeded,
    kParameterProblem,
  };
  Kind kind;
  IpAddress source;       // of the quoted segment: ours
  IpAddress destination;  // of the quoted segment: the peer's
  uint16_t source_port;
  uint16_t destination_port;
  uint32_t sequence;  // of the quoted segment
  uint32_t mtu;       // kPacketTooBig: next hop's MTU, 0 if the router did not say
};

// Seam: where segments go.
class IpOutput {
 public:
  // Sends one TCP segment: tcp_header (20 to 60 bytes, copied; its checksum field is 0 and is filled in by net, by the
  // device or in software) and then the pieces. Header and pieces fit in mtu(destination) with the IP header before
  // them; pieces.size() <= kTxPiecesMax. With segment_bytes > 0 they are several segments, of so many bytes each and a
  // rest, at most tso_bytes() in all, with an owner; header and segment_bytes fit then. FIN and PSH are the last one's.
  //
  // owner == nullptr: pieces may be forgotten when this returns, so they are copied. Otherwise they stay valid until
  // owner->release(token), which is called exactly once, also when this returns false.
  // False: the segment was not queued (ring full, no mbuf, no room at an unresolved neighbour); counted there.
  virtual bool send(const IpAddress& source, const IpAddress& destination, std::span<const std::byte> tcp_header,
                    std::span<const TxPiece> pieces, TxOwner* owner, uint64_t token, uint32_t segment_bytes = 0) = 0;
  // Of several segments in one send; 0: one at a time. What cannot be taken so now may be taken one at a time.
  virtual size_t tso_bytes() const { return 0; }
  // Bytes of the largest IP packet towards destination, its IP header included: the device's MTU. What routers on the
  // way allow is tcp's to remember (IcmpError).
  virtual size_t mtu(const IpAddress& destination) const = 0;
  // Can refer to memory that stays where it is (owner != nullptr) without copying it. If not, tcp lends nothing.
  virtual bool takes_references() const = 0;
  // And to this memory, which is not of the device's own.
  virtual bool refers_to(std::span<const std::byte> memory) const = 0;
  // Forward progress was made with destination: its neighbour is reachable (RFC 4861 7.3.1). Cheap, called often.
  virtual void confirm(const IpAddress& destination) = 0;

 protected:
  ~IpOutput() = default;
};

}  // namespace penstock::dataplane::net
