// Seeds of the simulated group of both protocols (tests/sim/mixed_group_sim.h). PENSTOCK_SIM_SEEDS says how many
// (default 50), PENSTOCK_SIM_SEED replays one.
#include "tests/sim/mixed_group_sim.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/sim/replay.h"

namespace penstock::sim {
namespace {

uint64_t number_from(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(MixedGroupSim, SeedsHold) {
  const uint64_t one = number_from("PENSTOCK_SIM_SEED", 0);
  const uint64_t first = one != 0 ? one : 1;
  const uint64_t count = one != 0 ? 1 : number_from("PENSTOCK_SIM_SEEDS", 50);
  MixedGroupSim::Counts all;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    MixedGroupSim sim(seed);
    ASSERT_EQ(sim.run(), "") << "replay with: scripts/dev sim " << seed;
    all.upgrades += sim.counts().upgrades;
    all.downgrades += sim.counts().downgrades;
    all.crashes += sim.counts().crashes;
    all.records += sim.counts().records;
    if (one != 0) print_trace(seed, sim.trace_hash());
  }
  std::printf("%llu records, %llu upgrades, %llu downgrades, %llu crashes\n",
              static_cast<unsigned long long>(all.records), static_cast<unsigned long long>(all.upgrades),
              static_cast<unsigned long long>(all.downgrades), static_cast<unsigned long long>(all.crashes));
  if (count >= 50) {
    EXPECT_GT(all.upgrades, 0U);
    EXPECT_GT(all.downgrades, 0U);
    EXPECT_GT(all.crashes, 0U);
  }
}

TEST(MixedGroupSim, ASeedRunTwiceGivesTheSameTrace) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    MixedGroupSim first(seed), second(seed);
    ASSERT_EQ(first.run(), "");
    ASSERT_EQ(second.run(), "");
    EXPECT_EQ(first.trace_hash(), second.trace_hash()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace penstock::sim
