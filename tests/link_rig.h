// LinkRig: two devices on a simulated wire, a server's with so many lcores and a client's, each with our TCP over our
// network layer, in virtual time. A third device may join them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <vector>

#include "dataplane/link/config.h"
#include "dataplane/station/station.h"
#include "tests/sim/sim_nic.h"

namespace penstock::dataplane {

using Role = StationRequest::Role;

inline net::MacAddress mac(unsigned last) {
  net::MacAddress made{{std::byte{2}, {}, {}, {}, {}, static_cast<std::byte>(last)}};
  return made;
}

inline net::NetworkConfig config_of(const char* v4, const char* v6) {
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
  bool refers_to(std::span<const std::byte>) const override { return capabilities().takes_references; }
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

inline DataplaneOptions small_options() {
  DataplaneOptions options;
  options.connections_max = 256;
  options.request_max_bytes = 1 << 20;
  options.receive_pool_bytes = 8 << 20;
  options.tcp_send_memory_bytes = 4 << 20;
  return options;
}

struct RigBounds {
  DataplaneOptions server = small_options();
  size_t buffers = 4096;  // of the server's device
  size_t ring = 256;
  size_t handed_over = SharedDevice::kHandedOver;  // between its lcores
};

// Of the server's lcores the first one receives.
class LinkRig {
 public:
  LinkRig(uint64_t seed, const sim::WireFaults& faults, uint16_t lcores, const RigBounds& bounds = {})
      : bounds_(bounds),
        wire_(seed, faults),
        server_nic_(wire_, {.mac = mac(1), .buffers = bounds.buffers, .ring = bounds.ring}, seed + 1),
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
    server_ = std::make_unique<SharedDevice>("server", config_of("10.0.0.1/24", "fd00::1/64"), queues, secrets,
                                             bounds.handed_over);
    client_ = std::make_unique<SharedDevice>(
        "client", config_of("10.0.0.2/24", "fd00::2/64"),
        std::vector<DeviceQueue>{{.nic = &client_nic_, .receives = true, .send_memory = {}}}, secrets);
  }

  // Until the client is done; nothing may be left on either side then. What the client counted.
  StationReport run(const StationRequest& asks, const StationRequest& answers) {
    std::vector<std::unique_ptr<Station>> servers;
    for (uint16_t i = 0; i < mesh_.lcores(); ++i) {
      servers.push_back(std::make_unique<Station>(*server_, answers, i, &mesh_));
      EXPECT_TRUE(servers.back()->start(bounds_.server, wire_.now()));
    }
    Station client(*client_, asks);
    EXPECT_TRUE(client.start(small_options(), wire_.now()));
    const Nanos limit = wire_.now() + 3600 * kSecond;
    const auto turn = [&] {
      bool did = client.turn(wire_.now()) || (also_turns && also_turns(wire_.now()));
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

  // Turned with the rest; whether there was something to do.
  std::function<bool(Nanos)> also_turns;

  const std::vector<uint64_t>& accepted() const { return accepted_; }
  SharedDevice& server() { return *server_; }
  sim::SimWire& wire() { return wire_; }

 private:
  const RigBounds bounds_;
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

}  // namespace penstock::dataplane
