// Neighbour discovery messages in and out.
#include "dataplane/net/nd.h"

#include <cstring>

#include "base/assert.h"
#include "base/bytes.h"
#include "dataplane/net/address.h"
#include "dataplane/net/icmp.h"

namespace penstock::dataplane::net {

namespace {

constexpr size_t kBodyBytes = 24;  // type, code, checksum, flags, target
constexpr unsigned kSourceLinkAddress = 1, kTargetLinkAddress = 2;
constexpr std::byte kSolicitedFlag{0x40};
constexpr std::byte kOverrideFlag{0x20};

// Walks the options; false if one breaks the format.
bool read_options(std::span<const std::byte> options, NdMessage& message) {
  const unsigned wanted = message.is_advertisement ? kTargetLinkAddress : kSourceLinkAddress;
  while (!options.empty()) {
    if (options.size() < 2) return false;
    const size_t bytes = 8 * std::to_integer<size_t>(options[1]);
    if (bytes == 0 || bytes > options.size()) return false;
    if (std::to_integer<unsigned>(options[0]) == wanted) message.link_address = MacAddress::at(options.data() + 2);
    options = options.subspan(bytes);
  }
  return true;
}

}  // namespace

std::optional<NdMessage> parse_nd(std::span<const std::byte> message, const IpHeader& ip) {
  if (message.size() < kBodyBytes || ip.hop_limit != kNdHopLimit || message[1] != std::byte{0}) return std::nullopt;
  NdMessage nd{.is_advertisement = message[0] == std::byte{icmp6::kNeighbourAdvertisement},
               .solicited = (message[4] & kSolicitedFlag) != std::byte{0},
               .override_cache = (message[4] & kOverrideFlag) != std::byte{0}};
  std::memcpy(nd.target.bytes.data(), message.data() + 8, nd.target.bytes.size());
  if (is_multicast(nd.target) || nd.target.is_v4()) return std::nullopt;
  if (!read_options(message.subspan(kBodyBytes), nd)) return std::nullopt;
  if (nd.is_advertisement) return nd.solicited && is_multicast(ip.destination) ? std::nullopt : std::optional(nd);
  // Whoever looks whether an address is taken has none yet, and asks the group.
  if (ip.source.is_unspecified() && (nd.link_address || !is_multicast(ip.destination))) return std::nullopt;
  return nd;
}

void write_nd(std::byte* out, const IpAddress& source, const IpAddress& destination, const NdMessage& message) {
  CHECK(message.link_address.has_value());
  std::memset(out, 0, kNdBytes);
  out[0] = std::byte{message.is_advertisement ? icmp6::kNeighbourAdvertisement : icmp6::kNeighbourSolicitation};
  if (message.solicited) out[4] |= kSolicitedFlag;
  if (message.override_cache) out[4] |= kOverrideFlag;
  std::memcpy(out + 8, message.target.bytes.data(), message.target.bytes.size());
  out[kBodyBytes] = static_cast<std::byte>(message.is_advertisement ? kTargetLinkAddress : kSourceLinkAddress);
  out[kBodyBytes + 1] = std::byte{1};
  std::memcpy(out + kBodyBytes + 2, message.link_address->bytes.data(), message.link_address->bytes.size());
  ChecksumSum sum = icmp_sum_start(source, destination, kNdBytes);
  sum.add(std::span(out, kNdBytes));
  store_be(out + 2, sum.finish());
}

}  // namespace penstock::dataplane::net
