// A station on the wire for the tests of label net: Network over a DPDK device, nothing above it. Answers pings, resets
// connections and counts, until its standard input ends; then closes the device and prints what it counted as one line
// of JSON. Exit code 0 means that every mbuf and all that was lent came home.
#include <poll.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "base/prng.h"
#include "base/system_clock.h"
#include "dataplane/net/network.h"
#include "dataplane/nic/dpdk_port.h"
#include "dataplane/nic/eal.h"

namespace penstock {
namespace {

using namespace dataplane;

// What the resets carry, sent from where it is; and how much of it is out.
class Lender final : public net::TxOwner {
 public:
  void release(uint64_t) override { --out; }
  uint64_t out = 0;
  uint64_t lent = 0;
  std::array<std::byte, 1100> bytes;
};

struct Sink {
  net::Network* network;
  Lender* lender;
  uint64_t checksums_good = 0;
  uint64_t checksums_bad = 0;
  uint64_t errors = 0;

  // A SYN for any port: reset, as a host does where nobody listens (RFC 9293 3.10.7.1), so that a client shows that it
  // was heard. With data in two pieces (RFC 1122 4.2.2.12), whose checksum the client's kernel verifies.
  void on_packet(net::TcpPacket packet) {
    const auto tcp = packet.segment.bytes();
    net::ChecksumSum sum = net::pseudo_header_sum(packet.source, packet.destination, tcp.size());
    sum.add(tcp);
    const bool good = tcp.size() >= 20 && sum.finish() == 0;
    ++(good ? checksums_good : checksums_bad);
    if (!good || (tcp[13] & std::byte{0x02}) == std::byte{0}) return;
    std::array<std::byte, 20> reset{};
    store_be(reset.data(), load_be<uint16_t>(tcp.data() + 2));
    store_be(reset.data() + 2, load_be<uint16_t>(tcp.data()));
    store_be(reset.data() + 8, load_be<uint32_t>(tcp.data() + 4) + 1);
    reset[12] = std::byte{0x50};
    reset[13] = std::byte{0x14};  // RST, ACK
    const auto data = std::span<const std::byte>(lender->bytes);
    const net::TxPiece pieces[] = {{data.first(301)}, {data.subspan(301)}};
    ++lender->out;
    ++lender->lent;
    network->send(packet.destination, packet.source, reset, pieces, lender, 0);
  }
  void on_icmp(const net::IcmpError&) { ++errors; }
  void on_neighbour(const net::NeighbourNews&) {}
};

bool input_ended() {
  pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
  char byte;
  return ::poll(&input, 1, 0) > 0 && ::read(STDIN_FILENO, &byte, 1) <= 0;
}

std::string counters_of(const net::Network& network) {
  nlohmann::json all;
  const auto put = [&](const char* name, net::NetMetric metric) { all[name] = network.counters().get(metric); };
#define METRIC(id, kind, help) put(#id, net::NetMetric::id);
#include "dataplane/net/metrics.def"
#undef METRIC
  return all.dump();
}

int run(const std::string& device_text, const net::NetworkConfig& config, bool huge) {
  const auto device = nic::parse_device(device_text, 0);
  if (!device) {
    std::fprintf(stderr, "%s: neither a PCI address nor a virtual device\n", device_text.c_str());
    return 2;
  }
  nic::Device complete = *device;
  nic::complete_arguments(complete, 1);
  const nic::PortOptions options{.frames_held = 1024};
  if (!nic::start_eal({.devices = {complete},
                       .memory_bytes = nic::port_memory_bytes(options),
                       .huge_pages = huge ? nic::HugePages::kAuto : nic::HugePages::kOff}) ||
      !nic::register_thread()) {
    return 1;
  }
  auto port = nic::DpdkPort::open(complete, options);
  if (!port) return 1;
  SystemClock clock;
  Lender lender;
  Prng(1).fill(lender.bytes);
  nlohmann::json report;
  {
    net::NetCounters counters;
    net::Network network((*port)->queue(0), config, counters);
    network.announce(clock.monotonic());
    network.flush();
    std::printf("ready %s\n", (*port)->description().c_str());
    std::fflush(stdout);
    Sink sink{.network = &network, .lender = &lender};
    Nanos look_at = 0;
    for (bool ended = false; !ended;) {
      const Nanos now = clock.monotonic();
      network.poll(now, sink);
      network.flush();
      if (now < look_at) continue;
      look_at = now + 10 * kMillisecond;
      ended = input_ended();
    }
    const net::NicStatistics nic = (*port)->queue(0).statistics();
    report = nlohmann::json::parse(counters_of(network));
    report["tcp_checksums_good"] = sink.checksums_good;
    report["tcp_checksums_bad"] = sink.checksums_bad;
    report["icmp_errors"] = sink.errors;
    report["nic_rx_frames"] = nic.rx_frames;
    report["nic_tx_frames"] = nic.tx_frames;
    report["nic_rx_missed"] = nic.rx_missed;
    report["nic_rx_copied_bytes"] = nic.rx_copied_bytes;
    report["nic_tx_copied_bytes"] = nic.tx_copied_bytes;
    report["nic_tx_referred_bytes"] = nic.tx_referred_bytes;
  }
  (*port)->close();
  const nic::PoolUse use = (*port)->pool_use();
  report["mbufs"] = use.total;
  report["mbufs_out"] = use.used;
  report["lent"] = lender.lent;
  report["lent_out"] = lender.out;
  std::printf("%s\n", report.dump().c_str());
  port->reset();
  nic::unregister_thread();
  nic::stop_eal();
  return use.used == 0 && lender.out == 0 ? 0 : 1;
}

}  // namespace
}  // namespace penstock

int main(int argc, char** argv) {
  using namespace penstock::dataplane;
  CLI::App app("a station that answers pings, over DPDK");
  std::string device, v4 = "10.77.0.2/24", v6 = "fd77::2/64";
  bool huge = false;
  net::NetworkConfig config;
  app.add_option("device", device)->required();
  app.add_option("--v4", v4);
  app.add_option("--v6", v6);
  app.add_option("--vlan", config.vlan);
  app.add_flag("--huge", huge);
  CLI11_PARSE(app, argc, argv);
  config.v4 = net::parse_interface_address(v4);
  config.v6 = net::parse_interface_address(v6);
  if (!config.v4 || !config.v6) return 2;
  return penstock::run(device, config, huge);
}
