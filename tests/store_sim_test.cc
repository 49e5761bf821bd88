// Seeds of the store simulator. PENSTOCK_SIM_SEEDS says how many (default 50), PENSTOCK_SIM_SEED replays one.
#include "tests/sim/store_sim.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "base/log.h"

namespace penstock::sim {
namespace {

uint64_t number_from(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

void quiet(LogLevel, std::string_view) {}

TEST(StoreSim, SeedsHold) {
  set_log_sink(quiet);
  const uint64_t one = number_from("PENSTOCK_SIM_SEED", 0);
  const uint64_t first = one != 0 ? one : 1;
  const uint64_t last = one != 0 ? one : number_from("PENSTOCK_SIM_SEEDS", 50);
  uint64_t acked = 0, crashes = 0;
  for (uint64_t seed = first; seed <= last; ++seed) {
    StoreSim sim(seed);
    ASSERT_EQ(sim.run(6, 400), "") << "replay with: scripts/dev sim " << seed;
    acked += sim.acked_batches();
    crashes += sim.crashes();
  }
  RecordProperty("acked_batches", static_cast<int>(acked));
  RecordProperty("crashes", static_cast<int>(crashes));
  EXPECT_GT(acked, 0u);
}

TEST(StoreSim, ASeedRunTwiceGivesTheSameTrace) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    StoreSim first(seed), second(seed);
    ASSERT_EQ(first.run(4, 300), "");
    ASSERT_EQ(second.run(4, 300), "");
    EXPECT_EQ(first.trace_hash(), second.trace_hash()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace penstock::sim
