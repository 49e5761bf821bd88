// What a store does while descriptors, memory, or the ring's room, are short: what was refused is taken once there is
// some, without a restart; nothing is called damaged or failed that was only not to be had.
#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <string>

#include "base/log.h"
#include "tests/damage_rig.h"

namespace penstock::sim {
namespace {

using storage::AppendStatus;
using storage::ReadStatus;

class StoreShortage : public testing::Test {
 protected:
  void SetUp() override {
    set_log_sink([](LogLevel, std::string_view) {});
  }
};

// A client that comes again once a second.
AppendStatus append_patiently(StoreRig& rig, uint64_t log, size_t bytes, int tries = 10) {
  protocol::BatchBuilder builder;
  std::vector<std::byte> value(bytes);
  fill_fast(value, rig.prng);
  builder.add(rig.clock.wall_ms(), std::nullopt, value);
  const std::vector<std::byte> batch = builder.finish();
  AppendStatus status = AppendStatus::kBusy;
  while (tries-- > 0) {
    status = rig.append_batch(log, batch).status;
    if (status != AppendStatus::kRingFull && status != AppendStatus::kBusy) return status;
    for (int i = 0; i < 1000; ++i) rig.turn();
  }
  return status;
}

// ---------------------------------------------------------------- descriptors

// Every open fails until the ring is full and longer; no write and no flush has.
TEST_F(StoreShortage, WithoutDescriptorsARingFillsAndGoesOnWhenTheyAreBack) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    StoreRig rig(seed);
    rig.config.segment_bytes = 300'000;
    rig.options.open_files_max = 8;
    ASSERT_EQ(rig.open(), "");
    for (uint64_t i = 0; i < 20 + seed * 10; ++i) {
      rig.append(20'000);
      rig.turn();
    }
    DiskFaults& faults = rig.disk.faults();
    faults.no_descriptors = true;
    for (int i = 0; i < 1'000; ++i) {
      rig.append(20'000);
      rig.turn();
    }
    ASSERT_FALSE(rig.store->poisoned()) << seed;
    ASSERT_FALSE(rig.append_to(1, 20'000)) << "nothing could be freed";
    faults.no_descriptors = false;
    EXPECT_EQ(append_patiently(rig, 1, 20'000), AppendStatus::kAppended) << seed;
    EXPECT_EQ(append_patiently(rig, 2, 20'000), AppendStatus::kAppended) << seed;
    rig.settle();
    ASSERT_EQ(rig.check_acked(), "") << seed;
    rig.prng.one_in(2) ? rig.stop() : rig.crash();
    ASSERT_EQ(rig.open(), "");
    ASSERT_EQ(rig.check_acked(), "") << seed;
  }
}

// They come and go, at every step of destaging, flushing and reading.
TEST_F(StoreShortage, DescriptorsThatComeAndGoCostNothingButTime) {
  uint64_t delays = 0;
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    StoreRig rig(seed, {1, 2, 3, 4, 5, 6});
    rig.config.segment_bytes = 100'000;
    rig.options.open_files_max = 8;
    ASSERT_EQ(rig.open(), "");
    DiskFaults& faults = rig.disk.faults();
    for (int i = 0; i < 3'000; ++i) {
      if (rig.prng.one_in(20)) faults.no_descriptors = !faults.no_descriptors;
      if (rig.prng.one_in(60)) faults.fail_opens_under = faults.fail_opens_under.empty() ? "data/logs" : "";
      rig.append(rig.prng.between(100, 10'000));
      if (faults.no_descriptors && rig.prng.one_in(10)) {  // a state slot is due, and with it a flush
        rig.store->open_log(LogId{99}, rig.config);
        rig.store->drop_log(LogId{99});
      }
      rig.turn();
    }
    faults.no_descriptors = false;
    faults.fail_opens_under.clear();
    ASSERT_FALSE(rig.store->poisoned()) << seed;
    for (const auto& [id, model] : rig.logs)
      ASSERT_EQ(append_patiently(rig, id, 10'000), AppendStatus::kAppended) << seed;
    rig.settle();
    EXPECT_EQ(rig.check_acked(), "") << seed;
    EXPECT_EQ(rig.counters.get(Metric::segments_damaged), 0u) << seed;
    delays += rig.counters.get(Metric::state_write_delays);
    rig.prng.one_in(2) ? rig.stop() : rig.crash();
    ASSERT_EQ(rig.open(), "");
    ASSERT_EQ(rig.check_acked(), "") << seed;
  }
  EXPECT_GT(delays, 0u);
}

// With whole sidecars and without: the drive, or the kernel, does not open the file now.
TEST_F(StoreShortage, ASegmentThatCannotBeOpenedNowIsNotDamaged) {
  for (const bool descriptors : {true, false}) {
    for (const bool sidecars : {true, false}) {
      StoreRig rig(3);
      ASSERT_NO_FATAL_FAILURE(with_segments(rig));
      if (!sidecars)
        for (const std::string& path : files_of(rig.disk, 1, ".sidecar")) rig.disk.unlink(path).value();
      ASSERT_EQ(rig.open(), "");
      DiskFaults& faults = rig.disk.faults();
      if (descriptors) {
        faults.no_descriptors = true;
      } else {
        faults.fail_opens_under = "data/logs";
      }
      for (int64_t offset = 0; offset < 40; offset += 10) {
        EXPECT_EQ(plan_from(rig, 1, offset).status, ReadStatus::kDamaged) << offset;
        EXPECT_EQ(plan_from(rig, 1, offset).status, ReadStatus::kDamaged) << offset << ", asked again at once";
      }
      rig.settle();
      EXPECT_EQ(rig.store->health().damaged_logs, 0u);
      EXPECT_EQ(rig.counters.get(Metric::segments_damaged), 0u);
      faults.no_descriptors = false;
      faults.fail_opens_under.clear();
      rig.settle();
      EXPECT_EQ(rig.check_acked(), "") << descriptors << sidecars;
    }
  }
}

// ---------------------------------------------------------------- the ring's room

// Whatever its size and whatever the ring holds, a batch is told at once that it never fits, or an idle broker makes
// room for it.
TEST_F(StoreShortage, ABatchThatFitsTheRingIsTakenByAnIdleBroker) {
  uint64_t large = 0;
  uint64_t refused_first = 0;
  for (uint64_t seed = 1; seed <= 24; ++seed) {
    StoreRig rig(seed, {1, 2, 3, 4, 5, 6, 7, 8});
    rig.options.ring_bytes = static_cast<int64_t>(rig.prng.between(4, 8) * kMiB);
    ASSERT_EQ(rig.open(), "");
    for (uint64_t i = rig.prng.below(60); i > 0; --i) {
      rig.append(60'000);
      rig.turn();
    }
    rig.settle();
    const uint64_t refused = rig.counters.get(Metric::appends_refused_full);
    const size_t bytes = rig.prng.between(kMiB, static_cast<uint64_t>(rig.options.ring_bytes));
    const AppendStatus status = append_patiently(rig, 1, bytes);
    if (rig.counters.get(Metric::appends_refused_full) > refused) ++refused_first;
    if (status == AppendStatus::kTooLarge) {
      EXPECT_GE(bytes + kMiB + 100 * kKiB, static_cast<uint64_t>(rig.options.ring_bytes)) << seed;
      EXPECT_EQ(rig.counters.get(Metric::appends_refused_full), refused) << "it was told at once";
      continue;
    }
    ASSERT_EQ(status, AppendStatus::kAppended) << seed << ": " << bytes << " bytes of " << rig.options.ring_bytes;
    if (bytes * 2 > static_cast<uint64_t>(rig.options.ring_bytes)) ++large;
    rig.settle();
    ASSERT_EQ(rig.check_acked(), "") << seed;
    rig.crash();
    ASSERT_EQ(rig.open(), "") << seed;
    ASSERT_EQ(rig.check_acked(), "") << seed;
  }
  EXPECT_GT(large, 0u);
  EXPECT_GT(refused_first, 0u);
}

// The largest that there may be, with the ring's tail anywhere in its chunk.
TEST_F(StoreShortage, TheLargestBatchFitsWhereverTheTailIs) {
  StoreRig rig(9);
  ASSERT_EQ(rig.open(), "");
  size_t least = 0;
  size_t most = StoreRig::kRingBytes;
  while (most - least > 1) {
    const size_t bytes = least + (most - least) / 2;
    const std::vector<std::byte> batch(bytes);  // refused for its size, or for what it is
    (rig.append_batch(1, batch).status == AppendStatus::kTooLarge ? most : least) = bytes;
  }
  EXPECT_GT(least, StoreRig::kRingBytes - kMiB - 100 * kKiB);
  for (int i = 0; i < 12; ++i) {
    for (uint64_t n = rig.prng.below(40); n > 0; --n) append_patiently(rig, 2, 30'000);
    ASSERT_EQ(append_patiently(rig, 1, least - 200), AppendStatus::kAppended) << i;
  }
  rig.settle();
  ASSERT_EQ(rig.check_acked(), "");
  rig.crash();
  ASSERT_EQ(rig.open(), "");
  ASSERT_EQ(rig.check_acked(), "");
}

// ---------------------------------------------------------------- memory that there is not

// More than a process can address: no overcommit of the kernel's gives that.
constexpr int64_t kTooMuch = int64_t{1} << 50;

TEST_F(StoreShortage, ACacheThatMemoryDoesNotGiveIsRefusedByItsName) {
  StoreRig rig(7, {1});
  const int64_t usual = rig.options.read_cache_bytes;
  rig.options.read_cache_bytes = kTooMuch;
  EXPECT_EQ(rig.open(),
            "no memory for the 1073741824 MiB of penstock.read.cache.bytes; free some, or choose a smaller one");
  EXPECT_TRUE(rig.asked_for.empty());
  EXPECT_FALSE(rig.disk.exists(StoreRig::kRing)) << "and nothing was made";
  rig.options.read_cache_bytes = usual;
  EXPECT_EQ(rig.open(), "");
}

// A large ring takes minutes to write.
TEST_F(StoreShortage, ARingsMemoryIsThereBeforeItsFileIsWritten) {
  StoreRig rig(8, {1});
  rig.no_memory = true;
  const std::string said = rig.open();
  EXPECT_NE(said.find("no memory for the ring's 4 MiB"), std::string::npos) << said;
  EXPECT_FALSE(rig.disk.exists(StoreRig::kRing));
  EXPECT_FALSE(rig.disk.exists(std::string(StoreRig::kRing) + ".making"));
  rig.no_memory = false;
  EXPECT_EQ(rig.open(), "");
  EXPECT_EQ(rig.asked_for, (std::vector<size_t>{StoreRig::kRingBytes, StoreRig::kRingBytes})) << "once a start";
  rig.stop();
  // One that is there has its own size.
  rig.asked_for.clear();
  rig.options.ring_bytes = 2 * StoreRig::kRingBytes;
  EXPECT_EQ(rig.open(), "");
  EXPECT_EQ(rig.asked_for, std::vector<size_t>{StoreRig::kRingBytes});
}

// A device reads records where they lie, in memory that was made known to it: no copy of them lies anywhere else.
TEST_F(StoreShortage, ColdRecordsLieInMemoryThatWasGivenForThem) {
  StoreRig rig(14, {1});
  rig.gives_cache = true;
  rig.options.read_cache_bytes = 8 * kMiB;
  ASSERT_EQ(rig.open(), "");
  for (int i = 0; i < 150; ++i) ASSERT_EQ(append_patiently(rig, 1, 20'000), AppendStatus::kAppended);
  rig.settle();
  rig.stop();
  ASSERT_EQ(rig.open(), "");
  ASSERT_EQ(rig.cache.span().size(), 8 * kMiB);
  storage::ReadPlan plan;
  ASSERT_TRUE(rig.turn_until([&] {
    plan = rig.store->plan_read(LogId{1}, Offset{0}, 10 * kMiB, true);
    return plan.status == ReadStatus::kReady;
  }));
  storage::ReadCursor cursor = plan.cursor;
  const std::byte* begin = rig.cache.span().data();
  uint64_t seen = 0;
  for (std::array<std::span<const std::byte>, 1> pieces; cursor.remaining > 0;) {
    if (const auto viewed = rig.store->view(cursor, SIZE_MAX, pieces)) {
      ASSERT_TRUE(pieces[0].data() >= begin && &pieces[0].back() < begin + 8 * kMiB) << seen;
      seen += pieces[0].size();
      rig.store->advance(cursor, std::min<uint64_t>(pieces[0].size(), cursor.remaining));
    }
    rig.turn();
  }
  EXPECT_GT(seen, 2'900'000u);
  rig.stop();
  rig.no_memory = true;
  EXPECT_EQ(rig.open(), "no memory for the 8 MiB of penstock.read.cache.bytes; free some, or choose a smaller one");
}

}  // namespace
}  // namespace penstock::sim
