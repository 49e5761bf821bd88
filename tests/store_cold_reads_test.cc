// When the store reads cold blocks: ahead of whom, beside which writes, and that none is forgotten.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/log.h"
#include "storage/log/read_pace.h"
#include "storage/log/time_scans.h"
#include "tests/sim/store_rig.h"

namespace penstock::sim {
namespace {

using storage::LogId;
using storage::Metric;
using storage::ReadStatus;

class StoreColdReads : public testing::Test {
 protected:
  void SetUp() override {
    set_log_sink([](LogLevel, std::string_view) {});
  }
};

// Twelve blocks of log 1 on the drive, none in memory, and room for all of them.
void with_cold_log(StoreRig& rig) {
  rig.options.read_cache_bytes = 8 * kMiB;
  ASSERT_EQ(rig.open(), "");
  for (int i = 0; i < 150; ++i) {
    ASSERT_TRUE(rig.turn_until([&] { return rig.append_to(1, 20'000).has_value(); }));
  }
  rig.settle();
  rig.stop();
  ASSERT_EQ(rig.open(), "");
}

// One record of about bytes, of that time.
void append_of(StoreRig& rig, int64_t timestamp, size_t bytes) {
  const auto appended = [&] {
    protocol::BatchBuilder builder;
    builder.add(timestamp, std::nullopt, std::vector<std::byte>(bytes));
    return rig.append_batch(1, builder.finish()).status == storage::AppendStatus::kAppended;
  };
  ASSERT_TRUE(rig.turn_until(appended));
}

storage::TimeFound found_by_time(StoreRig& rig, int64_t t) {
  storage::TimeFound found{};
  rig.turn_until([&] {
    found = rig.store->find_by_time(LogId{1}, t);
    return found.status != ReadStatus::kPending;
  });
  return found;
}

// Whoever reads in order waits for the drive at the beginning, and then finds the next blocks there, though each look
// takes a block to its end. Whoever asks for one place has nothing read but its block.
TEST_F(StoreColdReads, OnlyAReaderInOrderHasBlocksReadAhead) {
  constexpr uint64_t kBlock = 256 * kKiB;
  StoreRig rig(12, {1});
  ASSERT_NO_FATAL_FAILURE(with_cold_log(rig));
  storage::ReadPlan plan;
  const auto ready = [&](int64_t from) {
    plan = rig.store->plan_read(LogId{1}, Offset{from}, 10 * kMiB, true);
    return plan.status == ReadStatus::kReady;
  };
  const auto cold_read = [&] { return rig.counters.get(Metric::cold_bytes_read); };
  ASSERT_TRUE(rig.turn_until([&] { return ready(68); }));  // it and the one before it lie in the first half of a block
  for (int i = 0; i < 100; ++i) rig.turn();
  EXPECT_EQ(cold_read(), kBlock);
  ASSERT_TRUE(rig.turn_until([&] { return ready(0); }));
  storage::ReadCursor cursor = plan.cursor;
  ASSERT_GT(cursor.remaining, 11 * kBlock);
  int waits = 0;
  for (std::array<std::span<const std::byte>, 1> pieces; cursor.remaining > 0;) {
    const auto viewed = rig.store->view(cursor, SIZE_MAX, pieces);
    waits += viewed ? 0 : 1;
    if (viewed) rig.store->advance(cursor, std::min<uint64_t>(pieces[0].size(), cursor.remaining));
    for (int i = 0; i < 100; ++i) rig.turn();
  }
  EXPECT_LE(waits, 1);
  EXPECT_LT(cold_read(), 14 * kBlock) << "each once";
}

// While a producer waits for the drive it is given no more than one block to read at a time, and the reader still gets
// to its end; without one, as many as are read ahead.
TEST_F(StoreColdReads, ColdReadsGiveWayToWritesThatProducersWaitFor) {
  constexpr uint64_t kBlock = 256 * kKiB;
  for (const bool is_beside_writes : {false, true}) {
    StoreRig rig(13, {1, 2});
    ASSERT_NO_FATAL_FAILURE(with_cold_log(rig));
    uint64_t most_at_once = 0;
    const auto turn = [&] {
      const uint64_t before = rig.counters.get(Metric::cold_bytes_read);
      if (is_beside_writes) rig.append_to(2, 300);
      rig.turn();
      most_at_once = std::max(most_at_once, rig.counters.get(Metric::cold_bytes_read) - before);
    };
    storage::ReadPlan plan{.status = ReadStatus::kPending, .cursor = {}};
    for (int i = 0; i < 10'000 && plan.status != ReadStatus::kReady; ++i) {
      plan = rig.store->plan_read(LogId{1}, Offset{0}, 10 * kMiB, true);
      turn();
    }
    ASSERT_EQ(plan.status, ReadStatus::kReady);
    storage::ReadCursor cursor = plan.cursor;
    std::array<std::span<const std::byte>, 1> pieces;
    for (int i = 0; i < 10'000 && cursor.remaining > 0; ++i) {
      if (rig.store->view(cursor, SIZE_MAX, pieces))
        rig.store->advance(cursor, std::min<uint64_t>(pieces[0].size(), cursor.remaining));
      turn();
    }
    EXPECT_EQ(cursor.remaining, 0u);
    if (is_beside_writes)
      EXPECT_LE(most_at_once, kBlock);
    else
      EXPECT_GT(most_at_once, kBlock);
    rig.settle();
  }
}

// A loop that sleeps until the store's next deadline misses no read that was held back, though its pause ends while the
// loop is busy with other things.
TEST_F(StoreColdReads, AReadThatWasHeldBackHasADeadline) {
  StoreRig rig(14, {1, 2});
  ASSERT_NO_FATAL_FAILURE(with_cold_log(rig));
  int held_back = 0;
  for (int64_t from = 0; from < 40; from += 10) {
    const auto are_ready = [&] {  // in two blocks, of which one is read behind the other
      const auto is_ready = [&](int64_t at) {
        return rig.store->plan_read(LogId{1}, Offset{at}, 10 * kMiB, true).status == ReadStatus::kReady;
      };
      const bool first = is_ready(from);
      return is_ready(from + 50) && first;
    };
    for (int i = 0; i < 1000 && !are_ready(); ++i) {
      rig.append_to(2, 300);
      rig.turn();
      if (rig.disk.ops_in_flight() > 0 || are_ready()) continue;
      rig.clock.advance(storage::ReadPace::kPauseMost / 2);
      ++held_back;
      ASSERT_LE(rig.store->next_deadline(), rig.clock.monotonic() + storage::ReadPace::kCalm);
    }
  }
  EXPECT_GT(held_back, 0);
  rig.settle();
}

// Twelve blocks on the drive and a cache of four. What the log's start has passed was late enough for each search, and
// of the rest only the end is: all of it has to be looked at.
void with_late_end(StoreRig& rig, int64_t last_timestamp, int64_t second_timestamp = 1000) {
  rig.options.read_cache_bytes = kMiB;
  ASSERT_EQ(rig.open(), "");
  for (int i = 0; i < 150; ++i) {
    const int64_t timestamp = i == 0 ? 5000 : i == 1 ? second_timestamp : i < 149 ? 1000 : last_timestamp;
    ASSERT_NO_FATAL_FAILURE(append_of(rig, timestamp, 20'000));
  }
  rig.settle();
  rig.stop();
  ASSERT_EQ(rig.open(), "");
  ASSERT_EQ(rig.store->trim(LogId{1}, Offset{1}).status, storage::TrimStatus::kTrimmed);
}

TEST_F(StoreColdReads, ATimeBehindMoreThanTheCacheHoldsIsFound) {
  StoreRig rig(15, {1});
  ASSERT_NO_FATAL_FAILURE(with_late_end(rig, 9000));
  const auto found = found_by_time(rig, 2000);
  ASSERT_EQ(found.status, ReadStatus::kReady);
  ASSERT_TRUE(found.found);
  EXPECT_EQ(found.found->offset, Offset{149});
}

TEST_F(StoreColdReads, TheGreatestTimeBehindMoreThanTheCacheHoldsIsFound) {
  StoreRig rig(16, {1});
  ASSERT_NO_FATAL_FAILURE(with_late_end(rig, 3000));
  storage::TimeFound found{};
  ASSERT_TRUE(rig.turn_until([&] {
    found = rig.store->find_max_time(LogId{1});
    return found.status != ReadStatus::kPending;
  }));
  ASSERT_TRUE(found.found);
  EXPECT_EQ(found.found->offset, Offset{149});
  EXPECT_EQ(found.found->timestamp, 3000);
}

// Each is woken by what was read for the others, and needs other blocks than they.
TEST_F(StoreColdReads, SearchesForManyTimesOfOneLogEnd) {
  for (const size_t searches : {size_t{3}, storage::TimeScans::kMost + 8}) {
    StoreRig rig(17, {1});
    ASSERT_NO_FATAL_FAILURE(with_late_end(rig, 4500));
    std::vector<storage::TimeFound> found(searches);
    ASSERT_TRUE(rig.turn_until([&] {
      bool all = true;
      for (size_t i = 0; i < found.size(); ++i) {
        if (found[i].found) continue;
        found[i] = rig.store->find_by_time(LogId{1}, 4000 - static_cast<int64_t>(i));
        all = all && found[i].status != ReadStatus::kPending;
      }
      return all;
    }));
    for (const storage::TimeFound& each : found) {
      ASSERT_TRUE(each.found);
      EXPECT_EQ(each.found->offset, Offset{149});
    }
  }
}

// At each moment of the search.
TEST_F(StoreColdReads, TheGreatestTimeIsFoundThoughTheStartPassesWhatItWas) {
  bool is_ended = false;
  for (int turns = 1; !is_ended; turns += 2) {
    ASSERT_LT(turns, 1000);
    StoreRig rig(18, {1});
    ASSERT_NO_FATAL_FAILURE(with_late_end(rig, 1000, 4000));
    storage::TimeFound found = rig.store->find_max_time(LogId{1});
    for (int i = 0; i < turns && found.status == ReadStatus::kPending; ++i) {
      rig.turn();
      found = rig.store->find_max_time(LogId{1});
    }
    is_ended = found.status != ReadStatus::kPending;
    if (!is_ended) {
      ASSERT_EQ(rig.store->trim(LogId{1}, Offset{2}).status, storage::TrimStatus::kTrimmed);
      ASSERT_TRUE(rig.turn_until([&] {
        found = rig.store->find_max_time(LogId{1});
        return found.status != ReadStatus::kPending;
      }));
    }
    ASSERT_TRUE(found.found) << turns;
    EXPECT_EQ(found.found->offset, Offset{is_ended ? 1 : 2});
    EXPECT_EQ(found.found->timestamp, is_ended ? 4000 : 1000);
  }
}

// Its records cannot be looked at: the batch answers as one that is compressed.
TEST_F(StoreColdReads, ATimeInABatchThatIsMoreThanTheCacheIsFound) {
  StoreRig rig(19, {1});
  rig.options.read_cache_bytes = kMiB;
  ASSERT_EQ(rig.open(), "");
  for (const size_t bytes : {100, 1'500'000, 100})
    ASSERT_NO_FATAL_FAILURE(append_of(rig, bytes == 100 ? 10 : 20, bytes));
  rig.settle();
  rig.stop();
  ASSERT_EQ(rig.open(), "");
  const auto found = found_by_time(rig, 15);
  ASSERT_EQ(found.status, ReadStatus::kReady);
  ASSERT_TRUE(found.found);
  EXPECT_EQ(found.found->offset, Offset{1});
  EXPECT_EQ(found.found->timestamp, 20);
}

}  // namespace
}  // namespace penstock::sim
