// IP addresses as text, prefixes, and what this host is called. The address itself is in dataplane/net/ip.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "dataplane/net/ethernet.h"
#include "dataplane/net/ip.h"

namespace penstock::dataplane::net {

// "192.0.2.1" or "2001:db8::1"; nothing else (no names, no zones).
std::optional<IpAddress> parse_address(std::string_view text);
std::string to_text(const IpAddress& address);
// "02:00:00:00:00:01".
std::optional<MacAddress> parse_mac(std::string_view text);
std::string to_text(const MacAddress& mac);

// An address of ours with the prefix that is on its link: "192.0.2.1/24".
struct InterfaceAddress {
  IpAddress address;
  uint8_t prefix_bits = 0;  // of the IPv6 form: 96 more than IPv4's
};
std::optional<InterfaceAddress> parse_interface_address(std::string_view text);

bool same_prefix(const IpAddress& a, const IpAddress& b, unsigned prefix_bits);
// ff00::/8 or 224.0.0.0/4.
bool is_multicast(const IpAddress& address);
// 255.255.255.255.
bool is_limited_broadcast(const IpAddress& address);
// ::1 or 127.0.0.0/8.
bool is_loopback(const IpAddress& address);
// fe80::/10.
bool is_link_local_v6(const IpAddress& address);

// fe80::/64 and the EUI-64 made of the MAC (RFC 4291 appendix A).
IpAddress link_local_of(const MacAddress& mac);
// ff02::1:ffXX:XXXX (RFC 4291 2.7.1), and the group MAC of an IPv6 multicast address (RFC 2464 7).
IpAddress solicited_node_of(const IpAddress& address);
MacAddress multicast_mac_of(const IpAddress& group);
inline constexpr IpAddress kAllNodes = [] {
  IpAddress a;
  a.bytes[0] = std::byte{0xff};
  a.bytes[1] = std::byte{0x02};
  a.bytes[15] = std::byte{1};
  return a;
}();

}  // namespace penstock::dataplane::net
