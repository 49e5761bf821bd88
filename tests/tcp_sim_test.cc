// Seeds of the two-stack simulator. PENSTOCK_SIM_SEEDS says how many (default 200), PENSTOCK_SIM_FIRST where they
// begin, PENSTOCK_SIM_SEED replays one.
#include "tests/sim/tcp_sim.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/sim/replay.h"

namespace penstock::sim {
namespace {

using dataplane::tcp::Metric;

uint64_t number_from(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(TcpSim, SeedsHold) {
  const uint64_t one = number_from("PENSTOCK_SIM_SEED", 0);
  const uint64_t first = one != 0 ? one : number_from("PENSTOCK_SIM_FIRST", 1);
  const uint64_t count = one != 0 ? 1 : number_from("PENSTOCK_SIM_SEEDS", 200);
  uint64_t bytes = 0, timeouts = 0, recoveries = 0, probes = 0, undone = 0, cookies = 0, cut = 0;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    TcpSim sim(seed);
    ASSERT_EQ(sim.run(), "") << "replay with: scripts/dev sim " << seed << "\n" << sim.describe();
    bytes += sim.bytes_delivered();
    timeouts += sim.count(Metric::tcp_timeouts);
    recoveries += sim.count(Metric::tcp_recoveries);
    probes += sim.count(Metric::tcp_loss_probes);
    undone += sim.count(Metric::tcp_undone);
    cut += sim.frames_cut();
    cookies += sim.count(Metric::tcp_cookies_accepted);
    if (one != 0) print_trace(seed, sim.trace_hash());
  }
  std::printf("%llu bytes, %llu timeouts, %llu recoveries, %llu loss probes, %llu undone, %llu cookies, %llu cut\n",
              static_cast<unsigned long long>(bytes), static_cast<unsigned long long>(timeouts),
              static_cast<unsigned long long>(recoveries), static_cast<unsigned long long>(probes),
              static_cast<unsigned long long>(undone), static_cast<unsigned long long>(cookies),
              static_cast<unsigned long long>(cut));
  if (count >= 50) {
    EXPECT_GT(bytes, 0u);
    EXPECT_GT(timeouts, 0u);
    EXPECT_GT(recoveries, 0u);
    EXPECT_GT(probes, 0u);
    EXPECT_GT(cut, 0u);
  }
}

TEST(TcpSim, ASeedRunTwiceGivesTheSameTrace) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    TcpSim first(seed), second(seed);
    ASSERT_EQ(first.run(), "");
    ASSERT_EQ(second.run(), "");
    EXPECT_EQ(first.trace_hash(), second.trace_hash()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace penstock::sim
