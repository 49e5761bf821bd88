// Link and Station over a simulated wire, in virtual time: our TCP with its network layer under it, from one device to
// another; several lcores behind one queue; and everything home at the end.
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "base/log.h"
#include "dataplane/link/config.h"
#include "tests/link_rig.h"

namespace penstock::dataplane {
namespace {

class LinkSim : public ::testing::TestWithParam<uint16_t> {};

TEST_P(LinkSim, EveryByteComesBackWhateverTheWireDoes) {
  set_log_sink([](LogLevel, std::string_view) {});  // frames that are cut are told of
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    const sim::WireFaults faults{.lose_permille = static_cast<unsigned>(seed * 10),
                                 .duplicate_permille = 20,
                                 .reorder_permille = 50,
                                 .corrupt_permille = 10,
                                 .cut_permille = 5,
                                 .delay_max = 200 * kMicrosecond};
    LinkRig rig(seed, faults, GetParam());
    const StationReport report = rig.run({.role = Role::kStream,
                                          .port = 7,
                                          .peer = seed % 2 == 0 ? "10.0.0.1" : "fd00::1",
                                          .bytes = 50'000,
                                          .connections = 12},
                                         {.role = Role::kEcho, .port = 7});
    EXPECT_EQ(report.connections, 12u) << "seed " << seed;
    EXPECT_EQ(report.wrong, 0u) << "seed " << seed;
    EXPECT_EQ(report.received, 12u * 50'000u) << "seed " << seed;
    rig.expect_everything_home();
  }
}
INSTANTIATE_TEST_SUITE_P(Lcores, LinkSim, ::testing::Values(1, 2, 4));

TEST(Link, EachLcoreServesTheConnectionsThatAreItsOwn) {
  LinkRig rig(3, {}, 4);
  const StationReport report =
      rig.run({.role = Role::kStream, .port = 7, .peer = "10.0.0.1", .bytes = 2000, .connections = 64}, {.port = 7});
  EXPECT_EQ(report.wrong, 0u);
  uint64_t sum = 0;
  for (const uint64_t accepted : rig.accepted()) {
    EXPECT_GT(accepted, 4u);  // of 16 on average
    sum += accepted;
  }
  EXPECT_EQ(sum, 64u);
  EXPECT_GT(rig.server().counters(0).net.get(net::NetMetric::net_handed_over), 0u);
  for (uint16_t lcore = 0; lcore < 4; ++lcore) {
    EXPECT_EQ(rig.server().counters(lcore).tcp.get(tcp::Metric::tcp_drops_no_connection), 0u);
    EXPECT_EQ(rig.server().counters(lcore).net.get(net::NetMetric::net_hand_over_full), 0u);
  }
  rig.expect_everything_home();
}

TEST(Link, QuestionsAreAnsweredOneByOne) {
  LinkRig rig(5, {.lose_permille = 20}, 2);
  const StationReport report = rig.run({.role = Role::kAsk,
                                        .port = 7,
                                        .peer = "10.0.0.1",
                                        .message = 128,
                                        .connections = 4,
                                        .duration = 50 * kMillisecond},
                                       {.role = Role::kEcho, .port = 7});
  EXPECT_EQ(report.wrong, 0u);
  EXPECT_GT(report.round_trips.count(), 4u);
  EXPECT_EQ(report.received, report.sent);
  rig.expect_everything_home();
}

// An lcore that sends by another's queue would else sleep until something comes.
TEST(Link, FramesThatFoundNoRoomAreGivenAgainSoon) {
  sim::SimWire wire(1, {});
  sim::SimNic nic(wire, {.mac = mac(1)}, 2);
  SendOnly relayed(nic);
  SharedDevice device("server", config_of("10.0.0.1/24", "fd00::1/64"),
                      {{.nic = &relayed, .receives = true, .send_memory = {}}}, {});
  Link link(device, 0, nullptr);
  link.start(small_options(), {}, 1, wire.now());
  link.finish(wire.now());
  EXPECT_GT(link.next_deadline(), wire.now() + kSecond);
  relayed.full = true;
  EXPECT_LE(link.next_deadline(), wire.now() + kMillisecond);
  link.stop();
}

TEST(LinkConfig, SaysWhatIsWrong) {
  const auto said = [](DeviceSettings settings) {
    settings.device = "d";
    const auto config = network_config(settings);
    return config ? std::string() : config.error();
  };
  const auto has = [](const std::string& text, const char* part) { return text.find(part) != std::string::npos; };
  EXPECT_EQ(said({.addresses = {"10.0.0.1/24", "fd00::1/64"}, .gateways = {"10.0.0.254", "fe80::1"}}), "");
  EXPECT_TRUE(has(said({}), "address= is missing"));
  EXPECT_TRUE(has(said({.addresses = {"10.0.0.1"}}), "prefix"));
  EXPECT_TRUE(has(said({.addresses = {"224.0.0.1/4"}}), "no host's address"));
  EXPECT_TRUE(has(said({.addresses = {"10.0.0.1/24", "10.0.1.1/24"}}), "twice"));
  EXPECT_TRUE(has(said({.addresses = {"10.0.0.1/24"}, .gateways = {"10.0.1.1"}}), "not on the link"));
  EXPECT_TRUE(has(said({.addresses = {"10.0.0.1/24"}, .vlan = 4095}), "4094"));
}

}  // namespace
}  // namespace penstock::dataplane
