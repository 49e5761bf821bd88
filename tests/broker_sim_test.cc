// Seeds of the broker simulator. PENSTOCK_SIM_SEEDS says how many (default 50), PENSTOCK_SIM_SEED replays one.
#include "tests/sim/broker_sim.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "base/log.h"

namespace penstock::sim {
namespace {

uint64_t number_from(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(BrokerSim, SeedsHold) {
  set_log_sink([](LogLevel, std::string_view) {});
  const uint64_t one = number_from("PENSTOCK_SIM_SEED", 0);
  const uint64_t first = one != 0 ? one : 1;
  const uint64_t last = one != 0 ? one : number_from("PENSTOCK_SIM_SEEDS", 50);
  uint64_t acked = 0, crashes = 0, resent = 0;
  for (uint64_t seed = first; seed <= last; ++seed) {
    BrokerSim sim(seed);
    ASSERT_EQ(sim.run(4, 250), "") << "replay with: scripts/dev sim " << seed;
    acked += sim.acked();
    crashes += sim.crashes();
    resent += sim.resent();
  }
  std::printf("%llu batches acked, %llu crashes, %llu batches sent again\n", static_cast<unsigned long long>(acked),
              static_cast<unsigned long long>(crashes), static_cast<unsigned long long>(resent));
  EXPECT_GT(acked, 0u);
  EXPECT_GT(crashes, 0u);
}

TEST(BrokerSim, ASeedRunTwiceGivesTheSameTrace) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    BrokerSim first(seed), second(seed);
    ASSERT_EQ(first.run(3, 200), "");
    ASSERT_EQ(second.run(3, 200), "");
    EXPECT_EQ(first.trace_hash(), second.trace_hash()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace penstock::sim
