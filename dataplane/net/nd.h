// Neighbour discovery (RFC 4861) as far as a host with a static address speaks it: solicitations and advertisements.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "dataplane/net/ethernet.h"
#include "dataplane/net/ip.h"
#include "dataplane/net/ip_header.h"

namespace penstock::dataplane::net {

// A solicitation or an advertisement with one link-layer address option.
inline constexpr size_t kNdBytes = 32;
inline constexpr uint8_t kNdHopLimit = 255;  // so that it has crossed no router

struct NdMessage {
  bool is_advertisement = false;
  bool solicited = false;  // advertisement: an answer
  bool override_cache = false;
  IpAddress target;
  std::optional<MacAddress> link_address;  // solicitation: the source's; advertisement: the target's
};

// message is ICMPv6 from its type on, its checksum verified; ip is its packet's header. Nothing: RFC 4861 7.1 says that
// it is to be dropped.
std::optional<NdMessage> parse_nd(std::span<const std::byte> message, const IpHeader& ip);

// Writes kNdBytes, the checksum in place.
void write_nd(std::byte* out, const IpAddress& source, const IpAddress& destination, const NdMessage& message);

}  // namespace penstock::dataplane::net
