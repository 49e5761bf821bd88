// Link and Station over a simulated wire, in virtual time: our TCP with its network layer under it, from one device to
// another; several lcores behind one queue; and everything home at the end.
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "dataplane/link/config.h"
#include "dataplane/station/station.h"
#include "tests/sim/sim_nic.h"

namespace penstock::dataplane {
namespace {

using Role = StationRequest::Role;

net::MacAddress mac(unsigned last) {
  net::MacAddress made{{std::byte{2}, {}, {}, {}, {}, static_cast<std::byte>(last)}};
  return made;
}

net::NetworkConfig config_of(const char* v4, const char* v6) {
  return *network_config({.device = "sim", .addresses = {v4, v6}, .gateways = {}});
}

// For an lcore without a queue: it sends by another's.
class SendOnly final : public net::Nic {
 public:
  explicit SendOnly(net::Nic& nic) : nic_(nic) {
    capabilities_ = nic.capabilities();
    capabilities_.takes_references = false;
  }
  size_t rx_burst(std::span<net::RxSlot>, Nanos) override { return 0; }
  size_t tx_burst(std::span<const net::TxFrame> frames) override { return nic_.tx_burst(frames); }
  void flush() override { nic_.flush(); }
  bool frames_wait() const override { return full; }
  void abandon() override {}
  const net::NicCapabilities& capabilities() const override { return capabilities_; }
  net::MacAddress mac() const override { return nic_.mac(); }
  size_t mtu() const override { return nic_.mtu(); }
  bool link_up() override { return true; }
  bool receive_memory_low() override { return nic_.receive_memory_low(); }
  net::NicStatistics statistics() override { return {}; }
  bool full = false;  // the ring to the one who sends

 private:
  net::Nic& nic_;
  net::NicCapabilities capabilities_;
};

DataplaneOptions small_options() {
  DataplaneOptions options;
  options.connections_max = 256;
  options.request_max_bytes = 1 << 20;
  options.receive_pool_bytes = 8 << 20;
  options.tcp_send_memory_bytes = 4 << 20;
  return options;
}

// Two devices on a wire; the server's with so many lcores, of which the first one receives.
class Rig {
 public:
  Rig(uint64_t seed, const sim::WireFaults& faults, uint16_t lcores)
      : wire_(seed, faults),
        server_nic_(wire_, {.mac = mac(1), .buffers = 4096}, seed + 1),
        client_nic_(wire_, {.mac = mac(2), .buffers = 4096}, seed + 2),
        mesh_(lcores) {
    std::vector<DeviceQueue> queues{{.nic = &server_nic_, .receives = true, .send_memory = {}}};
    for (uint16_t i = 1; i < lcores; ++i) {
      send_only_.push_back(std::make_unique<SendOnly>(server_nic_));
      queues.push_back({.nic = send_only_.back().get(), .receives = false, .send_memory = {}});
    }
    for (uint16_t i = 0; i < lcores; ++i) mesh_.set_doorbell(i, doorbells_[i]);
    DeviceSecrets secrets{.tcp = {seed, seed + 1}};
    secrets.steering_key.fill(std::byte{0x5a});
    secrets.steering_key[seed % net::kToeplitzKeyBytes] = std::byte{0x13};
    server_ = std::make_unique<SharedDevice>("server", config_of("10.0.0.1/24", "fd00::1/64"), queues, secrets);
    client_ = std::make_unique<SharedDevice>(
        "client", config_of("10.0.0.2/24", "fd00::2/64"),
        std::vector<DeviceQueue>{{.nic = &client_nic_, .receives = true, .send_memory = {}}}, secrets);
  }

  // Until the client is done; nothing may be left on either side then. What the client counted.
  StationReport run(const StationRequest& asks, const StationRequest& answers) {
    std::vector<std::unique_ptr<Station>> servers;
    for (uint16_t i = 0; i < mesh_.lcores(); ++i) {
      servers.push_back(std::make_unique<Station>(*server_, answers, i, &mesh_));
      EXPECT_TRUE(servers.back()->start(small_options(), wire_.now()));
    }
    Station client(*client_, asks);
    EXPECT_TRUE(client.start(small_options(), wire_.now()));
    const Nanos limit = wire_.now() + 3600 * kSecond;
    const auto turn = [&] {
      bool did = client.turn(wire_.now());
      Nanos next = std::min(wire_.next_arrival(), client.next_deadline());
      for (auto& server : servers) {
        did |= server->turn(wire_.now());
        next = std::min(next, server->next_deadline());
      }
      wire_.advance_to(did ? wire_.now() + kMicrosecond : std::max(next, wire_.now() + kMicrosecond));
    };
    while (!client.done() && wire_.now() < limit) turn();
    EXPECT_TRUE(client.done());
    client.wind_up();
    for (auto& server : servers) server->wind_up();
    const auto drained = [&] {
      bool all = client.drained();
      for (auto& server : servers) all = all && server->drained();
      return all;
    };
    while (!drained() && wire_.now() < limit) turn();
    client.stop();
    for (auto& server : servers) {
      accepted_.push_back(server->report().connections);
      server->stop();
    }
    return client.report();
  }

  // After the shared devices are gone, which may hold what was to be handed over.
  void expect_everything_home() {
    server_.reset();
    client_.reset();
    EXPECT_EQ(server_nic_.buffers_out(), 0u);
    EXPECT_EQ(client_nic_.buffers_out(), 0u);
  }

  const std::vector<uint64_t>& accepted() const { return accepted_; }
  SharedDevice& server() { return *server_; }

 private:
  sim::SimWire wire_;
  sim::SimNic server_nic_;
  sim::SimNic client_nic_;
  std::vector<std::unique_ptr<SendOnly>> send_only_;
  std::array<Doorbell, 8> doorbells_;
  Mesh mesh_;
  std::unique_ptr<SharedDevice> server_;
  std::unique_ptr<SharedDevice> client_;
  std::vector<uint64_t> accepted_;
};

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
    Rig rig(seed, faults, GetParam());
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
  Rig rig(3, {}, 4);
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
  Rig rig(5, {.lose_permille = 20}, 2);
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
