// Segments out: where they go, what waits, what is refused, and that each owner is told exactly once.
#include <gtest/gtest.h>

#include "tests/net/net_frames.h"

namespace penstock::net_test {
namespace {

using net::NetMetric;

class NetOutput : public ::testing::Test {
 protected:
  // A segment of ours with its checksum field 0, as tcp gives it.
  Bytes header(uint8_t flags = 0x10, uint16_t port = 40000) {
    Bytes bytes = tcp(kOurs, kPeer, 9092, port, flags);
    store_be(bytes.data() + 16, uint16_t{0});
    return bytes;
  }
  bool send(const net::IpAddress& to, uint8_t flags = 0x10, uint16_t port = 40000) {
    const net::TxPiece piece{data_};
    const bool syn = (flags & 0x02) != 0;
    return rig_.network.send(kOurs, to, header(flags, port), std::span(&piece, syn ? 0 : 1), &owner_, ++token_);
  }
  void peer_is_known(const net::IpAddress& peer = kPeer) {
    rig_.receive(arp_frame(net::ArpOperation::kRequest, kPeerMac, peer, kOurs));
  }
  // Until the device has given all back.
  void settle() {
    for (int i = 0; i < 100 && rig_.nic.lent() > 0; ++i) rig_.turn();
  }

  const Bytes data_ = Bytes(1000, std::byte{0x5a});
  Owner owner_;
  uint64_t token_ = 0;
  NetRig rig_;
};

TEST_F(NetOutput, AnnouncesItselfAndAsksForTheGateway) {
  rig_.network.announce(rig_.wire.now());
  const auto sent = rig_.turn();
  ASSERT_EQ(sent.size(), 4u);  // gratuitous ARP, two advertisements, and the question
  const auto arp = net::parse_arp(std::span(sent[0]).subspan(14));
  EXPECT_EQ(arp->sender, kOurs);
  EXPECT_EQ(arp->target, kOurs);
  EXPECT_EQ(net::parse_arp(std::span(sent[3]).subspan(14))->target, ip("10.0.0.254"));
}

TEST_F(NetOutput, TheWireHasWhatWasGiven) {
  peer_is_known();
  ASSERT_TRUE(send(kPeer));
  const auto sent = rig_.turn();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0], ethernet(net::EtherType::kIpv4,
                              packet(kOurs, kPeer, net::IpProtocol::kTcp, tcp(kOurs, kPeer, 9092, 40000, 0x10, data_)),
                              kPeerMac, kOurMac));
  settle();
  EXPECT_EQ(owner_.released, std::vector<uint64_t>{1});
}

TEST_F(NetOutput, FarDestinationsGoToTheGateway) {
  const auto gateway_mac = mac("02:00:00:00:00:fe");
  ASSERT_TRUE(send(ip("198.51.100.7"), 0x02));
  auto sent = rig_.turn();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(net::parse_arp(std::span(sent[0]).subspan(14))->target, ip("10.0.0.254"));
  sent = rig_.receive(arp_frame(net::ArpOperation::kReply, gateway_mac, ip("10.0.0.254"), kOurs, kOurMac));
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(net::parse_ethernet(sent[0])->destination, gateway_mac);
  EXPECT_TRUE(send(ip("203.0.113.9")));  // the same gateway
  EXPECT_EQ(rig_.turn().size(), 1u);
}

TEST_F(NetOutput, ASynTeachesOnlyAboutTheLink) {
  rig_.receive(ip_frame(kPeer, kOurs, net::IpProtocol::kTcp, tcp(kPeer, kOurs, 40000, 9092, 0x02)));
  EXPECT_TRUE(send(kPeer));
  EXPECT_EQ(rig_.count(NetMetric::net_neighbour_held), 0u);
  // One from far away says nothing about the gateway: anybody on the link could have sent it.
  rig_.receive(ip_frame(ip("198.51.100.7"), kOurs, net::IpProtocol::kTcp, tcp(ip("198.51.100.7"), kOurs, 1, 2, 0x02)));
  EXPECT_TRUE(send(ip("198.51.100.7"), 0x12));
  EXPECT_EQ(rig_.count(NetMetric::net_neighbour_held), 1u);
}

TEST_F(NetOutput, NoRoute) {
  for (const char* to : {"0.0.0.0", "255.255.255.255", "10.0.0.255", "224.0.0.1", "127.0.0.1", "10.0.0.1"}) {
    EXPECT_FALSE(send(ip(to))) << to;
  }
  EXPECT_FALSE(rig_.network.send(kOurs6, ip("2001:db8::1"), header(), {}, &owner_, ++token_));  // no gateway
  EXPECT_FALSE(rig_.network.send(kOurs, kPeer6, header(), {}, &owner_, ++token_));              // families mixed
  EXPECT_EQ(rig_.count(NetMetric::net_tx_no_route), 8u);
  EXPECT_EQ(owner_.released.size(), 8u);
}

TEST_F(NetOutput, AboveTheMtu) {
  peer_is_known();
  const Bytes large(1461);
  const net::TxPiece whole{large};
  EXPECT_FALSE(rig_.network.send(kOurs, kPeer, header(), std::span(&whole, 1), &owner_, ++token_));
  EXPECT_EQ(rig_.count(NetMetric::net_tx_too_large), 1u);
  const net::TxPiece fits{std::span(large).first(1460)};
  EXPECT_TRUE(rig_.network.send(kOurs, kPeer, header(), std::span(&fits, 1), &owner_, ++token_));
  EXPECT_EQ(rig_.network.mtu(kPeer), 1500u);
  settle();
  EXPECT_EQ(owner_.released, (std::vector<uint64_t>{1, 2}));
}

TEST_F(NetOutput, WhatWaitsForANeighbourThatNeverAnswersComesBack) {
  EXPECT_TRUE(send(kPeer, 0x02, 1));
  EXPECT_FALSE(send(kPeer, 0x02, 1));  // the same SYN again
  EXPECT_TRUE(send(kPeer, 0x02, 2));
  EXPECT_TRUE(send(kPeer));
  size_t questions = rig_.turn().size();
  for (int i = 0; i < 10; ++i) questions += rig_.turn_after(kSecond).size();
  EXPECT_EQ(questions, 3u);
  EXPECT_EQ(owner_.released, (std::vector<uint64_t>{2, 1, 3, 4}));
  EXPECT_EQ(rig_.network.next_deadline(), net::Neighbours::kNever);
  EXPECT_TRUE(send(kPeer, 0x02, 1));  // later it is asked again
  EXPECT_EQ(rig_.turn().size(), 1u);
}

TEST_F(NetOutput, PiecesWithoutAnOwnerAreCopiedOrRefused) {
  Bytes lent = data_;
  const net::TxPiece piece{lent};
  EXPECT_FALSE(rig_.network.send(kOurs, kPeer, header(), std::span(&piece, 1), nullptr, 0));  // cannot wait
  peer_is_known();
  EXPECT_TRUE(rig_.network.send(kOurs, kPeer, header(), std::span(&piece, 1), nullptr, 0));
  std::ranges::fill(lent, std::byte{0});
  const auto sent = rig_.turn();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].back(), std::byte{0x5a});
}

TEST_F(NetOutput, AFullRingRefusesAndTellsTheOwner) {
  peer_is_known();
  size_t taken = 0;
  size_t refused = 0;
  for (int i = 0; i < 400; ++i) ++(send(kPeer) ? taken : refused);
  EXPECT_GE(taken, 256u);  // the ring
  EXPECT_GT(refused, 0u);
  EXPECT_EQ(rig_.count(NetMetric::net_tx_refused), refused);
  settle();
  EXPECT_EQ(owner_.released.size(), 400u);
  std::ranges::sort(owner_.released);
  for (uint64_t i = 0; i < 400; ++i) EXPECT_EQ(owner_.released[i], i + 1);
}

TEST_F(NetOutput, WhatWaitsAtTheEndIsGivenBack) {
  {
    NetRig rig;
    const net::TxPiece piece{data_};
    ASSERT_TRUE(rig.network.send(kOurs, kPeer, header(), std::span(&piece, 1), &owner_, 7));
  }
  EXPECT_EQ(owner_.released, std::vector<uint64_t>{7});
}

TEST_F(NetOutput, ProgressConfirmsTheNextHop) {
  peer_is_known();
  send(kPeer);
  rig_.turn_after(4 * kSecond);
  rig_.network.confirm(kPeer);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(rig_.turn_after(kSecond).size(), 0u);
}

}  // namespace
}  // namespace penstock::net_test
