// Our TCP against itself over a pair of net_ring ports, and the kernel's over loopback: an echo of 128-byte messages,
// one thread being both ends, so that a core's requests a second can be compared.
#include <arpa/inet.h>
#include <benchmark/benchmark.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/system_clock.h"
#include "dataplane/link/config.h"
#include "dataplane/nic/dpdk_port.h"
#include "dataplane/nic/eal.h"
#include "dataplane/station/station.h"

namespace penstock {
namespace {

using dataplane::DeviceQueue;
using dataplane::SharedDevice;
using dataplane::Station;
using dataplane::StationRequest;
namespace nic = dataplane::nic;

constexpr size_t kMessage = 128;
const nic::PortOptions kPort{.descriptors = 1024, .frames_held = 4096};

void start_eal_once() {
  [[maybe_unused]] static const bool started = [] {
    const auto done = nic::start_eal({.devices = {*nic::parse_device("net_null", 0)},
                                      .memory_bytes = 10 * nic::port_memory_bytes(kPort),
                                      .huge_pages = nic::HugePages::kAuto});
    CHECK(done.has_value() && nic::register_thread().has_value());
    return true;
  }();
}

std::unique_ptr<SharedDevice> share(nic::DpdkPort& port, const char* address) {
  const auto config = dataplane::network_config({.device = "ring", .addresses = {address}, .gateways = {}});
  CHECK(config.has_value());
  return std::make_unique<SharedDevice>("ring", *config, std::vector<DeviceQueue>{{.nic = &port.queue(0)}},
                                        dataplane::DeviceSecrets{});
}

void own_tcp_over_rings(benchmark::State& state) {
  start_eal_once();
  static int pairs = 0;  // DPDK does not forget the name of one that was closed
  auto pair = nic::DpdkPort::open_pair("station" + std::to_string(pairs++), kPort);
  CHECK(pair);
  SystemClock clock;
  {
    const auto left = share(*pair->first, "10.0.0.1/24");
    const auto right = share(*pair->second, "10.0.0.2/24");
    dataplane::DataplaneOptions options;
    options.connections_max = 1024;
    Station server(*left, {.role = StationRequest::Role::kEcho, .port = 7});
    Station client(*right, {.role = StationRequest::Role::kAsk,
                            .port = 7,
                            .peer = "10.0.0.1",
                            .message = kMessage,
                            .connections = static_cast<size_t>(state.range(0)),
                            .duration = 3600 * kSecond});
    CHECK(server.start(options, clock.monotonic()) && client.start(options, clock.monotonic()));
    while (client.report().connections < static_cast<uint64_t>(state.range(0))) {
      server.turn(clock.monotonic());
      client.turn(clock.monotonic());
    }
    const uint64_t before = client.report().round_trips.count();
    for (auto _ : state) {
      client.turn(clock.monotonic());
      server.turn(clock.monotonic());
    }
    state.SetItemsProcessed(static_cast<int64_t>(client.report().round_trips.count() - before));
    state.counters["p50_us"] = static_cast<double>(client.report().round_trips.percentile(50)) / 1e3;
    state.counters["p99_us"] = static_cast<double>(client.report().round_trips.percentile(99)) / 1e3;
    CHECK(client.report().wrong == 0 && client.report().broken == 0);
    client.stop();
    server.stop();
  }
  pair->first->close();
  pair->second->close();
}
BENCHMARK(own_tcp_over_rings)->ArgName("connections")->Arg(1)->Arg(16)->Arg(64);

// Each a connected pair of loopback sockets.
class KernelPair {
 public:
  KernelPair() {
    const int listening = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    CHECK(bind(listening, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 && listen(listening, 1) == 0);
    CHECK(getsockname(listening, reinterpret_cast<sockaddr*>(&address), &length) == 0);
    client_ = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(connect(client_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    server_ = accept(listening, nullptr, nullptr);
    ::close(listening);
    const int on = 1;
    for (const int fd : {client_, server_}) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  KernelPair(const KernelPair&) = delete;
  KernelPair& operator=(const KernelPair&) = delete;
  ~KernelPair() {
    ::close(client_);
    ::close(server_);
  }

  void move(int from, int to) {
    std::array<std::byte, kMessage> bytes{};
    CHECK(::send(from, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
    CHECK(recv(to, bytes.data(), bytes.size(), MSG_WAITALL) == static_cast<ssize_t>(bytes.size()));
  }
  void round_trip() {
    move(client_, server_);
    move(server_, client_);
  }

 private:
  int client_;
  int server_;
};

// With plain system calls; nobody waits, so neither epoll nor io_uring would save any of them.
void kernel_over_loopback(benchmark::State& state) {
  std::vector<std::unique_ptr<KernelPair>> pairs;
  for (int64_t i = 0; i < state.range(0); ++i) pairs.push_back(std::make_unique<KernelPair>());
  for (auto _ : state) {
    for (const auto& pair : pairs) pair->round_trip();
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(kernel_over_loopback)->ArgName("connections")->Arg(1)->Arg(16)->Arg(64);

}  // namespace
}  // namespace penstock
