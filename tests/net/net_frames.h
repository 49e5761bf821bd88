// Frames as a peer would send them, made by hand for tests; and a rig of one Network on a simulated wire, whose other
// station is the test.
#pragma once

#include <initializer_list>
#include <string_view>
#include <vector>

#include "base/prng.h"
#include "dataplane/net/network.h"
#include "tests/sim/sim_nic.h"

namespace penstock::net_test {

namespace net = dataplane::net;
using Bytes = std::vector<std::byte>;

inline net::IpAddress ip(std::string_view text) { return *net::parse_address(text); }
inline net::MacAddress mac(std::string_view text) { return *net::parse_mac(text); }

inline const net::MacAddress kOurMac = mac("02:00:00:00:00:01");
inline const net::MacAddress kPeerMac = mac("02:00:00:00:00:02");
inline const net::IpAddress kOurs = ip("10.0.0.1");
inline const net::IpAddress kPeer = ip("10.0.0.2");
inline const net::IpAddress kOurs6 = ip("fd00::1");
inline const net::IpAddress kPeer6 = ip("fd00::2");

inline Bytes joined(std::initializer_list<std::span<const std::byte>> parts) {
  Bytes all;
  for (const auto part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

inline Bytes ethernet(net::EtherType type, std::span<const std::byte> payload, net::MacAddress to = kOurMac,
                      net::MacAddress from = kPeerMac, uint16_t vlan = 0) {
  Bytes header(net::kEthernetBytes + net::kVlanTagBytes);
  header.resize(net::write_ethernet(header.data(), to, from, vlan, type));
  return joined({header, payload});
}

inline Bytes packet(const net::IpAddress& from, const net::IpAddress& to, net::IpProtocol protocol,
                    std::span<const std::byte> payload, uint8_t hop_limit = 64) {
  Bytes header(to.is_v4() ? net::kIpv4Bytes : net::kIpv6Bytes);
  if (to.is_v4()) {
    net::write_ipv4(header.data(), from, to, protocol, payload.size(), false);
  } else {
    net::write_ipv6(header.data(), from, to, protocol, payload.size(), hop_limit);
  }
  return joined({header, payload});
}

inline Bytes ip_frame(const net::IpAddress& from, const net::IpAddress& to, net::IpProtocol protocol,
                      std::span<const std::byte> payload, net::MacAddress to_mac = kOurMac) {
  return ethernet(to.is_v4() ? net::EtherType::kIpv4 : net::EtherType::kIpv6, packet(from, to, protocol, payload),
                  to_mac);
}

inline Bytes icmp(const net::IpAddress& from, const net::IpAddress& to, uint8_t type, uint8_t code, uint32_t word,
                  std::span<const std::byte> body) {
  Bytes message(net::kIcmpBytes);
  message[0] = std::byte{type};
  message[1] = std::byte{code};
  store_be(message.data() + 4, word);
  message.insert(message.end(), body.begin(), body.end());
  net::ChecksumSum sum = net::icmp_sum_start(from, to, message.size());
  sum.add(message);
  store_be(message.data() + 2, sum.finish());
  return message;
}

inline Bytes icmp_frame(const net::IpAddress& from, const net::IpAddress& to, uint8_t type, uint8_t code, uint32_t word,
                        std::span<const std::byte> body) {
  const auto protocol = to.is_v4() ? net::IpProtocol::kIcmp : net::IpProtocol::kIcmpV6;
  return ip_frame(from, to, protocol, icmp(from, to, type, code, word, body));
}

// A TCP header with its checksum.
inline Bytes tcp(const net::IpAddress& from, const net::IpAddress& to, uint16_t from_port, uint16_t to_port,
                 uint8_t flags, std::span<const std::byte> data = {}) {
  Bytes segment(20);
  store_be(segment.data(), from_port);
  store_be(segment.data() + 2, to_port);
  store_be(segment.data() + 4, uint32_t{0x01020304});
  segment[12] = std::byte{0x50};
  segment[13] = std::byte{flags};
  segment.insert(segment.end(), data.begin(), data.end());
  net::ChecksumSum sum = net::pseudo_header_sum(from, to, segment.size());
  sum.add(segment);
  store_be(segment.data() + 16, sum.finish());
  return segment;
}

inline Bytes arp_frame(net::ArpOperation operation, net::MacAddress sender_mac, const net::IpAddress& sender,
                       const net::IpAddress& target, net::MacAddress to = net::MacAddress::broadcast()) {
  Bytes message(net::kArpBytes);
  net::write_arp(message.data(), {operation, sender_mac, sender, {}, target});
  return ethernet(net::EtherType::kArp, message, to, sender_mac);
}

inline Bytes nd_frame(const net::IpAddress& from, const net::IpAddress& to, const net::NdMessage& message,
                      uint8_t hop_limit = 255) {
  Bytes body(net::kNdBytes);
  net::write_nd(body.data(), from, to, message);
  return ethernet(net::EtherType::kIpv6, packet(from, to, net::IpProtocol::kIcmpV6, body, hop_limit),
                  net::is_multicast(to) ? net::multicast_mac_of(to) : kOurMac);
}

inline net::NetworkConfig ordinary_config() {
  return {.v4 = net::parse_interface_address("10.0.0.1/24"),
          .v6 = net::parse_interface_address("fd00::1/64"),
          .gateway_v4 = ip("10.0.0.254"),
          .hash_seed = 7};
}

// One Network; the test plays everybody else.
class NetRig {
 public:
  explicit NetRig(const net::NetworkConfig& config = ordinary_config(), const sim::SimNicOptions& options = {})
      : wire(1, {}), nic(wire, options, 2), network(nic, config, counters) {
    wire.record(true);
  }

  struct Sink {
    std::vector<net::TcpPacket> packets;
    std::vector<net::IcmpError> errors;
    std::vector<net::NeighbourNews> news;
    void on_packet(net::TcpPacket packet) { packets.push_back(std::move(packet)); }
    void on_icmp(const net::IcmpError& error) { errors.push_back(error); }
    void on_neighbour(const net::NeighbourNews& n) { news.push_back(n); }
  };

  // A frame arrives and is dealt with; what we sent meanwhile.
  std::vector<Bytes> receive(Bytes frame) {
    wire.inject(std::move(frame));
    wire.recorded().clear();
    wire.advance_to(wire.now() + 10 * kMicrosecond);
    return turn();
  }
  // One turn of the lcore; what we sent.
  std::vector<Bytes> turn() {
    network.poll(wire.now(), sink);
    network.flush();
    return std::exchange(wire.recorded(), {});
  }
  std::vector<Bytes> turn_after(Nanos wait) {
    wire.advance_to(wire.now() + wait);
    return turn();
  }
  uint64_t count(net::NetMetric metric) const { return network.counters().get(metric); }

  sim::SimWire wire;
  sim::SimNic nic;
  Sink sink;  // before the network: its packets are buffers of the nic
  net::NetCounters counters;
  net::Network network;
};

// Counts what comes back, and in which order.
class Owner final : public net::TxOwner {
 public:
  void release(uint64_t token) override { released.push_back(token); }
  std::vector<uint64_t> released;
};

}  // namespace penstock::net_test
