// Frames in: ARP, neighbour discovery, what is ours, what is dropped and where that is counted.
#include <gtest/gtest.h>

#include "tests/net/net_frames.h"

namespace penstock::net_test {
namespace {

using net::NetMetric;
using Operation = net::ArpOperation;

net::ArpMessage arp_of(const Bytes& frame) { return *net::parse_arp(std::span(frame).subspan(14)); }

TEST(NetArpInput, AQuestionForUsIsAnsweredToWhoAsked) {
  NetRig rig;
  const auto sent = rig.receive(arp_frame(Operation::kRequest, kPeerMac, kPeer, kOurs));
  ASSERT_EQ(sent.size(), 1u);
  const auto ethernet_header = net::parse_ethernet(sent[0]);
  EXPECT_EQ(ethernet_header->destination, kPeerMac);
  EXPECT_EQ(ethernet_header->source, kOurMac);
  const auto reply = arp_of(sent[0]);
  EXPECT_EQ(reply.operation, Operation::kReply);
  EXPECT_EQ(reply.sender, kOurs);
  EXPECT_EQ(reply.sender_mac, kOurMac);
  EXPECT_EQ(reply.target, kPeer);
  EXPECT_EQ(reply.target_mac, kPeerMac);
  // Who asked is known now: nothing waits.
  EXPECT_TRUE(rig.network.send(kOurs, kPeer, tcp(kOurs, kPeer, 1, 2, 0x10), {}, nullptr, 0));
  EXPECT_EQ(rig.count(NetMetric::net_neighbour_held), 0u);
}

TEST(NetArpInput, OthersQuestionsAndProbesAndConflicts) {
  NetRig rig;
  EXPECT_TRUE(rig.receive(arp_frame(Operation::kRequest, kPeerMac, kPeer, ip("10.0.0.9"))).empty());
  EXPECT_EQ(rig.network.neighbours().size(), 0u);
  // A probe whether our address is taken (sender 0.0.0.0): answered, nothing learned.
  EXPECT_EQ(rig.receive(arp_frame(Operation::kRequest, kPeerMac, ip("0.0.0.0"), kOurs)).size(), 1u);
  EXPECT_EQ(rig.network.neighbours().size(), 0u);
  // Somebody says that our address is his.
  EXPECT_TRUE(rig.receive(arp_frame(Operation::kRequest, kPeerMac, kOurs, kOurs)).empty());
  EXPECT_EQ(rig.count(NetMetric::net_address_conflicts), 1u);
  // Not on the link.
  rig.receive(arp_frame(Operation::kRequest, kPeerMac, ip("192.0.2.1"), kOurs));
  EXPECT_EQ(rig.network.neighbours().size(), 0u);
  Bytes other = arp_frame(Operation::kRequest, kPeerMac, kPeer, kOurs);
  other[14] = std::byte{9};
  EXPECT_TRUE(rig.receive(other).empty());
  EXPECT_EQ(rig.count(NetMetric::net_rx_bad_header), 1u);
}

TEST(NetArpInput, AnAnswerIsNewsForOtherLcores) {
  NetRig rig;
  rig.network.send(kOurs, kPeer, tcp(kOurs, kPeer, 1, 2, 0x02), {}, nullptr, 0);
  EXPECT_EQ(rig.turn().size(), 1u);  // the question
  const auto sent = rig.receive(arp_frame(Operation::kReply, kPeerMac, kPeer, kOurs, kOurMac));
  ASSERT_EQ(sent.size(), 1u);  // what waited
  EXPECT_EQ(net::parse_ethernet(sent[0])->destination, kPeerMac);
  ASSERT_EQ(rig.sink.news.size(), 1u);

  NetRig other;
  other.network.send(kOurs, kPeer, tcp(kOurs, kPeer, 1, 2, 0x02), {}, nullptr, 0);
  EXPECT_EQ(other.turn().size(), 1u);
  other.network.on_neighbour(rig.sink.news[0]);
  EXPECT_EQ(other.turn().size(), 1u);
}

TEST(NetArpInput, AGratuitousOneMovesAnEntryAndMakesNone) {
  NetRig rig;
  const auto moved = mac("02:00:00:00:00:09");
  rig.receive(arp_frame(Operation::kRequest, moved, kPeer, kPeer));
  EXPECT_EQ(rig.network.neighbours().size(), 0u);
  rig.receive(arp_frame(Operation::kRequest, kPeerMac, kPeer, kOurs));
  rig.receive(arp_frame(Operation::kRequest, moved, kPeer, kPeer));
  rig.network.send(kOurs, kPeer, tcp(kOurs, kPeer, 1, 2, 0x10), {}, nullptr, 0);
  const auto sent = rig.turn();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(net::parse_ethernet(sent[0])->destination, moved);
}

TEST(NetNdInput, ASolicitationIsAnswered) {
  NetRig rig;
  for (const auto& target : {kOurs6, rig.network.link_local()}) {
    for (const auto& to : {net::solicited_node_of(target), target}) {  // a first question, and a check
      const auto sent = rig.receive(nd_frame(kPeer6, to, {.target = target, .link_address = kPeerMac}));
      ASSERT_EQ(sent.size(), 1u);
      const auto packet_bytes = std::span(sent[0]).subspan(14);
      const auto header = net::parse_ipv6(packet_bytes);
      ASSERT_TRUE(header);
      EXPECT_EQ(header->source, target);
      EXPECT_EQ(header->destination, kPeer6);
      const auto nd = net::parse_nd(packet_bytes.subspan(40), *header);
      ASSERT_TRUE(nd);
      EXPECT_TRUE(nd->is_advertisement && nd->solicited && nd->override_cache);
      EXPECT_EQ(nd->link_address, kOurMac);
      net::ChecksumSum sum = net::icmp_sum_start(header->source, header->destination, net::kNdBytes);
      sum.add(packet_bytes.subspan(40));
      EXPECT_EQ(sum.finish(), 0);
    }
  }
  EXPECT_EQ(rig.network.neighbours().size(), 1u);
  EXPECT_TRUE(rig.receive(nd_frame(kPeer6, net::solicited_node_of(ip("fd00::5")),
                                   {.target = ip("fd00::5"), .link_address = kPeerMac}))
                  .empty());
  EXPECT_EQ(rig.count(NetMetric::net_rx_not_ours), 1u);
}

TEST(NetNdInput, WhoLooksWhetherOurAddressIsFreeIsTold) {
  NetRig rig;
  Bytes body(net::kNdBytes);
  net::write_nd(body.data(), {}, net::solicited_node_of(kOurs6), {.target = kOurs6, .link_address = kPeerMac});
  body.resize(24);  // without a link address
  store_be(body.data() + 2, uint16_t{0});
  net::ChecksumSum sum = net::icmp_sum_start({}, net::solicited_node_of(kOurs6), body.size());
  sum.add(body);
  store_be(body.data() + 2, sum.finish());
  const auto sent = rig.receive(
      ethernet(net::EtherType::kIpv6, packet({}, net::solicited_node_of(kOurs6), net::IpProtocol::kIcmpV6, body, 255),
               net::multicast_mac_of(net::solicited_node_of(kOurs6))));
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(net::parse_ethernet(sent[0])->destination, net::multicast_mac_of(net::kAllNodes));
  EXPECT_EQ(rig.count(NetMetric::net_address_conflicts), 1u);
  EXPECT_EQ(rig.network.neighbours().size(), 0u);
}

TEST(NetNdInput, AnAdvertisementSendsWhatWaits) {
  NetRig rig;
  ASSERT_TRUE(rig.network.send(kOurs6, kPeer6, tcp(kOurs6, kPeer6, 1, 2, 0x02), {}, nullptr, 0));
  const auto asked = rig.turn();
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_EQ(net::parse_ethernet(asked[0])->destination, net::multicast_mac_of(net::solicited_node_of(kPeer6)));
  const auto sent = rig.receive(nd_frame(
      kPeer6, kOurs6, {.is_advertisement = true, .solicited = true, .target = kPeer6, .link_address = kPeerMac}));
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(net::parse_ethernet(sent[0])->destination, kPeerMac);
}

// Linux's answer to a question that was sent to it alone says no MAC.
TEST(NetNdInput, AnAnswerWithoutItsMacConfirmsTheNeighbour) {
  NetRig rig;
  NetRig other;  // the lcore that has asked; the answer comes to the first one's queue
  rig.receive(nd_frame(kPeer6, kOurs6, {.target = kOurs6, .link_address = kPeerMac}));
  other.network.on_neighbour(rig.sink.news.back());
  for (NetRig* each : {&rig, &other}) {
    each->network.send(kOurs6, kPeer6, tcp(kOurs6, kPeer6, 1, 2, 0x10), {}, nullptr, 0);
    EXPECT_EQ(each->turn().size(), 1u);
  }
  Bytes body(net::kNdBytes);
  const net::NdMessage answer{
      .is_advertisement = true, .solicited = true, .override_cache = true, .target = kPeer6, .link_address = kPeerMac};
  net::write_nd(body.data(), kPeer6, kOurs6, answer);
  body.resize(24);  // without the option
  store_be(body.data() + 2, uint16_t{0});
  net::ChecksumSum sum = net::icmp_sum_start(kPeer6, kOurs6, body.size());
  sum.add(body);
  store_be(body.data() + 2, sum.finish());
  EXPECT_TRUE(rig.receive(ethernet(net::EtherType::kIpv6, packet(kPeer6, kOurs6, net::IpProtocol::kIcmpV6, body, 255)))
                  .empty());
  EXPECT_EQ(rig.count(NetMetric::net_rx_bad_header), 0u);
  other.network.on_neighbour(rig.sink.news.back());
  for (NetRig* each : {&rig, &other}) EXPECT_TRUE(each->turn_after(10 * kSecond).empty());  // nothing is asked
}

TEST(NetInput, SegmentsReachTcpTrimmedAndNumbered) {
  NetRig rig;
  const Bytes data = {std::byte{1}, std::byte{2}, std::byte{3}};
  const Bytes segment = tcp(kPeer, kOurs, 40000, 9092, 0x18, data);
  Bytes frame = ip_frame(kPeer, kOurs, net::IpProtocol::kTcp, segment);
  frame.resize(60);  // a short frame is padded on the wire
  rig.receive(frame);
  rig.receive(ip_frame(kPeer6, kOurs6, net::IpProtocol::kTcp, tcp(kPeer6, kOurs6, 40000, 9092, 0x18, data)));
  ASSERT_EQ(rig.sink.packets.size(), 2u);
  const auto got = rig.sink.packets[0].segment.bytes();
  EXPECT_EQ(Bytes(got.begin(), got.end()), segment);
  EXPECT_EQ(rig.sink.packets[0].source, kPeer);
  EXPECT_EQ(rig.sink.packets[0].destination, kOurs);
  EXPECT_FALSE(rig.sink.packets[0].checksum_good);
  EXPECT_EQ(rig.sink.packets[1].source, kPeer6);
  EXPECT_EQ(rig.sink.packets[1].segment.size(), segment.size());
  EXPECT_EQ(rig.nic.buffers_out(), 2u);
  rig.sink.packets.clear();
  EXPECT_EQ(rig.nic.buffers_out(), 0u);
}

TEST(NetInput, TheDevicesWordOnChecksumsIsPassedOn) {
  NetRig rig(ordinary_config(), {.verifies_checksums = true});
  Bytes frame = ip_frame(kPeer, kOurs, net::IpProtocol::kTcp, tcp(kPeer, kOurs, 1, 2, 0x10));
  rig.receive(frame);
  frame.back() ^= std::byte{1};
  rig.receive(frame);
  ASSERT_EQ(rig.sink.packets.size(), 2u);
  EXPECT_TRUE(rig.sink.packets[0].checksum_good);
  EXPECT_FALSE(rig.sink.packets[1].checksum_good);
}

struct Drop {
  const char* what;
  Bytes frame;
  NetMetric counted;
};

TEST(NetInput, WhatIsDroppedIsCounted) {
  const Bytes segment = tcp(kPeer, kOurs, 1, 2, 0x02);
  const auto v4 = [&](const char* from, const net::IpAddress& to) {
    return ip_frame(ip(from), to, net::IpProtocol::kTcp, segment);
  };
  const auto v6 = [&](const char* from) { return ip_frame(ip(from), kOurs6, net::IpProtocol::kTcp, segment); };
  Bytes cut = v4("10.0.0.2", kOurs);
  cut.pop_back();
  const Drop drops[] = {
      {"another station", ip_frame(kPeer, kOurs, net::IpProtocol::kTcp, segment, mac("02:00:00:00:00:77")),
       NetMetric::net_rx_not_ours},
      {"a VLAN",
       ethernet(net::EtherType::kIpv4, packet(kPeer, kOurs, net::IpProtocol::kTcp, segment), kOurMac, kPeerMac, 5),
       NetMetric::net_rx_not_ours},
      {"another address", v4("10.0.0.2", ip("10.0.0.3")), NetMetric::net_rx_not_ours},
      {"to all stations", ip_frame(kPeer, kOurs, net::IpProtocol::kTcp, segment, net::MacAddress::broadcast()),
       NetMetric::net_rx_not_ours},
      {"from a group MAC",
       ethernet(net::EtherType::kIpv4, packet(kPeer, kOurs, net::IpProtocol::kTcp, segment), kOurMac,
                mac("03:00:00:00:00:01")),
       NetMetric::net_rx_bad_header},
      {"LLDP", ethernet(static_cast<net::EtherType>(0x88cc), segment), NetMetric::net_rx_unknown_type},
      {"UDP", ip_frame(kPeer, kOurs, static_cast<net::IpProtocol>(17), segment), NetMetric::net_rx_unknown_protocol},
      {"UDP over IPv6", ip_frame(kPeer6, kOurs6, static_cast<net::IpProtocol>(17), segment),
       NetMetric::net_rx_unknown_protocol},
      {"from nobody", v4("0.0.0.0", kOurs), NetMetric::net_rx_bad_source},
      {"from us", v4("10.0.0.1", kOurs), NetMetric::net_rx_bad_source},
      {"from a group", v4("224.0.0.1", kOurs), NetMetric::net_rx_bad_source},
      {"from all", v4("255.255.255.255", kOurs), NetMetric::net_rx_bad_source},
      {"from all here", v4("10.0.0.255", kOurs), NetMetric::net_rx_bad_source},
      {"from loopback", v4("127.0.0.1", kOurs), NetMetric::net_rx_bad_source},
      {"from us, IPv6", v6("fd00::1"), NetMetric::net_rx_bad_source},
      {"from nobody, IPv6", v6("::"), NetMetric::net_rx_bad_source},
      {"from loopback, IPv6", v6("::1"), NetMetric::net_rx_bad_source},
      {"from a group, IPv6", v6("ff02::1"), NetMetric::net_rx_bad_source},
      {"cut", cut, NetMetric::net_rx_truncated},
      {"nothing", Bytes(13), NetMetric::net_rx_bad_header},
      {"short ARP", ethernet(net::EtherType::kArp, Bytes(27)), NetMetric::net_rx_bad_header},
      {"short ICMP", ip_frame(kPeer, kOurs, net::IpProtocol::kIcmp, Bytes(4)), NetMetric::net_rx_bad_header},
  };
  for (const Drop& drop : drops) {
    NetRig rig;
    EXPECT_TRUE(rig.receive(drop.frame).empty()) << drop.what;
    EXPECT_TRUE(rig.sink.packets.empty()) << drop.what;
    EXPECT_EQ(rig.count(drop.counted), 1u) << drop.what;
    EXPECT_EQ(rig.network.neighbours().size(), 0u) << drop.what;
    EXPECT_EQ(rig.nic.buffers_out(), 0u) << drop.what;
  }
}

TEST(NetInput, AVlanOfOurOwn) {
  net::NetworkConfig config = ordinary_config();
  config.vlan = 42;
  NetRig rig(config);
  const Bytes body = {std::byte{7}};
  const Bytes request = packet(kPeer, kOurs, net::IpProtocol::kIcmp, icmp(kPeer, kOurs, 8, 0, 1, body));
  EXPECT_TRUE(rig.receive(ethernet(net::EtherType::kIpv4, request)).empty());
  const auto sent = rig.receive(ethernet(net::EtherType::kIpv4, request, kOurMac, kPeerMac, 42));
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(net::parse_ethernet(sent[0])->vlan, 42);
  EXPECT_EQ(rig.count(NetMetric::net_rx_not_ours), 1u);
}

TEST(NetInput, WithoutAnAddressOfAFamilyItIsNotSpoken) {
  net::NetworkConfig only_v4 = ordinary_config();
  only_v4.v6.reset();
  NetRig rig(only_v4);
  const Bytes body(8);
  EXPECT_TRUE(rig.receive(icmp_frame(kPeer6, kOurs6, 128, 0, 1, body)).empty());
  net::NetworkConfig only_v6 = ordinary_config();
  only_v6.v4.reset();
  only_v6.gateway_v4.reset();
  NetRig other(only_v6);
  EXPECT_TRUE(other.receive(arp_frame(Operation::kRequest, kPeerMac, kPeer, kOurs)).empty());
  EXPECT_TRUE(other.receive(icmp_frame(kPeer, kOurs, 8, 0, 1, body)).empty());
}

TEST(NetInput, WhenBuffersAreOutTheDeviceMissesFramesAndRecovers) {
  NetRig rig(ordinary_config(), {.buffers = 4});
  const Bytes frame = ip_frame(kPeer, kOurs, net::IpProtocol::kTcp, tcp(kPeer, kOurs, 1, 2, 0x10));
  for (int i = 0; i < 10; ++i) rig.receive(frame);
  EXPECT_EQ(rig.sink.packets.size(), 4u);
  EXPECT_EQ(rig.nic.statistics().rx_missed, 6u);
  rig.sink.packets.clear();
  rig.receive(frame);
  EXPECT_EQ(rig.sink.packets.size(), 1u);
}

}  // namespace
}  // namespace penstock::net_test
