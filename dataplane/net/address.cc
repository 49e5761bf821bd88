// Text and prefixes of addresses; nothing here is on the data path but the comparisons.
#include "dataplane/net/address.h"

#include <arpa/inet.h>

#include <charconv>
#include <cstdio>

namespace penstock::dataplane::net {

namespace {

constexpr unsigned kMappedBits = 96;

unsigned octet(const IpAddress& address, size_t at) { return std::to_integer<unsigned>(address.bytes[at]); }

std::optional<unsigned> parse_number(std::string_view text, int base) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::optional<IpAddress> parse_address(std::string_view text) {
  const std::string owned(text);
  IpAddress address = IpAddress::v4(0);
  if (inet_pton(AF_INET, owned.c_str(), address.bytes.data() + 12) == 1) return address;
  if (inet_pton(AF_INET6, owned.c_str(), address.bytes.data()) == 1) return address;
  return std::nullopt;
}

std::string to_text(const IpAddress& address) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address.is_v4()) {
    inet_ntop(AF_INET, address.bytes.data() + 12, text, sizeof text);
  } else {
    inet_ntop(AF_INET6, address.bytes.data(), text, sizeof text);
  }
  return text;
}

std::optional<MacAddress> parse_mac(std::string_view text) {
  MacAddress mac;
  if (text.size() != 3 * mac.bytes.size() - 1) return std::nullopt;
  for (size_t i = 0; i < mac.bytes.size(); ++i) {
    if (i > 0 && text[3 * i - 1] != ':') return std::nullopt;
    const auto value = parse_number(text.substr(3 * i, 2), 16);
    if (!value) return std::nullopt;
    mac.bytes[i] = static_cast<std::byte>(*value);
  }
  return mac;
}

std::string to_text(const MacAddress& mac) {
  char text[18] = {};
  char* at = text;
  for (size_t i = 0; i < mac.bytes.size(); ++i) {
    at += std::snprintf(at, 4, i == 0 ? "%02x" : ":%02x", std::to_integer<unsigned>(mac.bytes[i]));
  }
  return text;
}

std::optional<InterfaceAddress> parse_interface_address(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto address = parse_address(text.substr(0, slash));
  const auto bits = parse_number(text.substr(slash + 1), 10);
  if (!address || !bits) return std::nullopt;
  const unsigned before = address->is_v4() ? kMappedBits : 0;
  if (*bits > 128 - before || is_multicast(*address) || address->is_unspecified() || is_loopback(*address)) {
    return std::nullopt;
  }
  return InterfaceAddress{*address, static_cast<uint8_t>(*bits + before)};
}

bool same_prefix(const IpAddress& a, const IpAddress& b, unsigned prefix_bits) {
  const size_t whole = prefix_bits / 8;
  if (std::memcmp(a.bytes.data(), b.bytes.data(), whole) != 0) return false;
  const unsigned rest = prefix_bits % 8;
  return rest == 0 || (octet(a, whole) ^ octet(b, whole)) >> (8 - rest) == 0;
}

bool is_multicast(const IpAddress& address) {
  return address.is_v4() ? (octet(address, 12) & 0xf0) == 0xe0 : octet(address, 0) == 0xff;
}

bool is_limited_broadcast(const IpAddress& address) { return address == IpAddress::v4(0xffff'ffff); }

bool is_loopback(const IpAddress& address) {
  if (address.is_v4()) return octet(address, 12) == 127;
  IpAddress one;
  one.bytes[15] = std::byte{1};
  return address == one;
}

bool is_link_local_v6(const IpAddress& address) {
  return octet(address, 0) == 0xfe && (octet(address, 1) & 0xc0) == 0x80;
}

IpAddress link_local_of(const MacAddress& mac) {
  IpAddress address;
  address.bytes[0] = std::byte{0xfe};
  address.bytes[1] = std::byte{0x80};
  std::memcpy(address.bytes.data() + 8, mac.bytes.data(), 3);
  address.bytes[8] ^= std::byte{0x02};  // the universal/local bit is inverted
  address.bytes[11] = std::byte{0xff};
  address.bytes[12] = std::byte{0xfe};
  std::memcpy(address.bytes.data() + 13, mac.bytes.data() + 3, 3);
  return address;
}

IpAddress solicited_node_of(const IpAddress& address) {
  IpAddress group;
  group.bytes[0] = std::byte{0xff};
  group.bytes[1] = std::byte{0x02};
  group.bytes[11] = std::byte{1};
  group.bytes[12] = std::byte{0xff};
  std::memcpy(group.bytes.data() + 13, address.bytes.data() + 13, 3);
  return group;
}

MacAddress multicast_mac_of(const IpAddress& group) {
  MacAddress mac;
  mac.bytes[0] = mac.bytes[1] = std::byte{0x33};
  std::memcpy(mac.bytes.data() + 2, group.bytes.data() + 12, 4);
  return mac;
}

}  // namespace penstock::dataplane::net
