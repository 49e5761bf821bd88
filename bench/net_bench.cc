// What a segment costs in the network layer: in, from a frame in its buffer to a TcpPacket; out, from a TCP header and
// pieces to a frame, checksum in software or by the device; and the steering hash. Over a Nic that does nothing.
#include <benchmark/benchmark.h>

#include <array>
#include <vector>

#include "base/prng.h"
#include "dataplane/net/network.h"
#include "dataplane/net/steering.h"

namespace penstock {
namespace {

namespace net = dataplane::net;

const net::MacAddress kMac{{std::byte{2}, {}, {}, {}, {}, std::byte{1}}};
const net::MacAddress kPeerMac{{std::byte{2}, {}, {}, {}, {}, std::byte{2}}};
const net::IpAddress kOurs = net::IpAddress::v4(0x0a000001);
const net::IpAddress kPeer = net::IpAddress::v4(0x0a000002);

// Receives one frame again and again, in the same memory; swallows what is sent.
class StillNic final : public net::Nic, public BufferPool {
 public:
  StillNic(std::vector<std::byte> frame, bool checksums) : frame_(std::move(frame)) {
    capabilities_ = {.tx_ip_checksum = checksums, .tx_tcp_checksum = checksums, .takes_references = true};
    good_ = checksums;
  }
  size_t rx_burst(std::span<net::RxSlot> slots, Nanos now) override {
    for (net::RxSlot& slot : slots) slot = net::RxFrame{Buffer(*this, frame_, frame_.size()), now, good_, good_};
    return slots.size();
  }
  size_t tx_burst(std::span<const net::TxFrame> frames) override {
    benchmark::DoNotOptimize(frames.front().header);
    return frames.size();
  }
  void flush() override {}
  const net::NicCapabilities& capabilities() const override { return capabilities_; }
  bool refers_to(std::span<const std::byte>) const override { return capabilities().takes_references; }
  net::MacAddress mac() const override { return kMac; }
  size_t mtu() const override { return 1500; }
  void abandon() override {}
  bool link_up() override { return true; }
  bool receive_memory_low() override { return false; }
  net::NicStatistics statistics() override { return {}; }
  void release(std::span<std::byte>) override {}

 private:
  std::vector<std::byte> frame_;
  net::NicCapabilities capabilities_;
  bool good_ = false;
};

struct Sink {
  size_t bytes = 0;
  void on_packet(net::TcpPacket packet) { bytes += packet.segment.size(); }
  void on_icmp(const net::IcmpError&) {}
  void on_neighbour(const net::NeighbourNews&) {}
};

net::NetworkConfig config() { return {.v4 = net::InterfaceAddress{kOurs, 120}}; }

std::vector<std::byte> tcp_frame(size_t data_bytes) {
  std::vector<std::byte> frame(14 + 20 + 20 + data_bytes);
  const size_t at = net::write_ethernet(frame.data(), kMac, kPeerMac, 0, net::EtherType::kIpv4);
  net::write_ipv4(frame.data() + at, kPeer, kOurs, net::IpProtocol::kTcp, 20 + data_bytes, false);
  frame[at + 20 + 12] = std::byte{0x50};
  frame[at + 20 + 13] = std::byte{0x02};  // a SYN, so that the peer is known
  return frame;
}

void receive(benchmark::State& state) {
  StillNic nic(tcp_frame(static_cast<size_t>(state.range(0))), state.range(1) != 0);
  net::NetCounters counters;
  net::Network network(nic, config(), counters);
  Sink sink;
  Nanos now = kSecond;
  for (auto _ : state) network.poll(++now, sink);
  benchmark::DoNotOptimize(sink.bytes);
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(net::kBurstMax));
}
BENCHMARK(receive)->ArgNames({"bytes", "device_sums"})->ArgsProduct({{128, 1448}, {0, 1}});

void send(benchmark::State& state) {
  StillNic nic(tcp_frame(0), state.range(1) != 0);
  net::NetCounters counters;
  net::Network network(nic, config(), counters);
  Sink sink;
  network.poll(kSecond, sink);
  const std::vector<std::byte> data(static_cast<size_t>(state.range(0)));
  const net::TxPiece piece{data};
  std::array<std::byte, 32> header{};
  for (auto _ : state) {
    const bool sent = network.send(kOurs, kPeer, header, std::span(&piece, 1), nullptr, 0);
    benchmark::DoNotOptimize(sent);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(send)->ArgNames({"bytes", "device_sums"})->ArgsProduct({{128, 1448}, {0, 1}});

void steer(benchmark::State& state) {
  net::ToeplitzKey key;
  Prng(1).fill(key);
  const net::Steering steering(key, 4);
  net::Flow flow{.source = state.range(0) == 4 ? kPeer : net::IpAddress{},
                 .destination = state.range(0) == 4 ? kOurs : net::IpAddress{}};
  for (auto _ : state) {
    ++flow.source_port;
    benchmark::DoNotOptimize(steering.owner_of(flow));
  }
}
BENCHMARK(steer)->ArgName("version")->Arg(4)->Arg(6);

}  // namespace
}  // namespace penstock
