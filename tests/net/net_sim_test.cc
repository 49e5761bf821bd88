// Seeds of two networks on a wire that loses, doubles, reorders, damages and cuts. What arrives was sent, or its TCP
// checksum says that it was not; every owner is told once; every buffer comes home. PENSTOCK_SIM_SEEDS says how many
// seeds (default 50), PENSTOCK_SIM_SEED replays one.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <set>

#include "base/log.h"
#include "tests/net/net_frames.h"

namespace penstock::net_test {
namespace {

uint64_t number_from(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// The tokens that are out, each once.
class Lender final : public net::TxOwner {
 public:
  void release(uint64_t token) override { ASSERT_EQ(out.erase(token), 1u); }
  std::set<uint64_t> out;
};

struct Station {
  Station(sim::SimWire& wire, const sim::SimNicOptions& options, const net::NetworkConfig& config, uint64_t seed)
      : nic(wire, options, seed), network(nic, config, counters) {}

  std::set<Bytes>* sent_by_peer = nullptr;
  uint64_t good = 0;
  uint64_t bad = 0;
  uint64_t held_back = 0;
  std::vector<net::TcpPacket> kept;

  void on_packet(net::TcpPacket packet) {
    const auto bytes = packet.segment.bytes();
    net::ChecksumSum sum = net::pseudo_header_sum(packet.source, packet.destination, bytes.size());
    sum.add(bytes);
    if (bytes.size() < 20 || sum.finish() != 0) {
      ++bad;
      return;
    }
    ++good;
    // One bit was flipped at most, which the sum always finds; a cut one is shorter than its IP header says.
    ASSERT_TRUE(sent_by_peer->contains(Bytes(bytes.begin(), bytes.end())));
    if (held_back < 40) {
      ++held_back;
      kept.push_back(std::move(packet));
    }
  }
  void on_icmp(const net::IcmpError&) {}
  void on_neighbour(const net::NeighbourNews&) {}

  sim::SimNic nic;
  net::NetCounters counters;
  net::Network network;
  Lender lender;
};

struct Addresses {
  net::IpAddress ours;
  net::IpAddress peer;
};

class NetSim {
 public:
  explicit NetSim(uint64_t seed)
      : prng_(seed),
        wire_(seed, draw_faults()),
        a_(wire_, options(1), config("10.0.0.1/24", "fd00::1/64"), seed + 1),
        b_(wire_, options(2), config("10.0.0.2/24", "fd00::2/64"), seed + 2) {
    a_.sent_by_peer = &sent_by_b_;
    b_.sent_by_peer = &sent_by_a_;
  }

  void run() {
    a_.network.announce(wire_.now());
    b_.network.announce(wire_.now());
    for (int step = 0; step < 250 && !::testing::Test::HasFatalFailure(); ++step) {
      wire_.advance_to(wire_.now() + static_cast<Nanos>(prng_.below(prng_.one_in(50) ? kSecond : kMillisecond)));
      turn(a_, sent_by_a_, {kOurs, kPeer}, {kOurs6, kPeer6});
      turn(b_, sent_by_b_, {kPeer, kOurs}, {kPeer6, kOurs6});
      if (prng_.one_in(20)) {
        a_.kept.clear();
        a_.held_back = 0;
      }
    }
    // All that is on its way arrives, all that waits is sent or given up.
    wire_.set_faults({});
    for (int i = 0; i < 200; ++i) {
      wire_.advance_to(wire_.now() + 100 * kMillisecond);
      for (Station* station : {&a_, &b_}) {
        station->network.poll(wire_.now(), *station);
        station->network.flush();
      }
    }
    for (Station* station : {&a_, &b_}) {
      EXPECT_EQ(station->network.neighbours().held(), 0u);
      EXPECT_TRUE(station->lender.out.empty()) << station->lender.out.size() << " not back";
      EXPECT_EQ(station->nic.buffers_out(), station->kept.size());
      station->kept.clear();
      EXPECT_EQ(station->nic.buffers_out(), 0u);
    }
  }
  uint64_t good() const { return a_.good + b_.good; }
  uint64_t bad() const { return a_.bad + b_.bad; }

 private:
  sim::WireFaults draw_faults() {
    const auto permille = [&] { return prng_.one_in(2) ? static_cast<unsigned>(prng_.below(200)) : 0; };
    sim::WireFaults faults{.lose_permille = permille(),
                           .duplicate_permille = permille(),
                           .reorder_permille = permille(),
                           .corrupt_permille = permille(),
                           .cut_permille = permille(),
                           .delay_max = static_cast<Nanos>(prng_.between(5, 200'000)) * kMicrosecond};
    if (prng_.one_in(3)) faults.bytes_per_second = prng_.between(100'000, 100'000'000);
    return faults;
  }
  sim::SimNicOptions options(uint8_t last) {
    const bool device_sums = prng_.one_in(2);
    return {.mac = {{std::byte{2}, {}, {}, {}, {}, std::byte{last}}},
            .capabilities = {.tx_ip_checksum = device_sums && prng_.one_in(2),
                             .tx_tcp_checksum = device_sums,
                             .takes_references = prng_.one_in(2),
                             .tso_bytes = device_sums && prng_.one_in(2) ? prng_.between(1, 64'000) : 0},
            .buffers = prng_.between(8, 200),
            .ring = prng_.between(4, 100)};
  }
  net::NetworkConfig config(const char* v4, const char* v6) {
    return {.v4 = net::parse_interface_address(v4),
            .v6 = net::parse_interface_address(v6),
            .neighbours = prng_.between(1, 8),
            .frames_held = prng_.between(1, 40),
            .hash_seed = prng_.next()};
  }
  void turn(Station& station, std::set<Bytes>& sent, const Addresses& v4, const Addresses& v6) {
    station.network.poll(wire_.now(), station);
    for (uint64_t n = prng_.below(6); n > 0; --n) {
      const Addresses& pair = prng_.one_in(2) ? v4 : v6;
      // Never empty pieces; the memory lives as long as the test, since it is lent.
      auto& data = memory_.emplace_back(prng_.below(1200));
      prng_.fill(data);
      const size_t cut = data.size() < 2 ? 0 : prng_.between(1, data.size() - 1);
      std::vector<net::TxPiece> pieces;
      if (cut > 0) pieces.push_back({std::span(data).first(cut)});
      if (data.size() > cut) pieces.push_back({std::span(data).subspan(cut)});
      Bytes header = tcp(pair.ours, pair.peer, static_cast<uint16_t>(prng_.next()), 9092,
                         prng_.one_in(4) && data.empty() ? 0x02 : 0x10, data);
      sent.insert(header);
      header.resize(20);
      store_be(header.data() + 16, uint16_t{0});
      const bool lends = prng_.one_in(2);
      if (lends) station.lender.out.insert(++token_);
      station.network.send(pair.ours, pair.peer, header, pieces, lends ? &station.lender : nullptr, token_);
      if (prng_.one_in(3)) station.network.confirm(pair.peer);
    }
    station.network.flush();
  }

  Prng prng_;
  std::deque<Bytes> memory_;
  std::set<Bytes> sent_by_a_;
  std::set<Bytes> sent_by_b_;
  uint64_t token_ = 0;
  sim::SimWire wire_;
  Station a_;
  Station b_;
};

TEST(NetSim, SeedsHold) {
  set_log_sink([](LogLevel, std::string_view) {});
  const uint64_t one = number_from("PENSTOCK_SIM_SEED", 0);
  const uint64_t first = one != 0 ? one : 1;
  const uint64_t count = one != 0 ? 1 : number_from("PENSTOCK_SIM_SEEDS", 50);
  uint64_t good = 0;
  uint64_t bad = 0;
  for (uint64_t seed = first; seed < first + count && !HasFailure(); ++seed) {
    NetSim sim(seed);
    sim.run();
    EXPECT_FALSE(HasFailure()) << "replay with PENSTOCK_SIM_SEED=" << seed;
    good += sim.good();
    bad += sim.bad();
  }
  EXPECT_GT(good, count * 10);
  EXPECT_TRUE(bad > 0 || one != 0);
}

}  // namespace
}  // namespace penstock::net_test
