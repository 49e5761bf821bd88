// Seeds of the broker simulator. PENSTOCK_SIM_SEEDS says how many (default 48, shared out among the kinds),
// PENSTOCK_SIM_FIRST where they begin, PENSTOCK_SIM_SEED replays one.
#include "tests/sim/broker_sim.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "base/log.h"
#include "tests/sim/replay.h"

namespace penstock::sim {
namespace {

uint64_t number_from(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

constexpr int kLives = 5;
constexpr int kSteps = 400;

struct Sum {
  BrokerSim::Seen all;
  uint64_t punts = 0, cold = 0, rolled = 0;
  void add(const BrokerSim& sim) {
    const BrokerSim::Seen& seen = sim.seen();
    all.acked += seen.acked, all.resent += seen.resent, all.fetched += seen.fetched, all.parcels += seen.parcels;
    all.lent += seen.lent, all.copied_back += seen.copied_back;
    all.crashes += seen.crashes, all.power_at_op += seen.power_at_op, all.recoveries_cut += seen.recoveries_cut;
    all.kills += seen.kills, all.stops += seen.stops, all.laps += seen.laps, all.poisoned += seen.poisoned;
    all.refused_ring_full += seen.refused_ring_full, all.refused_disk_full += seen.refused_disk_full;
    all.refused_poisoned += seen.refused_poisoned, all.cut_off += seen.cut_off;
    for (size_t i = 0; i < seen.struck.size(); ++i) all.struck[i] += seen.struck[i];
    punts += sim.counters().get(storage::Metric::ring_punts);
    cold += sim.counters().get(storage::Metric::cold_bytes_read);
    rolled += sim.counters().get(storage::Metric::segments_rolled);
  }
  uint64_t of(BrokerFault fault) const { return all.of(fault); }
  std::string text() const {
    using enum BrokerFault;
    return fmt::format(
        "acked {}, sent again {}, records fetched {}, parts for others {}, lent KiB {}, of them copied {}; power lost "
        "{}, at an op {}, in recovery {}, "
        "kills {}, stops {}; laps {}, rolled {}, cold KiB {}, punts {}; slow disks {}, segment EIO {}, short {}, no "
        "space once {}, full disks {}, ring failures {}, flush failures {}, poisoned {}; refused: ring full {}, disk "
        "full {}, poisoned {}; connections cut off {}",
        all.acked, all.resent, all.fetched, all.parcels, all.lent / 1024, all.copied_back / 1024, all.crashes,
        all.power_at_op, all.recoveries_cut, all.kills, all.stops, all.laps, rolled, cold / 1024, punts, of(kSlowDisk),
        of(kSegmentEio), of(kSegmentShort), of(kNoSpaceOnce), of(kFullDisk), of(kRingFails), of(kFlushFails),
        all.poisoned, all.refused_ring_full, all.refused_disk_full, all.refused_poisoned, all.cut_off);
  }
};

// What is not reached is not tested. Well below what seeds reach on average; a few may leave out much.
void expect_reached(const Sum& sum, uint64_t seeds) {
  using enum BrokerFault;
  const BrokerSim::Seen& all = sum.all;
  EXPECT_GT(all.acked, 60 * seeds);
  if (seeds < 12) return;
  EXPECT_GT(all.resent, 20 * seeds);
  EXPECT_GT(all.fetched, 1000 * seeds);
  EXPECT_GT(all.crashes, seeds);
  EXPECT_GT(all.power_at_op, seeds / 3);
  EXPECT_GT(all.recoveries_cut, seeds / 2);
  EXPECT_GT(all.kills, seeds / 2);
  EXPECT_GT(all.stops, seeds / 4);
  EXPECT_GT(all.laps, seeds / 6);
  EXPECT_GT(sum.rolled, 4 * seeds);
  EXPECT_GT(sum.cold, seeds * kMiB);
  EXPECT_GT(sum.punts, 10 * seeds);
  EXPECT_GT(sum.of(kSegmentEio) + sum.of(kSegmentShort) + sum.of(kNoSpaceOnce), seeds / 6);
  EXPECT_GT(sum.of(kSlowDisk), seeds / 4);
  EXPECT_GT(sum.of(kFullDisk), seeds / 4);
  EXPECT_GT(sum.of(kRingFails) + sum.of(kFlushFails), seeds / 8);
  EXPECT_GT(all.poisoned, seeds / 8);
  EXPECT_GT(all.refused_ring_full, seeds);
  EXPECT_GT(all.refused_disk_full, seeds);
  EXPECT_GT(all.refused_poisoned, seeds);
  EXPECT_GT(all.cut_off, seeds / 10);
}

// lcores: those that a life of a broker may have.
void run_seeds(const std::vector<uint16_t>& lcores, uint64_t part_of_seeds, bool by_reference = false) {
  set_log_sink([](LogLevel, std::string_view) {});
  const uint64_t one = number_from("PENSTOCK_SIM_SEED", 0);
  const uint64_t first = one != 0 ? one : number_from("PENSTOCK_SIM_FIRST", 1);
  const uint64_t count = one != 0 ? 1 : number_from("PENSTOCK_SIM_SEEDS", 48) / part_of_seeds + 1;
  Sum sum;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    BrokerSim sim(seed, lcores, by_reference);
    ASSERT_EQ(sim.run(kLives, kSteps), "") << "replay with: scripts/dev sim " << seed;
    sum.add(sim);
    if (one != 0) print_trace(seed, sim.trace_hash());
  }
  fmt::print("{} seeds: {}\n", count, sum.text());
  if (one != 0) return;
  EXPECT_EQ(sum.all.parcels > 0, lcores != std::vector<uint16_t>{1});
  EXPECT_EQ(sum.all.lent > count * 100 * kKiB, by_reference);
  EXPECT_TRUE(count < 12 || (sum.all.copied_back > count * kKiB) == by_reference);
  expect_reached(sum, count);
}

TEST(BrokerSim, SeedsHold) { run_seeds({1}, 3); }
TEST(BrokerSim, SeedsHoldOnTwoLcores) { run_seeds({2}, 5); }
TEST(BrokerSim, SeedsHoldOnFourLcores) { run_seeds({4}, 5); }
TEST(BrokerSim, SeedsHoldWithAnotherNumberOfLcoresAtEachStart) { run_seeds({1, 2, 3, 4, 5}, 5); }

TEST(BrokerSim, SeedsHoldByReference) { run_seeds({1}, 5, true); }
TEST(BrokerSim, SeedsHoldByReferenceOnSeveralLcores) { run_seeds({1, 2, 3, 4}, 5, true); }

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
