// Crash points of small workloads, one after the other: power is lost at each op that the workload gives to the disk,
// before it and while it is under way, with pages that tear at 512 and at 4096 bytes. Also scripts of three steps
// between two stops. PENSTOCK_SIM_SEEDS of 1000 and more: every script, and every op of the small workloads.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "base/log.h"
#include "tests/sim/store_sim.h"

namespace penstock::sim {
namespace {

Swarm small_workload() {
  Swarm swarm;
  swarm.recovery_crash_percent = 0;
  swarm.ring_bytes = 2 * kMiB;  // half of a run's time is to write and read it
  swarm.segment_bytes_min = 64 * kKiB;
  swarm.segment_bytes_max = 64 * kKiB;
  return swarm;
}

// Records with few keys, cleaned where the script says so.
Swarm small_compaction() {
  Swarm swarm = small_workload();
  swarm.compact = true;
  swarm.compact_percent = 0;
  swarm.keys = 3;
  return swarm;
}

uint64_t seeds() {
  const char* text = std::getenv("PENSTOCK_SIM_SEEDS");
  return text == nullptr ? 0 : std::strtoull(text, nullptr, 10);
}

// How many crash points were tried.
uint64_t crash_everywhere(std::string_view script, uint64_t stride, const Swarm& swarm = small_workload()) {
  StoreSim whole(1, swarm);
  EXPECT_EQ(whole.run_script(script, {}), "") << script;
  const uint64_t ops = whole.ops_submitted();
  uint64_t tried = 0;
  constexpr StoreSim::PowerLoss kLosses[] = {
      {.behind = false, .tear_unit = 512},
      {.behind = true, .tear_unit = 512},
      {.behind = false, .tear_unit = 4096},
      {.behind = true, .tear_unit = 4096},
  };
  uint64_t first = 1;  // a stride takes other ops of each
  for (StoreSim::PowerLoss loss : kLosses) {
    for (loss.at_op = std::min(first++, stride); loss.at_op <= ops; loss.at_op += stride, ++tried) {
      StoreSim sim(loss.at_op, swarm);
      const std::string wrong = sim.run_script(script, loss);
      EXPECT_EQ(wrong, "") << script << " with power lost " << (loss.behind ? "behind" : "at") << " op " << loss.at_op
                           << ", torn at " << loss.tear_unit;
      if (!wrong.empty()) return tried;
    }
  }
  return tried;
}

TEST(StoreCrashPoints, EachOpOfSmallWorkloads) {
  set_log_sink([](LogLevel, std::string_view) {});
  constexpr std::string_view kScripts[] = {
      "aAbw",          // the ring alone
      "AABws",         // destage, to the byte
      "AABwsaws",      // a block written again, its head in the ring first
      "AAAAwsAAws",    // segments roll
      "AABwscwaws",    // a truncation into a segment
      "AAAAwscwAAws",  // and one over two
      "AABwstwAws",    // a trim
      "AABwsxwBws",    // a log deleted and one made
      "AABwkacwaws",   // a truncation in the ring, after a start that had to replay
      "aAwscwkaws",    // a truncation that only the ring knows
  };
  const uint64_t stride = seeds() >= 1000 ? 1 : 23;
  uint64_t tried = 0;
  for (const std::string_view script : kScripts) tried += crash_everywhere(script, stride);
  EXPECT_GT(tried, 100u);
}

TEST(StoreCrashPoints, EachOpOfSmallCompactions) {
  set_log_sink([](LogLevel, std::string_view) {});
  constexpr std::string_view kScripts[] = {
      "aaabwm",       // what only the ring had is sealed, and cleaned
      "AABwsmw",      // after a start
      "AAAAwmAAwmw",  // several segments, joined, and again
      "AAAAwmaws",    // a clean stop behind it
      "AAAAwmcwAws",  // a cut into a cleaned segment
      "AAAAwmtwAws",  // a trim of one
      "AAAAwmxwAw",   // its deletion
      "AAAAwmpkpmw",  // the process dies behind it
  };
  const uint64_t stride = seeds() >= 1000 ? 1 : 27;
  uint64_t tried = 0;
  for (const std::string_view script : kScripts) tried += crash_everywhere(script, stride, small_compaction());
  EXPECT_GT(tried, 100u);
  StoreSim whole(1, small_compaction());
  EXPECT_EQ(whole.run_script(kScripts[2], {}), "");
  EXPECT_GT(whole.counters().get(storage::Metric::compaction_swaps), 2u);
  EXPECT_GT(whole.counters().get(storage::Metric::compaction_records_removed), 2u);
}

TEST(StoreCrashPoints, EachScriptOfThreeSteps) {
  set_log_sink([](LogLevel, std::string_view) {});
  constexpr std::string_view kSteps = "aAtcxsk";
  const bool all = seeds() >= 1000;
  uint64_t tried = 0;
  uint64_t script = 0;
  for (const char first : kSteps)
    for (const char second : kSteps)
      for (const char third : kSteps)
        if (all || ++script % 11 == 0)
          tried += crash_everywhere(std::string("AAbws") + first + second + "w" + third + "aws", all ? 5 : 197);
  EXPECT_GT(tried, 50u);
}

}  // namespace
}  // namespace penstock::sim
