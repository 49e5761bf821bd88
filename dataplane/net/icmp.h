// ICMP (RFC 792) and ICMPv6 (RFC 4443) messages: echo, and errors about what we sent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "dataplane/net/checksum.h"
#include "dataplane/net/ip.h"
#include "dataplane/net/ip_header.h"

namespace penstock::dataplane::net {

inline constexpr size_t kIcmpBytes = 8;

namespace icmp4 {
inline constexpr uint8_t kEchoReply = 0, kUnreachable = 3, kEchoRequest = 8, kTimeExceeded = 11, kParameterProblem = 12;
inline constexpr uint8_t kFragmentationNeeded = 4;  // code of kUnreachable
}  // namespace icmp4

namespace icmp6 {
inline constexpr uint8_t kUnreachable = 1, kPacketTooBig = 2, kTimeExceeded = 3, kParameterProblem = 4;
inline constexpr uint8_t kEchoRequest = 128, kEchoReply = 129;
inline constexpr uint8_t kNeighbourSolicitation = 135, kNeighbourAdvertisement = 136;
}  // namespace icmp6

// The sum over a message begins with this: nothing for ICMP, the pseudo header for ICMPv6 (RFC 4443 2.3).
ChecksumSum icmp_sum_start(const IpAddress& source, const IpAddress& destination, size_t message_bytes);

// What an error message (of at least kIcmpBytes) says about a TCP segment that we sent, or nothing: it is no error, it
// quotes too little, or something that is not TCP. Whether the quoted source is ours, the caller looks.
std::optional<IcmpError> parse_icmp_error(std::span<const std::byte> message, bool v4);

}  // namespace penstock::dataplane::net
