// Ethernet II frames (IEEE 802.3) with at most one VLAN tag (802.1Q).
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "base/bytes.h"

namespace penstock::dataplane::net {

struct MacAddress {
  std::array<std::byte, 6> bytes{};

  static constexpr MacAddress broadcast() {
    MacAddress mac;
    mac.bytes.fill(std::byte{0xff});
    return mac;
  }
  static MacAddress at(const std::byte* bytes) {
    MacAddress mac;
    std::memcpy(mac.bytes.data(), bytes, mac.bytes.size());
    return mac;
  }
  // Multicast, or broadcast: not one station.
  constexpr bool is_group() const { return (bytes[0] & std::byte{1}) != std::byte{0}; }
  constexpr bool is_zero() const { return *this == MacAddress{}; }
  friend constexpr auto operator<=>(const MacAddress&, const MacAddress&) = default;
};

enum class EtherType : uint16_t { kIpv4 = 0x0800, kArp = 0x0806, kVlan = 0x8100, kIpv6 = 0x86dd };

inline constexpr size_t kEthernetBytes = 14;
inline constexpr size_t kVlanTagBytes = 4;
inline constexpr uint16_t kVlanIdMask = 0x0fff;

struct EthernetHeader {
  MacAddress destination;
  MacAddress source;
  uint16_t vlan = 0;  // 0: no tag, or a priority tag
  uint16_t type = 0;
  size_t bytes = kEthernetBytes;  // of the header with its tag
};

// The header of a frame, or nothing if the frame is too short for it.
inline std::optional<EthernetHeader> parse_ethernet(std::span<const std::byte> frame) {
  if (frame.size() < kEthernetBytes) return std::nullopt;
  EthernetHeader header{.destination = MacAddress::at(frame.data()),
                        .source = MacAddress::at(frame.data() + 6),
                        .type = load_be<uint16_t>(frame.data() + 12)};
  if (header.type != static_cast<uint16_t>(EtherType::kVlan)) return header;
  if (frame.size() < kEthernetBytes + kVlanTagBytes) return std::nullopt;
  header.vlan = load_be<uint16_t>(frame.data() + 14) & kVlanIdMask;
  header.type = load_be<uint16_t>(frame.data() + 16);
  header.bytes = kEthernetBytes + kVlanTagBytes;
  return header;
}

// Writes a header at out, with a tag unless vlan is 0. Returns its length.
inline size_t write_ethernet(std::byte* out, const MacAddress& destination, const MacAddress& source, uint16_t vlan,
                             EtherType type) {
  std::memcpy(out, destination.bytes.data(), 6);
  std::memcpy(out + 6, source.bytes.data(), 6);
  size_t at = 12;
  if (vlan != 0) {
    store_be(out + at, static_cast<uint16_t>(EtherType::kVlan));
    store_be(out + at + 2, vlan);
    at += kVlanTagBytes;
  }
  store_be(out + at, static_cast<uint16_t>(type));
  return at + 2;
}

}  // namespace penstock::dataplane::net
