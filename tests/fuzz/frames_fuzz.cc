// Any frame at all into the network layer: each in heap memory of exactly its size, so that a read past its end is
// seen. The input is a list of {word: 2 bytes, frame of that many bytes}. A word with its top bit set lets time pass
// instead; one with the next bit set has the frame's checksums put right, which no fuzzer guesses. Every buffer comes
// home, bounds hold, and a frame of ours never exceeds the MTU (SimNic checks).
#include <cstdint>
#include <vector>

#include "base/assert.h"
#include "base/log.h"
#include "dataplane/net/network.h"
#include "tests/sim/sim_nic.h"

namespace {

using namespace penstock;
namespace net = dataplane::net;

struct Sink {
  net::Network* network = nullptr;

  // Some answer, so that neighbours are asked for and frames wait.
  void on_packet(net::TcpPacket packet) {
    CHECK(network->is_ours(packet.destination) && !network->is_ours(packet.source));
    std::array<std::byte, 20> header{};
    header[12] = std::byte{0x50};
    header[13] = packet.segment.size() > 13 ? packet.segment.bytes()[13] : std::byte{0x10};
    network->send(packet.destination, packet.source, header, {}, nullptr, 0);
    network->confirm(packet.source);
  }
  void on_icmp(const net::IcmpError& error) { CHECK(network->is_ours(error.source)); }
  void on_neighbour(const net::NeighbourNews& news) { CHECK(!news.mac.is_group()); }
};

net::NetworkConfig config() {
  return {.v4 = net::parse_interface_address("10.0.0.1/24"),
          .v6 = net::parse_interface_address("fd00::1/64"),
          .gateway_v4 = net::parse_address("10.0.0.254"),
          .gateway_v6 = net::parse_address("fd00::fe"),
          .neighbours = 4,
          .frames_held = 8,
          .hash_seed = 1};
}

void repair_icmp(std::span<std::byte> message, net::ChecksumSum sum) {
  if (message.size() < net::kIcmpBytes) return;
  store_be(message.data() + 2, uint16_t{0});
  sum.add(message);
  store_be(message.data() + 2, sum.finish());
}

void repair(std::vector<std::byte>& frame) {
  const auto ethernet = net::parse_ethernet(frame);
  if (!ethernet) return;
  const auto packet = std::span(frame).subspan(ethernet->bytes);
  if (const auto ip = net::parse_ipv4(packet, true); ip && ethernet->type == 0x0800) {
    store_be(packet.data() + 10, uint16_t{0});
    net::ChecksumSum sum;
    sum.add(packet.first(ip->header_bytes));
    store_be(packet.data() + 10, sum.finish());
    if (ip->protocol == 1) repair_icmp(packet.first(ip->total_bytes).subspan(ip->header_bytes), {});
  } else if (const auto ip6 = net::parse_ipv6(packet); ip6 && ethernet->type == 0x86dd && ip6->protocol == 58) {
    const auto message = packet.first(ip6->total_bytes).subspan(ip6->header_bytes);
    repair_icmp(message, net::icmp_sum_start(ip6->source, ip6->destination, message.size()));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  set_log_sink([](LogLevel, std::string_view) {});
  sim::SimWire wire(1, {});
  sim::SimNic nic(wire, {}, 2);
  {
    net::NetCounters counters;
    net::Network network(nic, config(), counters);
    Sink sink{&network};
    network.announce(wire.now());
    std::span<const std::byte> input(reinterpret_cast<const std::byte*>(data), size);
    while (input.size() >= 2) {
      const auto word = load_be<uint16_t>(input.data());
      input = input.subspan(2);
      if ((word & 0x8000) != 0) {
        wire.advance_to(wire.now() + (word & 0x7fff) * (10 * kMillisecond));
      } else {
        const size_t n = std::min<size_t>(word & 0x3fff, input.size());
        std::vector<std::byte> frame(input.begin(), input.begin() + static_cast<std::ptrdiff_t>(n));
        input = input.subspan(n);
        if ((word & 0x4000) != 0) repair(frame);
        wire.inject(std::move(frame));
        wire.advance_to(wire.now() + 10 * kMicrosecond);
      }
      network.poll(wire.now(), sink);
      network.flush();
      CHECK(network.neighbours().size() <= 4 && network.neighbours().held() <= 8);
    }
  }
  CHECK(nic.buffers_out() == 0);
  return 0;
}
