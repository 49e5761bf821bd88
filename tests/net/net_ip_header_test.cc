// IPv4 and IPv6 headers: a line a rule.
#include <gtest/gtest.h>

#include <functional>

#include "tests/net/net_frames.h"

namespace penstock::net_test {
namespace {

using net::NetMetric;

constexpr auto kTcp = net::IpProtocol::kTcp;

// Sums an IPv4 header anew.
void sum_again(Bytes& bytes) {
  const size_t n = std::min((std::to_integer<size_t>(bytes[0]) & 0xf) * 4, bytes.size());
  store_be(bytes.data() + 10, uint16_t{0});
  net::ChecksumSum sum;
  sum.add(std::span(bytes).first(n));
  store_be(bytes.data() + 10, sum.finish());
}

struct Case {
  const char* what;
  std::function<void(Bytes&)> change;
  std::optional<NetMetric> dropped;
};

TEST(NetIpHeader, V4RuleByRule) {
  const Bytes data(30);
  const Case cases[] = {
      {"as it is", [](Bytes&) {}, std::nullopt},
      {"padding behind", [](Bytes& b) { b.resize(b.size() + 9); }, std::nullopt},
      {"don't fragment", [](Bytes& b) { b[6] = std::byte{0x40}; }, std::nullopt},
      {"options", [](Bytes& b) { b[0] = std::byte{0x47}; }, std::nullopt},
      {"version 6", [](Bytes& b) { b[0] = std::byte{0x65}; }, NetMetric::net_rx_bad_header},
      {"header of 16 bytes", [](Bytes& b) { b[0] = std::byte{0x44}; }, NetMetric::net_rx_bad_header},
      {"header longer than all", [](Bytes& b) { b[0] = std::byte{0x4f}; }, NetMetric::net_rx_bad_header},
      {"total below header", [](Bytes& b) { store_be(b.data() + 2, uint16_t{19}); }, NetMetric::net_rx_bad_header},
      {"cut", [](Bytes& b) { b.pop_back(); }, NetMetric::net_rx_truncated},
      {"first fragment", [](Bytes& b) { b[6] = std::byte{0x20}; }, NetMetric::net_rx_fragments},
      {"later fragment", [](Bytes& b) { b[7] = std::byte{1}; }, NetMetric::net_rx_fragments},
  };
  for (const Case& c : cases) {
    Bytes bytes = packet(kPeer, kOurs, kTcp, data);
    c.change(bytes);
    sum_again(bytes);
    const auto parsed = net::parse_ipv4(bytes, false);
    EXPECT_EQ(parsed ? std::nullopt : std::optional(parsed.error()), c.dropped) << c.what;
    if (!parsed) continue;
    EXPECT_EQ(parsed->source, kPeer);
    EXPECT_EQ(parsed->destination, kOurs);
    EXPECT_EQ(parsed->total_bytes, 50u);
    EXPECT_EQ(parsed->header_bytes, bytes[0] == std::byte{0x47} ? 28u : 20u);
    bytes[11] ^= std::byte{1};
    EXPECT_EQ(net::parse_ipv4(bytes, false).error(), NetMetric::net_rx_bad_checksum) << c.what;
    EXPECT_TRUE(net::parse_ipv4(bytes, true)) << c.what;  // the device says that it is good
  }
  for (size_t n = 0; n < net::kIpv4Bytes; ++n) EXPECT_FALSE(net::parse_ipv4(Bytes(n), true));
}

// An extension header of n times 8 bytes.
Bytes extension(uint8_t next, uint8_t units, uint8_t third = 0, uint8_t fourth = 0) {
  Bytes bytes(8 * (size_t{units} + 1));
  bytes[0] = std::byte{next};
  bytes[1] = std::byte{units};
  bytes[2] = std::byte{third};
  bytes[3] = std::byte{fourth};
  return bytes;
}

TEST(NetIpHeader, V6ExtensionHeaders) {
  struct Chain {
    const char* what;
    uint8_t first;
    std::vector<Bytes> headers;
    std::optional<NetMetric> dropped;
  };
  const Chain chains[] = {
      {"none", 6, {}, std::nullopt},
      {"hop by hop", 0, {extension(6, 0)}, std::nullopt},
      {"hop by hop, long", 0, {extension(6, 3)}, std::nullopt},
      {"hop by hop, destination", 0, {extension(60, 0), extension(6, 1)}, std::nullopt},
      {"hop by hop, not first", 60, {extension(0, 0), extension(6, 0)}, NetMetric::net_rx_bad_header},
      {"routing, at its end", 43, {extension(6, 2, 0, 0)}, std::nullopt},
      {"routing, to go on", 43, {extension(6, 2, 0, 1)}, NetMetric::net_rx_bad_header},
      {"atomic fragment", 44, {extension(6, 0, 0, 0)}, std::nullopt},
      {"first fragment", 44, {extension(6, 0, 0, 1)}, NetMetric::net_rx_fragments},
      {"later fragment", 44, {extension(6, 0, 1, 0)}, NetMetric::net_rx_fragments},
      {"longer than all", 60, {extension(60, 0), Bytes{std::byte{6}, std::byte{200}}}, NetMetric::net_rx_bad_header},
      {"eight", 60, std::vector<Bytes>(7, extension(60, 0)), std::nullopt},
      {"too many", 60, std::vector<Bytes>(9, extension(60, 0)), NetMetric::net_rx_bad_header},
  };
  for (const Chain& chain : chains) {
    Bytes payload;
    for (const Bytes& header : chain.headers) payload = joined({payload, header});
    const size_t extensions = payload.size();
    if (std::string_view(chain.what) == "eight") payload = joined({payload, extension(6, 0)});
    const Bytes data(20);
    Bytes bytes = packet(kPeer6, kOurs6, static_cast<net::IpProtocol>(chain.first), joined({payload, data}));
    const auto parsed = net::parse_ipv6(bytes);
    EXPECT_EQ(parsed ? std::nullopt : std::optional(parsed.error()), chain.dropped) << chain.what;
    if (!parsed) continue;
    EXPECT_EQ(parsed->protocol, 6) << chain.what;
    EXPECT_GE(parsed->header_bytes, net::kIpv6Bytes + extensions) << chain.what;
    EXPECT_EQ(parsed->header_bytes + 20, parsed->total_bytes) << chain.what;
    bytes.pop_back();
    EXPECT_EQ(net::parse_ipv6(bytes).error(), NetMetric::net_rx_truncated) << chain.what;
  }
}

TEST(NetIpHeader, AMappedAddressOnTheWireIsNobodys) {
  const Bytes data(20);
  EXPECT_EQ(net::parse_ipv6([&] {
              Bytes bytes = packet(kPeer6, kOurs6, kTcp, data);
              std::memcpy(bytes.data() + 8, kPeer.bytes.data(), 16);
              return bytes;
            }())
                .error(),
            NetMetric::net_rx_bad_source);
}

// Any bytes at all: an answer, and no read outside (the sanitizer sees to that).
TEST(NetIpHeader, AnyBytesHaveAnAnswer) {
  Prng prng(5);
  size_t good = 0;
  for (int i = 0; i < 50'000; ++i) {
    Bytes bytes(prng.below(120));
    prng.fill(bytes);
    if (!bytes.empty() && prng.one_in(2)) bytes[0] = std::byte{prng.one_in(2) ? uint8_t{0x45} : uint8_t{0x60}};
    if (bytes.size() > 6) {
      store_be(bytes.data() + (bytes[0] == std::byte{0x45} ? 2 : 4), static_cast<uint16_t>(prng.below(bytes.size())));
    }
    bytes.shrink_to_fit();
    const bool v4 = !bytes.empty() && bytes[0] == std::byte{0x45};
    for (const auto& parsed :
         {v4 ? net::parse_ipv4(bytes, true) : net::parse_ipv6(bytes), net::parse_quoted(bytes, v4)}) {
      if (!parsed) continue;
      ++good;
      EXPECT_LE(parsed->header_bytes, bytes.size());
      EXPECT_LE(parsed->total_bytes, bytes.size());
    }
  }
  EXPECT_GT(good, 1000u);
}

}  // namespace
}  // namespace penstock::net_test
