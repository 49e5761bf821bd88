// Seeds of the simulated next-generation group (tests/sim/group_sim.h). PENSTOCK_SIM_SEEDS says how many (default 50),
// PENSTOCK_SIM_SEED replays one.
#include "tests/sim/group_sim.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/sim/replay.h"

namespace penstock::sim {
namespace {

uint64_t number_from(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(GroupSim, SeedsHold) {
  const uint64_t one = number_from("PENSTOCK_SIM_SEED", 0);
  const uint64_t first = one != 0 ? one : 1;
  const uint64_t count = one != 0 ? 1 : number_from("PENSTOCK_SIM_SEEDS", 50);
  GroupSim::Counts all;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    GroupSim sim(seed);
    ASSERT_EQ(sim.run(), "") << "replay with: scripts/dev sim " << seed;
    all.fenced += sim.counts().fenced;
    all.crashes += sim.counts().crashes;
    all.expired += sim.counts().expired;
    all.leaps += sim.counts().leaps;
    all.late += sim.counts().late;
    all.records += sim.counts().records;
    if (one != 0) print_trace(seed, sim.trace_hash());
  }
  std::printf("%llu records, %llu fenced, %llu expired, %llu crashes, %llu leaps, %llu late\n",
              static_cast<unsigned long long>(all.records), static_cast<unsigned long long>(all.fenced),
              static_cast<unsigned long long>(all.expired), static_cast<unsigned long long>(all.crashes),
              static_cast<unsigned long long>(all.leaps), static_cast<unsigned long long>(all.late));
  if (count >= 50) {
    EXPECT_GT(all.fenced, 0U);
    EXPECT_GT(all.expired, 0U);
    EXPECT_GT(all.crashes, 0U);
    EXPECT_GT(all.leaps, 0U);
    EXPECT_GT(all.late, 0U);
  }
}

TEST(GroupSim, ASeedRunTwiceGivesTheSameTrace) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    GroupSim first(seed), second(seed);
    ASSERT_EQ(first.run(), "");
    ASSERT_EQ(second.run(), "");
    EXPECT_EQ(first.trace_hash(), second.trace_hash()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace penstock::sim
