// Seeds of the broker simulator. PENSTOCK_SIM_SEEDS says how many (default 48, shared out among the kinds),
// PENSTOCK_SIM_SEED replays one.
#include "tests/sim/broker_sim.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <vector>

#include "base/log.h"
#include "tests/sim/replay.h"

namespace penstock::sim {
namespace {

uint64_t number_from(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// lcores: those that a life of a broker may have.
void run_seeds(const std::vector<uint16_t>& lcores, uint64_t part_of_seeds) {
  set_log_sink([](LogLevel, std::string_view) {});
  const uint64_t one = number_from("PENSTOCK_SIM_SEED", 0);
  const uint64_t first = one != 0 ? one : 1;
  const uint64_t last = one != 0 ? one : number_from("PENSTOCK_SIM_SEEDS", 48) / part_of_seeds + 1;
  uint64_t acked = 0, crashes = 0, resent = 0, parcels = 0;
  for (uint64_t seed = first; seed <= last; ++seed) {
    BrokerSim sim(seed, lcores);
    ASSERT_EQ(sim.run(4, 250), "") << "replay with: scripts/dev sim " << seed;
    acked += sim.acked();
    crashes += sim.crashes();
    resent += sim.resent();
    parcels += sim.parcels();
    if (one != 0) print_trace(seed, sim.trace_hash());
  }
  std::printf("%llu batches acked, %llu crashes, %llu batches sent again, %llu parts of requests done for others\n",
              static_cast<unsigned long long>(acked), static_cast<unsigned long long>(crashes),
              static_cast<unsigned long long>(resent), static_cast<unsigned long long>(parcels));
  EXPECT_GT(acked, 0u);
  EXPECT_GT(crashes, 0u);
  EXPECT_EQ(parcels > 0, lcores != std::vector<uint16_t>{1});
}

TEST(BrokerSim, SeedsHold) { run_seeds({1}, 2); }
TEST(BrokerSim, SeedsHoldOnTwoLcores) { run_seeds({2}, 4); }
TEST(BrokerSim, SeedsHoldOnFourLcores) { run_seeds({4}, 4); }
TEST(BrokerSim, SeedsHoldWithAnotherNumberOfLcoresAtEachStart) { run_seeds({1, 2, 3, 4, 5}, 4); }

TEST(BrokerSim, ASeedRunTwiceGivesTheSameTrace) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    BrokerSim first(seed, {1, 2, 4}), second(seed, {1, 2, 4});
    ASSERT_EQ(first.run(3, 200), "");
    ASSERT_EQ(second.run(3, 200), "");
    EXPECT_EQ(first.trace_hash(), second.trace_hash()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace penstock::sim
