// Packets out: routing, neighbours, headers, checksums.
#include "dataplane/net/network.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "dataplane/net/checksum.h"

namespace penstock::dataplane::net {

Network::Network(Nic& nic, const NetworkConfig& config, NetCounters& counters)
    : nic_(nic),
      config_(config),
      mac_(nic.mac()),
      mtu_(nic.mtu()),
      link_local_(link_local_of(mac_)),
      counters_(counters),
      neighbours_(config.neighbours, config.frames_held, config.hash_seed, counters_) {
  CHECK(!config_.v4 || config_.v4->address.is_v4());
  CHECK(!config_.v6 || !config_.v6->address.is_v4());
  CHECK(config_.vlan < 4095);
}

bool Network::is_ours(const IpAddress& address) const {
  if (address.is_v4()) return config_.v4 && address == config_.v4->address;
  return config_.v6 && (address == config_.v6->address || address == link_local_);
}

bool Network::is_directed_broadcast(const IpAddress& address) const {
  if (!config_.v4 || !address.is_v4() || config_.v4->prefix_bits > 126) return false;  // RFC 3021: /31 has none
  const auto host_bits = static_cast<unsigned>(128 - config_.v4->prefix_bits);
  const uint64_t host_mask = (uint64_t{1} << host_bits) - 1;
  return (address.v4_value() & host_mask) == host_mask && on_link(address);
}

bool Network::on_link(const IpAddress& address) const {
  if (address.is_v4()) return config_.v4 && same_prefix(address, config_.v4->address, config_.v4->prefix_bits);
  if (!config_.v6) return false;
  return is_link_local_v6(address) || same_prefix(address, config_.v6->address, config_.v6->prefix_bits);
}

std::optional<IpAddress> Network::next_hop(const IpAddress& destination) const {
  if (!may_be_source(destination)) return std::nullopt;  // the same addresses are no single other station's
  if (on_link(destination)) return destination;
  return destination.is_v4() ? config_.gateway_v4 : config_.gateway_v6;
}

size_t Network::mtu(const IpAddress&) const { return mtu_; }

void Network::confirm(const IpAddress& destination) {
  if (const auto hop = next_hop(destination)) neighbours_.confirm(*hop, now_);
}

void Network::begin_turn(Nanos now) {
  DCHECK(now >= now_);
  now_ = now;
}

void Network::send_due() {
  neighbours_.poll(now_, [this](const Neighbours::Probe& probe) { send_probe(probe); });
  while (const TxFrame* frame = neighbours_.next_ready()) give_to_device(*frame);
}

std::byte* Network::begin_frame(const MacAddress& destination, EtherType type) {
  const size_t l2 = write_ethernet(scratch_.header.data(), destination, mac_, config_.vlan, type);
  scratch_.header_bytes = scratch_.l2_bytes = static_cast<uint16_t>(l2);
  scratch_.l3_bytes = scratch_.l4_bytes = 0;
  scratch_.is_v4 = scratch_.ip_checksum_by_device = scratch_.tcp_checksum_by_device = false;
  scratch_.segment_bytes = 0;
  scratch_.piece_count = 0;
  scratch_.owner = nullptr;
  return scratch_.header.data() + l2;
}

// A frame that is not taken is lost, as if on the wire; its owner is told here then.
bool Network::give_to_device(const TxFrame& frame) {
  if (nic_.tx_burst(std::span(&frame, 1)) == 1) {
    counters_.add(NetMetric::net_tx_packets);
    return true;
  }
  counters_.add(NetMetric::net_tx_refused);
  if (frame.owner != nullptr) frame.owner->release(frame.owner_token);
  return false;
}

// scratch_ ends with the TCP header, whose checksum field is 0.
void Network::fill_tcp_checksum(const IpAddress& source, const IpAddress& destination, size_t tcp_bytes) {
  ChecksumSum sum = pseudo_header_sum(source, destination, scratch_.segment_bytes > 0 ? 0 : tcp_bytes);
  constexpr size_t kChecksumAt = 16;
  std::byte* tcp = scratch_.header.data() + scratch_.l2_bytes + scratch_.l3_bytes;
  if (nic_.capabilities().tx_tcp_checksum) {
    scratch_.tcp_checksum_by_device = true;
    store_be(tcp + kChecksumAt, static_cast<uint16_t>(~sum.finish()));
    return;
  }
  sum.add(std::span(tcp, scratch_.l4_bytes));
  for (const TxPiece& piece : scratch_.piece_span()) sum.add(piece.bytes);
  store_be(tcp + kChecksumAt, sum.finish());
}

bool Network::send(const IpAddress& source, const IpAddress& destination, std::span<const std::byte> tcp_header,
                   std::span<const TxPiece> pieces, TxOwner* owner, uint64_t token, uint32_t segment_bytes) {
  owner_.check();
  CHECK(tcp_header.size() >= 20 && tcp_header.size() <= 60 && pieces.size() <= kTxPiecesMax);
  const auto refuse = [&](NetMetric why) {
    counters_.add(why);
    if (owner != nullptr) owner->release(token);
    return false;
  };
  const auto hop = next_hop(destination);
  if (!hop || source.is_v4() != destination.is_v4()) return refuse(NetMetric::net_tx_no_route);
  size_t payload = 0;
  for (const TxPiece& piece : pieces) payload += piece.bytes.size();
  const size_t tcp_bytes = tcp_header.size() + payload;
  const bool v4 = destination.is_v4();
  const size_t l3_bytes = v4 ? kIpv4Bytes : kIpv6Bytes;
  CHECK(segment_bytes == 0 || (owner != nullptr && payload <= nic_.capabilities().tso_bytes));
  if (l3_bytes + (segment_bytes > 0 ? tcp_header.size() + segment_bytes : tcp_bytes) > mtu_)
    return refuse(NetMetric::net_tx_too_large);

  const auto mac = neighbours_.resolve(*hop, now_);
  std::byte* at = begin_frame(mac.value_or(MacAddress{}), v4 ? EtherType::kIpv4 : EtherType::kIpv6);
  scratch_.is_v4 = v4;
  scratch_.ip_checksum_by_device = v4 && nic_.capabilities().tx_ip_checksum;
  if (v4) {
    write_ipv4(at, source, destination, IpProtocol::kTcp, tcp_bytes, scratch_.ip_checksum_by_device);
  } else {
    write_ipv6(at, source, destination, IpProtocol::kTcp, tcp_bytes);
  }
  std::memcpy(at + l3_bytes, tcp_header.data(), tcp_header.size());
  scratch_.l3_bytes = static_cast<uint16_t>(l3_bytes);
  scratch_.l4_bytes = static_cast<uint16_t>(tcp_header.size());
  scratch_.header_bytes = static_cast<uint16_t>(scratch_.l2_bytes + l3_bytes + tcp_header.size());
  std::ranges::copy(pieces, scratch_.pieces.begin());
  scratch_.piece_count = static_cast<uint8_t>(pieces.size());
  scratch_.owner = owner;
  scratch_.owner_token = token;
  scratch_.segment_bytes = static_cast<uint16_t>(segment_bytes);
  fill_tcp_checksum(source, destination, tcp_bytes);

  if (mac) return give_to_device(scratch_);
  if (neighbours_.hold(*hop, scratch_)) return true;
  if (owner != nullptr) owner->release(token);
  return false;
}

void Network::send_arp(const MacAddress& ethernet_destination, const ArpMessage& message) {
  write_arp(begin_frame(ethernet_destination, EtherType::kArp), message);
  scratch_.header_bytes = static_cast<uint16_t>(scratch_.header_bytes + kArpBytes);
  give_to_device(scratch_);
}

void Network::send_nd(const MacAddress& ethernet_destination, const IpAddress& source, const IpAddress& destination,
                      const NdMessage& message) {
  std::byte* at = begin_frame(ethernet_destination, EtherType::kIpv6);
  write_ipv6(at, source, destination, IpProtocol::kIcmpV6, kNdBytes, kNdHopLimit);
  write_nd(at + kIpv6Bytes, source, destination, message);
  scratch_.l3_bytes = kIpv6Bytes;
  scratch_.header_bytes = static_cast<uint16_t>(scratch_.header_bytes + kIpv6Bytes + kNdBytes);
  give_to_device(scratch_);
}

void Network::send_probe(const Neighbours::Probe& probe) {
  const bool ask_all = probe.mac.is_zero();
  if (probe.address.is_v4()) {
    if (!config_.v4) return;
    send_arp(ask_all ? MacAddress::broadcast() : probe.mac, {.operation = ArpOperation::kRequest,
                                                             .sender_mac = mac_,
                                                             .sender = config_.v4->address,
                                                             .target_mac = {},
                                                             .target = probe.address});
    return;
  }
  if (!config_.v6) return;
  const IpAddress group = solicited_node_of(probe.address);
  const IpAddress& source = is_link_local_v6(probe.address) ? link_local_ : config_.v6->address;
  send_nd(ask_all ? multicast_mac_of(group) : probe.mac, source, ask_all ? group : probe.address,
          {.target = probe.address, .link_address = mac_});
}

void Network::announce(Nanos now) {
  owner_.check();
  begin_turn(now);
  if (config_.v4) {
    send_arp(MacAddress::broadcast(), {.operation = ArpOperation::kRequest,
                                       .sender_mac = mac_,
                                       .sender = config_.v4->address,
                                       .target_mac = {},
                                       .target = config_.v4->address});
    if (config_.gateway_v4) neighbours_.resolve(*config_.gateway_v4, now);
  }
  if (config_.v6) {
    for (const IpAddress& address : {config_.v6->address, link_local_}) {
      send_nd(multicast_mac_of(kAllNodes), address, kAllNodes,
              {.is_advertisement = true, .override_cache = true, .target = address, .link_address = mac_});
    }
    if (config_.gateway_v6) neighbours_.resolve(*config_.gateway_v6, now);
  }
  send_due();
}

// RFC 1122 3.2.2.6, RFC 4443 4.2: the data as it came. The answer goes to the MAC that asked, so a ping needs no
// neighbour. A request that fits in a frame has an answer that does.
void Network::answer_echo(std::span<const std::byte> request, const EthernetHeader& ethernet, const IpHeader& ip) {
  const bool v4 = ip.destination.is_v4();
  const size_t l3_bytes = v4 ? kIpv4Bytes : kIpv6Bytes;
  if (l3_bytes + request.size() > mtu_) return counters_.add(NetMetric::net_tx_too_large);
  counters_.add(NetMetric::net_rx_icmp_echo);
  std::byte* at = begin_frame(ethernet.source, v4 ? EtherType::kIpv4 : EtherType::kIpv6);
  if (v4) {
    write_ipv4(at, ip.destination, ip.source, IpProtocol::kIcmp, request.size(), false);
  } else {
    write_ipv6(at, ip.destination, ip.source, IpProtocol::kIcmpV6, request.size());
  }
  std::byte* icmp = at + l3_bytes;
  std::memcpy(icmp, request.data(), kIcmpBytes);
  icmp[0] = std::byte{v4 ? icmp4::kEchoReply : icmp6::kEchoReply};
  store_be(icmp + 2, uint16_t{0});
  scratch_.l3_bytes = static_cast<uint16_t>(l3_bytes);
  scratch_.header_bytes = static_cast<uint16_t>(scratch_.header_bytes + l3_bytes + kIcmpBytes);
  if (request.size() > kIcmpBytes) {
    scratch_.pieces[0] = TxPiece{request.subspan(kIcmpBytes)};
    scratch_.piece_count = 1;
  }
  ChecksumSum sum = icmp_sum_start(ip.destination, ip.source, request.size());
  sum.add(std::span(icmp, kIcmpBytes));
  sum.add(request.subspan(kIcmpBytes));
  store_be(icmp + 2, sum.finish());
  give_to_device(scratch_);
}

}  // namespace penstock::dataplane::net
