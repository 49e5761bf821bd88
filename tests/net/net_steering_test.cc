// Toeplitz against the published vectors, its spread, and the hand-over between stacks.
#include <gtest/gtest.h>

#include <thread>

#include "dataplane/net/hand_over.h"
#include "dataplane/net/steering.h"
#include "tests/net/net_frames.h"

namespace penstock::net_test {
namespace {

// The key of the verification suite that Microsoft publishes for RSS, which cards use by default.
net::ToeplitzKey published_key() {
  constexpr unsigned kKey[] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
                               0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
                               0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};
  net::ToeplitzKey key;
  for (size_t i = 0; i < key.size(); ++i) key[i] = static_cast<std::byte>(kKey[i]);
  return key;
}

TEST(NetSteering, ThePublishedVectors) {
  const net::Steering steering(published_key(), 4);
  const auto hash = [&](const char* source, uint16_t source_port, const char* destination, uint16_t destination_port) {
    return steering.hash({ip(source), ip(destination), source_port, destination_port});
  };
  EXPECT_EQ(hash("66.9.149.187", 2794, "161.142.100.80", 1766), 0x51ccc178u);
  EXPECT_EQ(hash("199.92.111.2", 14230, "65.69.140.83", 4739), 0xc626b0eau);
  EXPECT_EQ(hash("24.19.198.95", 12898, "12.22.207.184", 38024), 0x5c2b394au);
  EXPECT_EQ(hash("38.27.205.30", 48228, "209.142.163.6", 2217), 0xafc7327fu);
  EXPECT_EQ(hash("153.39.163.191", 44251, "202.188.127.2", 1303), 0x10e828a2u);
  EXPECT_EQ(hash("3ffe:2501:200:1fff::7", 2794, "3ffe:2501:200:3::1", 1766), 0x40207d3du);
  EXPECT_EQ(hash("3ffe:501:8::260:97ff:fe40:efab", 14230, "ff02::1", 4739), 0xdde51bbfu);
}

TEST(NetSteering, FlowsSpreadEvenlyWithAnyKey) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    net::ToeplitzKey key;
    Prng prng(seed);
    prng.fill(key);
    for (const unsigned owners : {1u, 2u, 3u, 8u}) {
      const net::Steering steering(key, owners);
      std::vector<size_t> flows(owners);
      constexpr size_t kFlows = 8000;
      for (size_t i = 0; i < kFlows; ++i) {
        const auto peer = net::IpAddress::v4(static_cast<uint32_t>(prng.next()));
        ++flows[steering.owner_of({peer, kOurs, static_cast<uint16_t>(prng.next()), 9092})];
      }
      for (const size_t n : flows) {
        EXPECT_GT(n, kFlows / owners * 7 / 10) << seed << " " << owners;
        EXPECT_LT(n, kFlows / owners * 13 / 10) << seed << " " << owners;
      }
    }
  }
}

net::ToeplitzKey some_key() {
  net::ToeplitzKey key;
  Prng(4).fill(key);
  return key;
}

// Two lcores' networks on one wire, in one thread: each segment reaches its owner, whichever queue it came to.
TEST(NetHandOver, SegmentsErrorsAndNewsReachTheirOwner) {
  constexpr unsigned kStacks = 2;
  const net::Steering steering(some_key(), kStacks);
  net::HandOver hand_over(kStacks, 64);
  std::vector<unsigned> woken;
  const auto wake = [&](unsigned to) { woken.push_back(to); };
  NetRig a;
  NetRig b;
  net::SteeringSink to_a(0, steering, hand_over, a.network, a.sink, wake);
  net::SteeringSink to_b(1, steering, hand_over, b.network, b.sink, wake);
  const auto arrives = [&](Bytes frame) {
    a.wire.inject(std::move(frame));
    a.wire.advance_to(a.wire.now() + 10 * kMicrosecond);
    a.network.poll(a.wire.now(), to_a);
  };
  size_t expected_at_a = 0;
  for (uint16_t port = 1; port <= 40; ++port) {
    arrives(ip_frame(kPeer, kOurs, net::IpProtocol::kTcp, tcp(kPeer, kOurs, port, 9092, 0x10)));
    expected_at_a += steering.owner_of({kPeer, kOurs, port, 9092}) == 0 ? 1 : 0;
  }
  EXPECT_TRUE(hand_over.waiting(1));
  while (to_b.take_handed(8) > 0) {
  }
  EXPECT_FALSE(hand_over.waiting(1));
  EXPECT_GT(expected_at_a, 0u);
  EXPECT_EQ(a.sink.packets.size(), expected_at_a);
  EXPECT_EQ(b.sink.packets.size(), 40 - expected_at_a);
  EXPECT_EQ(woken, std::vector<unsigned>(40 - expected_at_a, 1u));
  for (const auto& packet : b.sink.packets) {
    EXPECT_EQ(
        steering.owner_of({packet.source, packet.destination, load_be<uint16_t>(packet.segment.bytes().data()), 9092}),
        1u);
  }
  // An error about a connection goes where the connection is.
  uint16_t port_of_b = 1;
  while (steering.owner_of({kPeer, kOurs, port_of_b, 9092}) != 1) ++port_of_b;
  const Bytes quote = packet(kOurs, kPeer, net::IpProtocol::kTcp, tcp(kOurs, kPeer, 9092, port_of_b, 0x10));
  arrives(icmp_frame(ip("10.0.0.254"), kOurs, 3, 1, 0, quote));
  to_b.take_handed(8);
  EXPECT_TRUE(a.sink.errors.empty());
  EXPECT_EQ(b.sink.errors.size(), 1u);
  // What one has learned about a neighbour, all know.
  arrives(arp_frame(net::ArpOperation::kRequest, kPeerMac, kPeer, kOurs));
  to_b.take_handed(8);
  EXPECT_EQ(b.network.neighbours().size(), 1u);
  b.sink.packets.clear();  // they are buffers of a's device
}

TEST(NetHandOver, AFullRingLosesAndCounts) {
  const net::Steering steering(some_key(), 2);
  net::HandOver hand_over(2, 4);
  NetRig rig;
  net::SteeringSink sink(0, steering, hand_over, rig.network, rig.sink, [](unsigned) {});
  uint16_t port = 1;
  while (steering.owner_of({kPeer, kOurs, port, 9092}) != 1) ++port;
  for (int i = 0; i < 10; ++i) {
    rig.wire.inject(ip_frame(kPeer, kOurs, net::IpProtocol::kTcp, tcp(kPeer, kOurs, port, 9092, 0x10)));
  }
  rig.wire.advance_to(rig.wire.now() + 10 * kMicrosecond);
  rig.network.poll(rig.wire.now(), sink);
  EXPECT_EQ(rig.count(net::NetMetric::net_handed_over), 4u);
  EXPECT_EQ(rig.count(net::NetMetric::net_hand_over_full), 6u);
  EXPECT_EQ(rig.nic.buffers_out(), 4u);
  hand_over.drain(1, 10, [](net::HandOver::Item) {});
  EXPECT_EQ(rig.nic.buffers_out(), 0u);
}

// The ring between two threads (the thread sanitizer looks at this one).
TEST(NetHandOver, AcrossThreads) {
  net::HandOver hand_over(2, 16);
  constexpr uint32_t kItems = 20'000;
  std::jthread other([&] {
    for (uint32_t i = 0; i < kItems; ++i) {
      net::HandOver::Item item = net::IcmpError{.kind = {},
                                                .source = {},
                                                .destination = {},
                                                .source_port = 0,
                                                .destination_port = 0,
                                                .sequence = i,
                                                .mtu = 0};
      while (!hand_over.give(0, 1, item)) std::this_thread::yield();
    }
  });
  for (uint32_t expected = 0; expected < kItems;) {
    const size_t n = hand_over.drain(
        1, 8, [&](net::HandOver::Item item) { ASSERT_EQ(std::get<net::IcmpError>(item).sequence, expected++); });
    if (n == 0) std::this_thread::yield();
  }
}

}  // namespace
}  // namespace penstock::net_test
