// Addresses as text, prefixes, Ethernet headers, ARP and ND messages.
#include <gtest/gtest.h>

#include "tests/net/net_frames.h"

namespace penstock::net_test {
namespace {

TEST(NetAddress, TextGoesBothWays) {
  for (const char* text : {"10.0.0.1", "255.255.255.255", "fd00::1", "2001:db8::ff00:42:8329", "::"}) {
    EXPECT_EQ(net::to_text(*net::parse_address(text)), text);
  }
  for (const char* text : {"", "10.0.0", "10.0.0.256", "fe80::1%eth0", "localhost", "10.0.0.1/24", "1::2::3"}) {
    EXPECT_FALSE(net::parse_address(text)) << text;
  }
  EXPECT_EQ(net::to_text(*net::parse_mac("02:ab:00:00:ff:01")), "02:ab:00:00:ff:01");
  for (const char* text : {"", "02:ab:00:00:ff", "02-ab-00-00-ff-01", "02:ab:00:00:ff:0g", "02:ab:00:00:ff:01:"}) {
    EXPECT_FALSE(net::parse_mac(text)) << text;
  }
}

TEST(NetAddress, InterfaceAddressesAreUnicastWithAPrefix) {
  EXPECT_EQ(net::parse_interface_address("10.0.0.1/24")->prefix_bits, 96 + 24);
  EXPECT_EQ(net::parse_interface_address("fd00::1/64")->prefix_bits, 64);
  for (const char* text : {"10.0.0.1", "10.0.0.1/33", "fd00::1/129", "224.0.0.1/8", "ff02::1/16", "0.0.0.0/0", "::/0",
                           "127.0.0.1/8", "::1/128", "10.0.0.1/", "10.0.0.1/x"}) {
    EXPECT_FALSE(net::parse_interface_address(text)) << text;
  }
}

TEST(NetAddress, PrefixesAgreeWithABitwiseComparison) {
  Prng prng(3);
  for (int i = 0; i < 2000; ++i) {
    net::IpAddress a;
    prng.fill(a.bytes);
    net::IpAddress b = a;
    const size_t flipped = prng.below(128);
    b.bytes[flipped / 8] ^= static_cast<std::byte>(0x80u >> (flipped % 8));
    const auto bits = static_cast<unsigned>(prng.below(129));
    EXPECT_EQ(net::same_prefix(a, b, bits), bits <= flipped) << bits << " " << flipped;
    EXPECT_TRUE(net::same_prefix(a, a, bits));
  }
}

TEST(NetAddress, DerivedAddresses) {
  EXPECT_EQ(net::to_text(net::link_local_of(mac("02:00:00:00:00:01"))), "fe80::ff:fe00:1");
  EXPECT_EQ(net::to_text(net::link_local_of(mac("52:54:00:12:34:56"))), "fe80::5054:ff:fe12:3456");
  EXPECT_EQ(net::to_text(net::solicited_node_of(ip("4037::1:800:200e:8c6c"))), "ff02::1:ff0e:8c6c");  // RFC 4291 2.7.1
  EXPECT_EQ(net::to_text(net::multicast_mac_of(ip("ff02::1:ff0e:8c6c"))), "33:33:ff:0e:8c:6c");
}

TEST(NetEthernet, HeadersWithAndWithoutTag) {
  const Bytes body = {std::byte{1}, std::byte{2}};
  const auto plain = net::parse_ethernet(ethernet(net::EtherType::kIpv6, body));
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->destination, kOurMac);
  EXPECT_EQ(plain->source, kPeerMac);
  EXPECT_EQ(plain->type, 0x86dd);
  EXPECT_EQ(plain->bytes, 14u);
  Bytes tagged = ethernet(net::EtherType::kArp, body, kOurMac, kPeerMac, 7);
  const auto parsed = net::parse_ethernet(tagged);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->vlan, 7);
  EXPECT_EQ(parsed->type, 0x0806);
  EXPECT_EQ(parsed->bytes, 18u);
  for (size_t n = 0; n < 18; ++n) {
    const Bytes cut(tagged.begin(), tagged.begin() + static_cast<std::ptrdiff_t>(n));
    EXPECT_FALSE(net::parse_ethernet(cut)) << n;
  }
}

TEST(NetArp, MessagesGoBothWaysAndOthersAreRefused) {
  const net::ArpMessage message{net::ArpOperation::kReply, kPeerMac, kPeer, kOurMac, kOurs};
  Bytes bytes(net::kArpBytes);
  net::write_arp(bytes.data(), message);
  const auto parsed = net::parse_arp(bytes);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->operation, message.operation);
  EXPECT_EQ(parsed->sender_mac, kPeerMac);
  EXPECT_EQ(parsed->sender, kPeer);
  EXPECT_EQ(parsed->target_mac, kOurMac);
  EXPECT_EQ(parsed->target, kOurs);
  for (size_t at = 0; at < 8; ++at) {
    Bytes other = bytes;
    other[at] ^= std::byte{0x10};
    EXPECT_FALSE(net::parse_arp(other)) << at;
  }
  bytes.pop_back();
  EXPECT_FALSE(net::parse_arp(bytes));
}

TEST(NetNd, TheRulesOfValidation) {
  const net::NdMessage ask{.target = kOurs6, .link_address = kPeerMac};
  Bytes bytes(net::kNdBytes);
  const auto group = net::solicited_node_of(kOurs6);
  net::write_nd(bytes.data(), kPeer6, group, ask);
  const net::IpHeader good{.source = kPeer6, .destination = group, .hop_limit = 255};
  const auto parsed = net::parse_nd(bytes, good);
  ASSERT_TRUE(parsed);
  EXPECT_FALSE(parsed->is_advertisement);
  EXPECT_EQ(parsed->target, kOurs6);
  EXPECT_EQ(parsed->link_address, kPeerMac);

  net::IpHeader routed = good;
  routed.hop_limit = 254;
  EXPECT_FALSE(net::parse_nd(bytes, routed));
  net::IpHeader nobody = good;
  nobody.source = {};
  EXPECT_FALSE(net::parse_nd(bytes, nobody));  // without an address, but with a link address
  for (const auto& [at, value] : {std::pair{1, 1}, {8, 0xff}, {25, 0}, {25, 2}}) {  // code, target, option length
    Bytes other = bytes;
    other[static_cast<size_t>(at)] = static_cast<std::byte>(value);
    EXPECT_FALSE(net::parse_nd(other, good)) << at;
  }
  for (size_t n = 0; n < bytes.size(); ++n) {
    const Bytes cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n));
    EXPECT_EQ(net::parse_nd(cut, good).has_value(), n == 24) << n;  // without options it is in order
  }
  Bytes advertisement(net::kNdBytes);
  net::write_nd(advertisement.data(), kPeer6, net::kAllNodes,
                {.is_advertisement = true, .solicited = true, .target = kPeer6, .link_address = kPeerMac});
  const net::IpHeader to_all{.source = kPeer6, .destination = net::kAllNodes, .hop_limit = 255};
  EXPECT_FALSE(net::parse_nd(advertisement, to_all));  // an answer goes to who asked
}

}  // namespace
}  // namespace penstock::net_test
