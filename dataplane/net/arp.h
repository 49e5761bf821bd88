// ARP over Ethernet for IPv4 (RFC 826): the one shape of it that exists in practice.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "dataplane/net/ethernet.h"
#include "dataplane/net/ip.h"

namespace penstock::dataplane::net {

inline constexpr size_t kArpBytes = 28;

enum class ArpOperation : uint16_t { kRequest = 1, kReply = 2 };

struct ArpMessage {
  ArpOperation operation;
  MacAddress sender_mac;
  IpAddress sender;  // 0.0.0.0: a probe whether target is taken (RFC 5227)
  MacAddress target_mac;
  IpAddress target;
};

namespace arp_detail {
inline constexpr uint64_t kFixed = 0x0001'0800'0604'0000;  // Ethernet, IPv4, their address lengths
inline IpAddress v4_at(const std::byte* at) { return IpAddress::v4(load_be<uint32_t>(at)); }
}  // namespace arp_detail

// Nothing: too short, another hardware or protocol, or another operation.
inline std::optional<ArpMessage> parse_arp(std::span<const std::byte> bytes) {
  if (bytes.size() < kArpBytes) return std::nullopt;
  const std::byte* at = bytes.data();
  if ((load_be<uint64_t>(at) & ~uint64_t{0xffff}) != arp_detail::kFixed) return std::nullopt;
  const auto operation = load_be<uint16_t>(at + 6);
  if (operation != 1 && operation != 2) return std::nullopt;
  return ArpMessage{.operation = static_cast<ArpOperation>(operation),
                    .sender_mac = MacAddress::at(at + 8),
                    .sender = arp_detail::v4_at(at + 14),
                    .target_mac = MacAddress::at(at + 18),
                    .target = arp_detail::v4_at(at + 24)};
}

// Writes kArpBytes.
inline void write_arp(std::byte* out, const ArpMessage& message) {
  store_be(out, arp_detail::kFixed | static_cast<uint16_t>(message.operation));
  std::memcpy(out + 8, message.sender_mac.bytes.data(), 6);
  store_be(out + 14, message.sender.v4_value());
  std::memcpy(out + 18, message.target_mac.bytes.data(), 6);
  store_be(out + 24, message.target.v4_value());
}

}  // namespace penstock::dataplane::net
