// IPv4 (RFC 791) and IPv6 (RFC 8200) headers: parsed once into a plain struct, bounds checked there and nowhere else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>

#include "dataplane/net/ip.h"
#include "dataplane/net/metrics.h"

namespace penstock::dataplane::net {

inline constexpr size_t kIpv4Bytes = 20;
inline constexpr size_t kIpv6Bytes = 40;
inline constexpr uint8_t kHopLimit = 64;

enum class IpProtocol : uint8_t { kIcmp = 1, kTcp = 6, kIcmpV6 = 58 };

// A packet whose header is in order, is no fragment, and which is there to its end.
struct IpHeader {
  IpAddress source;
  IpAddress destination;
  uint8_t protocol = 0;
  uint8_t hop_limit = 0;
  size_t header_bytes = 0;  // with options and extension headers
  size_t total_bytes = 0;   // what follows it in the frame is padding
};

// The counter of why not, if the packet is to be dropped.
using ParsedIp = std::expected<IpHeader, NetMetric>;

// checksum_good: the device has verified the header's checksum.
ParsedIp parse_ipv4(std::span<const std::byte> packet, bool checksum_good);
// Steps over hop-by-hop, routing and destination options headers, at most eight.
ParsedIp parse_ipv6(std::span<const std::byte> packet);

// The front of the packet that an ICMP error quotes: it may be cut anywhere behind its header, and its checksum is not
// looked at. total_bytes is what was quoted.
ParsedIp parse_quoted(std::span<const std::byte> packet, bool v4);

// Writes kIpv4Bytes: don't fragment (so identification is 0, RFC 6864 4.1). The checksum is 0 if the device fills it
// in.
void write_ipv4(std::byte* out, const IpAddress& source, const IpAddress& destination, IpProtocol protocol,
                size_t payload_bytes, bool checksum_by_device);
// Writes kIpv6Bytes.
void write_ipv6(std::byte* out, const IpAddress& source, const IpAddress& destination, IpProtocol protocol,
                size_t payload_bytes, uint8_t hop_limit = kHopLimit);

}  // namespace penstock::dataplane::net
