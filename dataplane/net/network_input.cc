// Frames in: each layer looks at its header once, counts what it drops, and answers what it can itself.
#include "base/log.h"
#include "dataplane/net/network.h"

namespace penstock::dataplane::net {

std::optional<TcpPacket> Network::input(RxFrame frame) {
  const auto ethernet = parse_ethernet(frame.bytes.bytes());
  if (!ethernet || ethernet->source.is_group()) {
    counters_.add(NetMetric::net_rx_bad_header);
    return std::nullopt;
  }
  if (ethernet->vlan != config_.vlan || (!ethernet->destination.is_group() && ethernet->destination != mac_)) {
    counters_.add(NetMetric::net_rx_not_ours);
    return std::nullopt;
  }
  frame.bytes.drop_front(ethernet->bytes);
  switch (static_cast<EtherType>(ethernet->type)) {
    case EtherType::kIpv4: return input_ip(std::move(frame), *ethernet, true);
    case EtherType::kIpv6: return input_ip(std::move(frame), *ethernet, false);
    case EtherType::kArp: input_arp(frame.bytes.bytes()); return std::nullopt;
    default: counters_.add(NetMetric::net_rx_unknown_type); return std::nullopt;
  }
}

std::optional<TcpPacket> Network::input_ip(RxFrame frame, const EthernetHeader& ethernet, bool v4) {
  const auto packet = frame.bytes.bytes();
  const auto ip = v4 ? parse_ipv4(packet, frame.ip_checksum_good) : parse_ipv6(packet);
  if (!ip) {
    counters_.add(ip.error());
    if (ip.error() == NetMetric::net_rx_truncated && !std::exchange(truncation_told_, true)) {
      LOG_WARN(
          "a received frame is shorter than its IP header says: on a veth, its other end needs `ethtool -K DEVICE tx "
          "off` and this end `gro off`, or a packet socket has put it together from fragments");
    }
    return std::nullopt;
  }
  if (!may_be_source(ip->source) && !(ip->protocol == static_cast<uint8_t>(IpProtocol::kIcmpV6) && !v4)) {
    counters_.add(NetMetric::net_rx_bad_source);
    return std::nullopt;
  }
  const auto protocol = static_cast<IpProtocol>(ip->protocol);
  const auto payload = packet.first(ip->total_bytes).subspan(ip->header_bytes);
  if (protocol == IpProtocol::kIcmpV6 && !v4) {
    input_icmp6(payload, ethernet, *ip);
    return std::nullopt;
  }
  // A segment that all have received is nobody's (RFC 1122 4.2.3.10).
  if (!is_ours(ip->destination) || (protocol == IpProtocol::kTcp && ethernet.destination.is_group())) {
    counters_.add(NetMetric::net_rx_not_ours);
    return std::nullopt;
  }
  if (protocol == IpProtocol::kIcmp && v4) {
    input_icmp4(payload, ethernet, *ip);
    return std::nullopt;
  }
  if (protocol != IpProtocol::kTcp) {
    counters_.add(NetMetric::net_rx_unknown_protocol);
    return std::nullopt;
  }
  counters_.add(NetMetric::net_rx_tcp);
  // The answer to a SYN goes where it came from, without a question; unless we know better.
  constexpr std::byte kSyn{0x02};
  if (payload.size() >= 20 && (payload[13] & kSyn) != std::byte{0} && on_link(ip->source)) {
    neighbours_.learn(ip->source, ethernet.source, How::kSeen, now_);
  }
  frame.bytes.drop_back(frame.bytes.size() - ip->total_bytes);
  frame.bytes.drop_front(ip->header_bytes);
  return TcpPacket{.source = ip->source,
                   .destination = ip->destination,
                   .segment = std::move(frame.bytes),
                   .at = frame.at,
                   .checksum_good = frame.l4_checksum_good};
}

// RFC 1122 3.2.1.3, RFC 4291 2.7: an address that is no single station's, or is ours, sends nothing.
bool Network::may_be_source(const IpAddress& address) const {
  return !address.is_unspecified() && !is_multicast(address) && !is_loopback(address) &&
         !is_limited_broadcast(address) && !is_directed_broadcast(address) && !is_ours(address);
}

void Network::learn(const IpAddress& address, const MacAddress& mac, How how) {
  if (mac.is_group() || mac.is_zero()) return counters_.add(NetMetric::net_rx_bad_header);
  neighbours_.learn(address, mac, how, now_);
  news_ = NeighbourNews{address, mac, how};
}

// RFC 826, with the cases of RFC 5227: who asks with our address has a conflict with us, who asks without one only
// wants to know.
void Network::input_arp(std::span<const std::byte> bytes) {
  counters_.add(NetMetric::net_rx_arp);
  const auto arp = parse_arp(bytes);
  if (!arp || arp->sender_mac.is_group()) {
    counters_.add(NetMetric::net_rx_bad_header);
    return;
  }
  if (!config_.v4) return;
  const bool for_us = arp->target == config_.v4->address;
  if (arp->sender == config_.v4->address) {
    if (arp->sender_mac != mac_) counters_.add(NetMetric::net_address_conflicts);
    return;
  }
  if (may_be_source(arp->sender) && on_link(arp->sender)) {
    if (arp->operation == ArpOperation::kReply && for_us) {
      learn(arp->sender, arp->sender_mac, How::kAnswer);
    } else {
      learn(arp->sender, arp->sender_mac, for_us ? How::kSeen : How::kChanged);
    }
  }
  if (!for_us || arp->operation != ArpOperation::kRequest) return;
  send_arp(arp->sender_mac, {.operation = ArpOperation::kReply,
                             .sender_mac = mac_,
                             .sender = config_.v4->address,
                             .target_mac = arp->sender_mac,
                             .target = arp->sender});
}

void Network::input_error(std::span<const std::byte> message, bool v4) {
  const auto error = parse_icmp_error(message, v4);
  if (!error || !is_ours(error->source)) {
    counters_.add(NetMetric::net_rx_icmp_ignored);
    return;
  }
  counters_.add(NetMetric::net_rx_icmp_errors);
  error_ = *error;
}

void Network::input_icmp4(std::span<const std::byte> message, const EthernetHeader& ethernet, const IpHeader& ip) {
  ChecksumSum sum = icmp_sum_start(ip.source, ip.destination, message.size());
  sum.add(message);
  if (message.size() < kIcmpBytes || sum.finish() != 0) {
    counters_.add(message.size() < kIcmpBytes ? NetMetric::net_rx_bad_header : NetMetric::net_rx_bad_checksum);
    return;
  }
  if (message[0] == std::byte{icmp4::kEchoRequest}) return answer_echo(message, ethernet, ip);
  input_error(message, true);
}

void Network::input_icmp6(std::span<const std::byte> message, const EthernetHeader& ethernet, const IpHeader& ip) {
  ChecksumSum sum = icmp_sum_start(ip.source, ip.destination, message.size());
  sum.add(message);
  if (message.size() < kIcmpBytes || sum.finish() != 0) {
    counters_.add(message.size() < kIcmpBytes ? NetMetric::net_rx_bad_header : NetMetric::net_rx_bad_checksum);
    return;
  }
  const auto type = std::to_integer<uint8_t>(message[0]);
  if (type == icmp6::kNeighbourSolicitation || type == icmp6::kNeighbourAdvertisement) {
    return input_nd(message, ethernet, ip);
  }
  if (!may_be_source(ip.source)) return counters_.add(NetMetric::net_rx_bad_source);
  if (!is_ours(ip.destination)) return counters_.add(NetMetric::net_rx_not_ours);
  if (type == icmp6::kEchoRequest) return answer_echo(message, ethernet, ip);
  input_error(message, false);
}

// RFC 4861 7.2.5. Who was asked by its MAC need not say it again: Linux does not.
void Network::advertised(const NdMessage& nd) {
  if (is_ours(nd.target)) return counters_.add(NetMetric::net_address_conflicts);
  if (!on_link(nd.target)) return;
  if (nd.link_address) return learn(nd.target, *nd.link_address, nd.solicited ? How::kAnswer : How::kChanged);
  if (!nd.solicited) return;
  neighbours_.learn(nd.target, {}, How::kConfirmed, now_);
  news_ = NeighbourNews{nd.target, {}, How::kConfirmed};
}

// RFC 4861 7.2.3 to 7.2.5.
void Network::input_nd(std::span<const std::byte> message, const EthernetHeader& ethernet, const IpHeader& ip) {
  counters_.add(NetMetric::net_rx_nd);
  const auto nd = parse_nd(message, ip);
  if (!nd) return counters_.add(NetMetric::net_rx_bad_header);
  if (nd->is_advertisement) return advertised(*nd);
  if (!is_ours(nd->target)) return counters_.add(NetMetric::net_rx_not_ours);
  const bool asks_for_itself = ip.source.is_unspecified();  // whether its address is taken: it is, all may know
  if (asks_for_itself) {
    counters_.add(NetMetric::net_address_conflicts);
  } else if (!may_be_source(ip.source)) {
    return counters_.add(NetMetric::net_rx_bad_source);
  }
  if (!asks_for_itself && nd->link_address && on_link(ip.source)) learn(ip.source, *nd->link_address, How::kSeen);
  const MacAddress to = asks_for_itself ? multicast_mac_of(kAllNodes) : ethernet.source;
  send_nd(to, nd->target, asks_for_itself ? kAllNodes : ip.source,
          {.is_advertisement = true,
           .solicited = !asks_for_itself,
           .override_cache = true,
           .target = nd->target,
           .link_address = mac_});
}

}  // namespace penstock::dataplane::net
