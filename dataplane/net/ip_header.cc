// IP headers in and out.
#include "dataplane/net/ip_header.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "dataplane/net/checksum.h"

namespace penstock::dataplane::net {

namespace {

constexpr std::unexpected kBadHeader(NetMetric::net_rx_bad_header);

unsigned octet(std::span<const std::byte> bytes, size_t at) { return std::to_integer<unsigned>(bytes[at]); }

IpAddress v6_at(const std::byte* at) {
  IpAddress address;
  std::memcpy(address.bytes.data(), at, address.bytes.size());
  return address;
}

// Version, lengths and addresses; total_bytes is not yet compared with what is there.
ParsedIp fixed_ipv4(std::span<const std::byte> packet) {
  if (packet.size() < kIpv4Bytes || octet(packet, 0) >> 4 != 4) return kBadHeader;
  IpHeader header{.source = IpAddress::v4(load_be<uint32_t>(packet.data() + 12)),
                  .destination = IpAddress::v4(load_be<uint32_t>(packet.data() + 16)),
                  .protocol = static_cast<uint8_t>(octet(packet, 9)),
                  .hop_limit = static_cast<uint8_t>(octet(packet, 8)),
                  .header_bytes = (octet(packet, 0) & 0xf) * size_t{4},
                  .total_bytes = load_be<uint16_t>(packet.data() + 2)};
  if (header.header_bytes < kIpv4Bytes || header.header_bytes > packet.size()) return kBadHeader;
  if (header.total_bytes < header.header_bytes) return kBadHeader;
  return header;
}

ParsedIp fixed_ipv6(std::span<const std::byte> packet) {
  if (packet.size() < kIpv6Bytes || octet(packet, 0) >> 4 != 6) return kBadHeader;
  IpHeader header{.source = v6_at(packet.data() + 8),
                  .destination = v6_at(packet.data() + 24),
                  .protocol = static_cast<uint8_t>(octet(packet, 6)),
                  .hop_limit = static_cast<uint8_t>(octet(packet, 7)),
                  .header_bytes = kIpv6Bytes,
                  .total_bytes = kIpv6Bytes + load_be<uint16_t>(packet.data() + 4)};
  // An IPv4-mapped address is none that may stand in a packet (RFC 4291 2.5.5.2), and here it would be taken for IPv4.
  if (header.source.is_v4() || header.destination.is_v4()) return std::unexpected(NetMetric::net_rx_bad_source);
  return header;
}

enum class Step : uint8_t { kUpperLayer, kAgain, kBad, kFragment };

// Looks at the header at header.header_bytes, which is header.protocol's, and steps over it if it is an extension.
Step step_extension(std::span<const std::byte> packet, IpHeader& header) {
  constexpr unsigned kHopByHop = 0, kRouting = 43, kFragment = 44, kDestinationOptions = 60;
  const unsigned type = header.protocol;
  if (type != kHopByHop && type != kRouting && type != kFragment && type != kDestinationOptions) {
    return Step::kUpperLayer;
  }
  if (type == kHopByHop && header.header_bytes != kIpv6Bytes) return Step::kBad;  // only first (RFC 8200 4.1)
  const auto rest = packet.subspan(header.header_bytes);
  if (rest.size() < 8) return Step::kBad;
  size_t bytes = 8 + 8 * size_t{octet(rest, 1)};
  if (type == kFragment) {
    bytes = 8;
    // An atomic fragment, whole in one piece, is an ordinary packet (RFC 6946).
    if ((load_be<uint16_t>(rest.data() + 2) & 0xfff9) != 0) return Step::kFragment;
  }
  if (type == kRouting && octet(rest, 3) != 0) return Step::kBad;  // segments left: we are not its end (RFC 5095)
  if (bytes > rest.size()) return Step::kBad;
  header.protocol = static_cast<uint8_t>(octet(rest, 0));
  header.header_bytes += bytes;
  return Step::kAgain;
}

ParsedIp skip_extensions(std::span<const std::byte> packet, IpHeader header) {
  constexpr int kExtensionsMax = 8;
  for (int i = 0; i <= kExtensionsMax; ++i) {
    switch (step_extension(packet, header)) {
      case Step::kUpperLayer: return header;
      case Step::kAgain: break;
      case Step::kBad: return kBadHeader;
      case Step::kFragment: return std::unexpected(NetMetric::net_rx_fragments);
    }
  }
  return kBadHeader;
}

}  // namespace

ParsedIp parse_ipv4(std::span<const std::byte> packet, bool checksum_good) {
  const auto header = fixed_ipv4(packet);
  if (!header) return header;
  if (header->total_bytes > packet.size()) return std::unexpected(NetMetric::net_rx_truncated);
  if (!checksum_good) {
    ChecksumSum sum;
    sum.add(packet.first(header->header_bytes));
    if (sum.finish() != 0) return std::unexpected(NetMetric::net_rx_bad_checksum);
  }
  constexpr unsigned kMoreFragmentsAndOffset = 0x3fff;
  if ((load_be<uint16_t>(packet.data() + 6) & kMoreFragmentsAndOffset) != 0) {
    return std::unexpected(NetMetric::net_rx_fragments);
  }
  return header;
}

ParsedIp parse_ipv6(std::span<const std::byte> packet) {
  const auto header = fixed_ipv6(packet);
  if (!header) return header;
  if (header->total_bytes > packet.size()) return std::unexpected(NetMetric::net_rx_truncated);
  return skip_extensions(packet.first(header->total_bytes), *header);
}

ParsedIp parse_quoted(std::span<const std::byte> packet, bool v4) {
  auto header = v4 ? fixed_ipv4(packet) : fixed_ipv6(packet);
  if (!header) return header;
  header->total_bytes = std::min(header->total_bytes, packet.size());
  return v4 ? header : skip_extensions(packet.first(header->total_bytes), *header);
}

void write_ipv4(std::byte* out, const IpAddress& source, const IpAddress& destination, IpProtocol protocol,
                size_t payload_bytes, bool checksum_by_device) {
  constexpr uint16_t kDontFragment = 0x4000;
  store_be(out, uint16_t{0x4500});
  store_be(out + 2, static_cast<uint16_t>(kIpv4Bytes + payload_bytes));
  store_be(out + 4, uint16_t{0});
  store_be(out + 6, kDontFragment);
  out[8] = std::byte{kHopLimit};
  out[9] = static_cast<std::byte>(protocol);
  store_be(out + 10, uint16_t{0});
  store_be(out + 12, source.v4_value());
  store_be(out + 16, destination.v4_value());
  if (checksum_by_device) return;
  ChecksumSum sum;
  sum.add(std::span(out, kIpv4Bytes));
  store_be(out + 10, sum.finish());
}

void write_ipv6(std::byte* out, const IpAddress& source, const IpAddress& destination, IpProtocol protocol,
                size_t payload_bytes, uint8_t hop_limit) {
  store_be(out, uint32_t{0x6000'0000});
  store_be(out + 4, static_cast<uint16_t>(payload_bytes));
  out[6] = static_cast<std::byte>(protocol);
  out[7] = std::byte{hop_limit};
  std::memcpy(out + 8, source.bytes.data(), source.bytes.size());
  std::memcpy(out + 24, destination.bytes.data(), destination.bytes.size());
}

}  // namespace penstock::dataplane::net
