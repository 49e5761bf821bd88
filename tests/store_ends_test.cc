// Where segments end: what the simulator's rare seeds found there, a named case each.
#include <gtest/gtest.h>

#include "base/log.h"
#include "storage/segment/segment_path.h"
#include "tests/sim/store_rig.h"

namespace penstock::sim {
namespace {

using storage::AppendStatus;
using storage::LogId;

constexpr size_t kBlock = 4096;

class StoreEnds : public testing::Test {
 protected:
  void SetUp() override {
    set_log_sink([](LogLevel, std::string_view) {});
  }
};

// A batch of exactly so many bytes.
std::vector<std::byte> batch_of(size_t bytes) {
  for (size_t value = bytes - 100;; ++value) {
    protocol::BatchBuilder builder;
    builder.add(SimClock().wall_ms(), std::nullopt, std::vector<std::byte>(value, std::byte{7}));
    auto batch = builder.finish();
    if (batch.size() >= bytes) return batch;
  }
}

// The first bytes of a batch are those of its offset, and zeros: an open segment that ends there is not damaged.
TEST_F(StoreEnds, AnOpenSegmentMayEndAFewZerosInsideABatch) {
  for (const size_t inside : {1u, 3u, 7u}) {
    StoreRig rig(inside, {1});
    rig.config.segment_bytes = 64 * kMiB;
    ASSERT_EQ(rig.open(), "");
    const auto append = [&](size_t bytes) {
      return rig.append_batch(1, batch_of(bytes)).status == AppendStatus::kAppended;
    };
    // One write of the destager takes a MiB.
    for (size_t i = 0; i < kMiB / kBlock - 1; ++i) ASSERT_TRUE(append(kBlock));
    ASSERT_TRUE(append(kBlock - inside));
    for (int i = 0; i < 30; ++i) ASSERT_TRUE(append(kBlock));
    rig.settle();
    const std::string path = storage::segment_path("data", LogId{1}, {Offset{0}});
    ASSERT_EQ(rig.disk.contents(path).size(), kMiB);
    rig.crash();
    ASSERT_EQ(rig.open(), "");
    EXPECT_EQ(rig.check_acked(), "") << inside;
    EXPECT_GT(rig.counters.get(storage::Metric::index_rebuilds), 0u) << "what is cold was not read";
    EXPECT_EQ(rig.counters.get(storage::Metric::segments_damaged), 0u) << inside;
  }
}

// What is written over the block that holds a segment's end may tear it: its bytes are durable in the ring before that.
TEST_F(StoreEnds, ABlockIsWrittenAgainOnlyWhenItsHeadIsDurableInTheRing) {
  int torn = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    StoreRig rig(seed, {1});
    ASSERT_EQ(rig.open(), "");
    ASSERT_TRUE(rig.append_to(1, 3'000));
    rig.settle();
    rig.stop();
    ASSERT_EQ(rig.open(), "");
    ASSERT_TRUE(rig.append_to(1, 5'000));
    rig.settle();
    const auto before = rig.store->durable();
    const uint64_t staged = rig.counters.get(storage::Metric::bytes_staged);
    rig.disk.faults().slow_disk = 100;
    rig.store->begin_stop();
    ASSERT_TRUE(rig.turn_until([&] { return rig.counters.get(storage::Metric::bytes_staged) > staged; }));
    EXPECT_GT(rig.counters.get(storage::Metric::bytes_relogged), 3'000u);
    ASSERT_GT(rig.store->durable(), before) << seed;  // nothing but the head has come since
    for (uint64_t turns = rig.prng.below(40); turns > 0; --turns) rig.turn();
    torn += rig.disk.ops_in_flight() > 0 ? 1 : 0;
    rig.crash();
    rig.disk.faults().slow_disk = 1;
    ASSERT_EQ(rig.open(), "") << seed;
    ASSERT_EQ(rig.check_acked(), "") << seed;
  }
  EXPECT_GT(torn, 20);
}

// What is left of a segment that was cut goes on: nothing of it counts as damaged, and no new one is begun.
TEST_F(StoreEnds, ASegmentThatWasCutGoesOn) {
  for (const int64_t to : {1, 8, 9, 13}) {  // inside blocks, of the first interval of checksums and of the second
    StoreRig rig(1, {1});
    ASSERT_EQ(rig.open(), "");
    for (int i = 0; i < 14; ++i) ASSERT_EQ(rig.append_batch(1, batch_of(kBlock + 9)).status, AppendStatus::kAppended);
    rig.settle();
    rig.stop();
    ASSERT_EQ(rig.open(), "");
    ASSERT_TRUE(rig.store->truncate(LogId{1}, Offset{to}));
    ASSERT_TRUE(rig.turn_until([&] { return !rig.store->truncating(LogId{1}); }));
    rig.logs.at(1).batches.resize(static_cast<size_t>(to));
    rig.logs.at(1).end_offset = to;
    for (const size_t bytes : {700, 9'000}) {
      ASSERT_TRUE(rig.append_to(1, bytes));
      rig.settle();
      rig.stop();
      ASSERT_EQ(rig.open(), "");
      EXPECT_EQ(rig.check_acked(), "") << to;
    }
    EXPECT_EQ(rig.counters.get(storage::Metric::destage_failures), 0u) << to;
    EXPECT_EQ(rig.counters.get(storage::Metric::segments_rolled), 0u) << to;
  }
}

// A segment that rolls right behind a truncation: its file is cut, which must not come before the truncation is
// durable, or a crash brings the log back without the bytes.
TEST_F(StoreEnds, ACutWaitsForItsTruncation) {
  int came_back = 0;
  for (uint64_t seed = 1; seed <= 80; ++seed) {
    StoreRig rig(seed, {1});
    rig.config.segment_bytes = 9 * kBlock;
    ASSERT_EQ(rig.open(), "");
    for (int i = 0; i < 9; ++i) ASSERT_EQ(rig.append_batch(1, batch_of(kBlock)).status, AppendStatus::kAppended);
    rig.settle();
    rig.stop();
    rig.compaction = true;  // by time: its segments are sealed for that
    ASSERT_EQ(rig.open(), "");
    rig.disk.faults().slow_disk = 100;
    ASSERT_TRUE(rig.store->truncate(LogId{1}, Offset{2}));
    ASSERT_TRUE(rig.turn_until([&] { return !rig.store->truncating(LogId{1}); }));
    rig.store->set_config(LogId{1}, {.compact = true, .max_compaction_lag_ms = 1});
    for (uint64_t turns = seed % 40; turns > 0; --turns) rig.turn();
    rig.crash();
    rig.disk.faults().slow_disk = 1;
    ASSERT_EQ(rig.open(), "") << seed;
    const int64_t end = rig.store->offsets(LogId{1})->durable.value();
    if (end != 9) continue;
    ++came_back;
    ASSERT_EQ(rig.check_acked(), "") << seed;
  }
  EXPECT_GT(came_back, 0);
}

// A stop that gives up on its drive cuts the open files to what counts as written. What the destager writes when the
// drive goes well again would be cut off with that, and the last slot would count on it.
TEST_F(StoreEnds, AStopThatGivesUpWritesNothingMore) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    StoreRig rig(seed, {1, 2});
    ASSERT_EQ(rig.open(), "");
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(rig.append(9'000));
    rig.settle();
    rig.disk.faults().fail_writes_always = "data/logs";
    rig.disk.faults().slow_disk = 300;
    rig.store->begin_stop();
    const Nanos well_at = rig.clock.monotonic() + 4'900 * kMillisecond + static_cast<Nanos>(seed) * 15 * kMillisecond;
    ASSERT_TRUE(rig.turn_until([&] {
      if (rig.clock.monotonic() >= well_at) rig.disk.faults().fail_writes_always.clear();
      return rig.store->stopped();
    }));
    rig.crash();
    ASSERT_EQ(rig.open(), "") << seed;
    ASSERT_EQ(rig.check_acked(), "") << seed;
  }
}

}  // namespace
}  // namespace penstock::sim
