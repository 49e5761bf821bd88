// Seeds of the store simulator. PENSTOCK_SIM_SEEDS says how many (default 50), PENSTOCK_SIM_FIRST where they begin,
// PENSTOCK_SIM_SEED replays one.
#include "tests/sim/store_sim.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "base/log.h"

namespace penstock::sim {
namespace {

using storage::Metric;

constexpr int kLives = 5;
constexpr int kSteps = 400;

uint64_t number_from(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

void quiet(LogLevel, std::string_view) {}

struct Sum {
  uint64_t acked = 0, crashes = 0, kills = 0, stops = 0, poisoned = 0, lies = 0, refused = 0, hurt = 0, holes = 0,
           cut = 0, trims = 0, truncations = 0, repeats = 0, cold = 0, times = 0, disk_full = 0, ring_full = 0,
           rolled = 0, deleted = 0, scrubbed = 0, relogged = 0, retention = 0, rebuilds = 0, compactions = 0, swaps = 0,
           removed = 0, compacted_reads = 0, given_up = 0, seeds = 0;
  void add(const StoreSim& sim) {
    const StoreSim::Seen& seen = sim.seen();
    seeds += 1, acked += seen.acked, crashes += seen.crashes, kills += seen.kills, stops += seen.stops;
    poisoned += seen.poisoned, lies += seen.lies_struck, refused += seen.refused_after_a_lie,
        hurt += seen.logs_hurt_by_a_lie, holes += seen.holes_after_a_lie, cut += seen.recoveries_cut;
    trims += seen.trims, truncations += seen.truncations, repeats += seen.repeats, cold += seen.cold_reads;
    times += seen.times, disk_full += seen.disk_full, ring_full += seen.ring_full;
    rolled += sim.counters().get(Metric::segments_rolled), deleted += sim.counters().get(Metric::segments_deleted);
    scrubbed += sim.counters().get(Metric::scrubbed_bytes), relogged += sim.counters().get(Metric::bytes_relogged);
    retention += sim.counters().get(Metric::retention_trims), rebuilds += sim.counters().get(Metric::index_rebuilds);
    compactions += sim.counters().get(Metric::compactions), swaps += sim.counters().get(Metric::compaction_swaps);
    removed += sim.counters().get(Metric::compaction_records_removed);
    given_up += sim.counters().get(Metric::compaction_failures), compacted_reads += seen.compacted_reads;
  }
  std::string text() const {
    return fmt::format(
        "{} seeds: acked {}, crashes {}, kills {}, stops {}, poisoned {}, lies that struck {} (refused {}, logs hurt "
        "{}, holes {}), recoveries cut {}, "
        "trims {}, truncations {}, repeats {}, cold reads {}, times {}, disk full {}, ring full {}, rolled {}, deleted "
        "{}, scrubbed KiB {}, relogged KiB {}, retention {}, index rebuilds {}, compactions {} (given up {}), swaps "
        "{}, "
        "records removed {}, reads of compacted logs {}",
        seeds, acked, crashes, kills, stops, poisoned, lies, refused, hurt, holes, cut, trims, truncations, repeats,
        cold, times, disk_full, ring_full, rolled, deleted, scrubbed / 1024, relogged / 1024, retention, rebuilds,
        compactions, given_up, swaps, removed, compacted_reads);
  }
};

TEST(StoreSim, SeedsHold) {
  const uint64_t one = number_from("PENSTOCK_SIM_SEED", 0);
  if (one == 0) set_log_sink(quiet);
  const uint64_t first = one != 0 ? one : number_from("PENSTOCK_SIM_FIRST", 1);
  const uint64_t count = one != 0 ? 1 : number_from("PENSTOCK_SIM_SEEDS", 50);
  Sum sum;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    StoreSim sim(seed);
    EXPECT_EQ(sim.run(kLives, kSteps), "") << "replay with: scripts/dev sim " << seed;
    sum.add(sim);
  }
  fmt::print("{}\n", sum.text());
  if (one != 0) return;
  // What is not reached is not tested.
  EXPECT_GT(sum.acked, 50 * count);
  EXPECT_GT(sum.crashes, count);
  EXPECT_GT(sum.stops, count / 4);
  EXPECT_GT(sum.trims, count / 2);
  EXPECT_GT(sum.truncations, count);
  EXPECT_GT(sum.repeats, count);
  EXPECT_GT(sum.cold, count);
  EXPECT_GT(sum.rolled, count);
  EXPECT_GT(sum.deleted, count);
  EXPECT_GT(sum.compactions, count / 2);
  EXPECT_GT(sum.swaps, count / 2);
  EXPECT_GT(sum.removed, 5 * count);
  EXPECT_GT(sum.compacted_reads, count);
}

TEST(StoreSim, ASeedRunTwiceGivesTheSameTrace) {
  set_log_sink(quiet);
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    StoreSim first(seed), second(seed);
    ASSERT_EQ(first.run(kLives, kSteps), second.run(kLives, kSteps));
    EXPECT_EQ(first.trace_hash(), second.trace_hash()) << "seed " << seed;
  }
}

// What a lie withholds and a later flush, or luck, makes durable all the same is no excuse for anything.
TEST(StoreSim, ALieStruckOnlyWhereSomethingIsLost) {
  uint64_t struck = 0, harmless = 0;
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    SimClock clock;
    SimDisk disk(clock, seed);
    disk.make_durable_dir("d");
    const auto file = disk.open("d/f", {.create = true}).value();
    disk.sync_dir("d").value();
    std::vector<std::byte> block(4096, std::byte{'a'});
    const bool by_flush = seed % 2 == 0, made_up_for = seed % 4 < 2;
    (by_flush ? disk.faults().flush_lies_in : disk.faults().lie_in) = 1;
    storage::DiskOp write{.kind = by_flush ? storage::DiskOp::Kind::kWrite : storage::DiskOp::Kind::kWriteDurable,
                          .file = file,
                          .memory = block};
    ASSERT_TRUE(storage::run_to_end(disk, write));
    for (int flushes = (by_flush ? 1 : 0) + (made_up_for ? 1 : 0); flushes > 0; --flushes) {
      storage::DiskOp flush{.kind = storage::DiskOp::Kind::kFlush, .file = file};
      ASSERT_TRUE(storage::run_to_end(disk, flush));
    }
    EXPECT_FALSE(disk.take_broken_promise());
    disk.crash();
    const bool whole = std::ranges::equal(disk.contents("d/f"), block);
    EXPECT_EQ(disk.take_broken_promise(), !whole) << seed;
    EXPECT_FALSE(disk.take_broken_promise());
    if (made_up_for) {
      EXPECT_TRUE(whole) << seed;
    }
    (whole ? harmless : struck) += 1;
  }
  EXPECT_GT(struck, 10u);
  EXPECT_GT(harmless, 60u);
}

}  // namespace
}  // namespace penstock::sim
