// What a frame costs in DPDK's clothes: out of one net_ring port and into the other, one core doing both; and by
// reference into net_null. No kernel, no card: the cost of mbufs and of our own code.
#include <benchmark/benchmark.h>

#include <array>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/assert.h"
#include "dataplane/nic/dpdk_port.h"
#include "dataplane/nic/eal.h"

namespace penstock {
namespace {

namespace net = dataplane::net;
namespace nic = dataplane::nic;

const nic::PortOptions kOptions{.descriptors = 512, .frames_held = 1024};

class Owner final : public net::TxOwner {
 public:
  void release(uint64_t) override { ++released; }
  uint64_t released = 0;
};

const nic::Device& null_device() {
  static const nic::Device device = [] {
    const nic::Device null = *nic::parse_device("net_null", 0);
    const bool started =
        nic::start_eal({.devices = {null}, .memory_bytes = 5 * nic::port_memory_bytes(kOptions)}).has_value();
    CHECK(started && nic::register_thread().has_value());
    return null;
  }();
  return device;
}

std::array<net::TxFrame, net::kBurstMax> burst_of(std::span<const std::byte> data, net::TxOwner* owner) {
  std::array<net::TxFrame, net::kBurstMax> frames;
  for (net::TxFrame& frame : frames) {
    frame.header.fill({});
    frame.header_bytes = 66;
    frame.pieces[0] = {data};
    frame.piece_count = 1;
    frame.owner = owner;
  }
  return frames;
}

void ring(benchmark::State& state) {
  null_device();
  static int pairs = 0;  // DPDK does not forget the name of one that was closed
  auto pair = nic::DpdkPort::open_pair("bench" + std::to_string(pairs++), kOptions);
  CHECK(pair);
  const std::vector<std::byte> data(static_cast<size_t>(state.range(0)));
  const auto frames = burst_of(data, nullptr);
  std::array<net::RxSlot, net::kBurstMax> slots;
  size_t received = 0;
  for (auto _ : state) {
    pair->first->queue(0).tx_burst(frames);
    pair->first->queue(0).flush();
    received += pair->second->queue(0).rx_burst(slots, 0);
    slots = {};
  }
  state.SetItemsProcessed(static_cast<int64_t>(received));
  pair->first->close();
  pair->second->close();
}
BENCHMARK(ring)->ArgName("bytes")->Arg(128)->Arg(1448);

void reference(benchmark::State& state) {
  static auto port = nic::DpdkPort::open(null_device(), kOptions);
  CHECK(port);
  const std::vector<std::byte> data(1448);
  Owner owner;
  const auto frames = burst_of(data, state.range(0) != 0 ? &owner : nullptr);
  for (auto _ : state) {
    (*port)->queue(0).tx_burst(frames);
    (*port)->queue(0).flush();
  }
  CHECK(state.range(0) == 0 || owner.released == static_cast<uint64_t>(state.iterations()) * net::kBurstMax);
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(net::kBurstMax));
}
BENCHMARK(reference)->ArgName("by_reference")->Arg(0)->Arg(1);

}  // namespace
}  // namespace penstock
