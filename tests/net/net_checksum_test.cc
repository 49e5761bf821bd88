// The Internet checksum against a sum byte by byte, over pieces of every parity; header and pseudo header.
#include <gtest/gtest.h>

#include <numeric>

#include "tests/net/net_frames.h"

namespace penstock::net_test {
namespace {

uint16_t plain_sum(std::span<const std::byte> bytes) {
  uint64_t sum = 0;
  for (size_t i = 0; i < bytes.size(); ++i) sum += std::to_integer<uint64_t>(bytes[i]) << (i % 2 == 0 ? 8 : 0);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

TEST(NetChecksum, PiecesOfAnyLengthSumAsTheWhole) {
  Prng prng(11);
  for (int round = 0; round < 3000; ++round) {
    Bytes bytes(prng.below(200));
    prng.fill(bytes);
    if (prng.one_in(4)) std::ranges::fill(bytes, std::byte{0xff});
    net::ChecksumSum sum;
    for (std::span<const std::byte> rest = bytes; !rest.empty();) {
      const size_t n = prng.between(1, rest.size());
      sum.add(rest.first(n));
      rest = rest.subspan(n);
    }
    ASSERT_EQ(sum.finish(), plain_sum(bytes)) << round;
  }
}

TEST(NetChecksum, AHeaderThatIsKnown) {
  // 20 bytes of an IPv4 header, whose sum b861 stands in it.
  const unsigned header[] = {0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11,
                             0xb8, 0x61, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7};
  Bytes bytes;
  for (const unsigned b : header) bytes.push_back(static_cast<std::byte>(b));
  net::ChecksumSum whole;
  whole.add(bytes);
  EXPECT_EQ(whole.finish(), 0);
  store_be(bytes.data() + 10, uint16_t{0});
  net::ChecksumSum zeroed;
  zeroed.add(bytes);
  EXPECT_EQ(zeroed.finish(), 0xb861);
}

TEST(NetChecksum, TheDeviceFinishesWhatTheStackBegan) {
  Prng prng(12);
  for (int round = 0; round < 200; ++round) {
    const bool v4 = prng.one_in(2);
    Bytes data(prng.below(600));
    prng.fill(data);
    for (const bool by_device : {false, true}) {
      NetRig rig(
          ordinary_config(),
          {.capabilities = {.tx_ip_checksum = by_device, .tx_tcp_checksum = by_device, .takes_references = true}});
      const auto& ours = v4 ? kOurs : kOurs6;
      const auto& peer = v4 ? kPeer : kPeer6;
      rig.receive(ip_frame(peer, ours, net::IpProtocol::kTcp, tcp(peer, ours, 1000, 9092, 0x02)));
      Bytes header = tcp(ours, peer, 9092, 1000, 0x10);
      store_be(header.data() + 16, uint16_t{0});
      const net::TxPiece piece{data};
      const auto pieces = data.empty() ? std::span<const net::TxPiece>{} : std::span(&piece, 1);
      rig.wire.recorded().clear();
      ASSERT_TRUE(rig.network.send(ours, peer, header, pieces, nullptr, 0));
      const auto sent = rig.turn();
      ASSERT_EQ(sent.size(), 1u);
      const auto bytes = std::span(sent[0]).subspan(14);
      const auto ip = v4 ? net::parse_ipv4(bytes, false) : net::parse_ipv6(bytes);
      ASSERT_TRUE(ip) << by_device;
      net::ChecksumSum sum = net::pseudo_header_sum(ours, peer, 20 + data.size());
      sum.add(bytes.subspan(ip->header_bytes));
      EXPECT_EQ(sum.finish(), 0) << by_device << " " << data.size();
    }
  }
}

}  // namespace
}  // namespace penstock::net_test
