// Echo, and errors about segments of ours.
#include <gtest/gtest.h>

#include "tests/net/net_frames.h"

namespace penstock::net_test {
namespace {

using Kind = net::IcmpError::Kind;
using net::NetMetric;

TEST(NetIcmp, AnswersPingsOfEverySize) {
  for (const bool v4 : {true, false}) {
    const auto& ours = v4 ? kOurs : kOurs6;
    const auto& peer = v4 ? kPeer : kPeer6;
    const size_t most = 1500 - (v4 ? net::kIpv4Bytes : net::kIpv6Bytes) - net::kIcmpBytes;
    for (const size_t n : {size_t{0}, size_t{1}, size_t{56}, size_t{1001}, most}) {
      NetRig rig;
      Bytes body(n);
      Prng(n).fill(body);
      const auto sent = rig.receive(icmp_frame(peer, ours, v4 ? 8 : 128, 0, 0x00070001, body));
      ASSERT_EQ(sent.size(), 1u) << n;
      const Bytes expected = ethernet(v4 ? net::EtherType::kIpv4 : net::EtherType::kIpv6,
                                      packet(ours, peer, v4 ? net::IpProtocol::kIcmp : net::IpProtocol::kIcmpV6,
                                             icmp(ours, peer, v4 ? 0 : 129, 0, 0x00070001, body)),
                                      kPeerMac, kOurMac);
      EXPECT_EQ(sent[0], expected) << n;
      EXPECT_EQ(rig.count(NetMetric::net_rx_icmp_echo), 1u);
    }
  }
}

TEST(NetIcmp, APingWithABadSumOrToOthersIsNotAnswered) {
  NetRig rig;
  const Bytes body(56);
  Bytes bad = icmp_frame(kPeer, kOurs, 8, 0, 1, body);
  bad.back() ^= std::byte{1};
  EXPECT_TRUE(rig.receive(bad).empty());
  Bytes bad6 = icmp_frame(kPeer6, kOurs6, 128, 0, 1, body);
  bad6.back() ^= std::byte{1};
  EXPECT_TRUE(rig.receive(bad6).empty());
  EXPECT_EQ(rig.count(NetMetric::net_rx_bad_checksum), 2u);
  EXPECT_TRUE(rig.receive(icmp_frame(kPeer, ip("10.0.0.3"), 8, 0, 1, body)).empty());
  EXPECT_TRUE(rig.receive(icmp_frame(kPeer, ip("10.0.0.255"), 8, 0, 1, body)).empty());
  EXPECT_TRUE(rig.receive(icmp_frame(kPeer6, net::kAllNodes, 128, 0, 1, body)).empty());
  EXPECT_EQ(rig.count(NetMetric::net_rx_not_ours), 3u);
  EXPECT_TRUE(rig.receive(icmp_frame(ip("10.0.0.255"), kOurs, 8, 0, 1, body)).empty());  // would be answered to all
  EXPECT_EQ(rig.count(NetMetric::net_rx_bad_source), 1u);
}

struct ErrorCase {
  const char* what;
  bool v4;
  uint8_t type;
  uint8_t code;
  std::optional<Kind> kind;
};

TEST(NetIcmp, ErrorsAboutSegmentsOfOurs) {
  const ErrorCase cases[] = {
      {"fragmentation needed", true, 3, 4, Kind::kPacketTooBig},
      {"host unreachable", true, 3, 1, Kind::kUnreachable},
      {"port unreachable", true, 3, 3, Kind::kUnreachable},
      {"time exceeded", true, 11, 0, Kind::kTimeExceeded},
      {"parameter problem", true, 12, 0, Kind::kParameterProblem},
      {"source quench", true, 4, 0, std::nullopt},
      {"redirect", true, 5, 1, std::nullopt},
      {"echo reply", true, 0, 0, std::nullopt},
      {"no route", false, 1, 0, Kind::kUnreachable},
      {"packet too big", false, 2, 0, Kind::kPacketTooBig},
      {"hop limit exceeded", false, 3, 0, Kind::kTimeExceeded},
      {"parameter problem", false, 4, 1, Kind::kParameterProblem},
      {"router advertisement", false, 134, 0, std::nullopt},
  };
  for (const ErrorCase& c : cases) {
    const auto& ours = c.v4 ? kOurs : kOurs6;
    const auto far = c.v4 ? ip("198.51.100.7") : ip("2001:db8::7");
    const auto router = c.v4 ? ip("10.0.0.254") : ip("fd00::fe");
    const Bytes quote = packet(ours, far, net::IpProtocol::kTcp, tcp(ours, far, 9092, 40000, 0x18, Bytes(700)));
    // Routers quote a part: 8 bytes of TCP are enough, 7 are not.
    const size_t least = (c.v4 ? 20u : 40u) + 8;
    for (const size_t n : {least - 1, least, least + 100}) {
      NetRig rig;
      EXPECT_TRUE(rig.receive(icmp_frame(router, ours, c.type, c.code, 1280, std::span(quote).first(n))).empty());
      if (!c.kind || n < least) {
        EXPECT_TRUE(rig.sink.errors.empty()) << c.what;
        EXPECT_EQ(rig.count(NetMetric::net_rx_icmp_ignored), 1u) << c.what;
        continue;
      }
      ASSERT_EQ(rig.sink.errors.size(), 1u) << c.what;
      const net::IcmpError& error = rig.sink.errors[0];
      EXPECT_EQ(error.kind, *c.kind) << c.what;
      EXPECT_EQ(error.source, ours);
      EXPECT_EQ(error.destination, far);
      EXPECT_EQ(error.source_port, 9092);
      EXPECT_EQ(error.destination_port, 40000);
      EXPECT_EQ(error.sequence, 0x01020304u);
      EXPECT_EQ(error.mtu, *c.kind == Kind::kPacketTooBig ? 1280u : 0u);
    }
  }
}

TEST(NetIcmp, ErrorsThatQuoteOthersAreIgnored) {
  NetRig rig;
  const auto far = ip("198.51.100.7");
  const Bytes not_ours = packet(ip("10.0.0.3"), far, net::IpProtocol::kTcp, tcp(kOurs, far, 1, 2, 0));
  const Bytes not_tcp = packet(kOurs, far, net::IpProtocol::kIcmp, Bytes(20));
  for (const Bytes& quote : {not_ours, not_tcp, Bytes{}, Bytes(7), Bytes(28)}) {
    rig.receive(icmp_frame(ip("10.0.0.254"), kOurs, 3, 4, 1280, quote));
  }
  EXPECT_TRUE(rig.sink.errors.empty());
  EXPECT_EQ(rig.count(NetMetric::net_rx_icmp_ignored), 5u);
}

}  // namespace
}  // namespace penstock::net_test
