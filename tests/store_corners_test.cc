// Corners of the store that a reader of the code found and the simulator seldom comes to, a named case each: a reader
// must be told, a ring must not be held for ever, nothing that was acknowledged may be passed over.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/log.h"
#include "storage/ring/state_slots.h"
#include "storage/segment/segment_path.h"
#include "tests/sim/store_rig.h"

namespace penstock::sim {
namespace {

using storage::AppendStatus;
using storage::LogId;
using storage::Metric;
using storage::ReadStatus;

class StoreCorners : public testing::Test {
 protected:
  void SetUp() override {
    set_log_sink([](LogLevel, std::string_view) {});
  }
};

// Every log in segments of 100 kB, cleanly stopped.
void with_segments(StoreRig& rig) {
  rig.config.segment_bytes = 100'000;
  ASSERT_EQ(rig.open(), "");
  for (int i = 0; i < 40; ++i) {
    for (const auto& [id, model] : rig.logs)
      ASSERT_TRUE(rig.turn_until([&, log = id] { return rig.append_to(log, 9'000).has_value(); }));
  }
  rig.settle();
  rig.stop();
}

std::string segment_file(uint64_t log, int64_t base) { return storage::segment_path("data", LogId{log}, Offset{base}); }

// Whether readable_logs() names the log within so many turns.
bool is_told(StoreRig& rig, uint64_t log, int turns = 3000) {
  for (int i = 0; i < turns; ++i) {
    rig.turn();
    const auto told = rig.store->readable_logs();
    if (std::ranges::find(told, LogId{log}) != told.end()) return true;
  }
  return false;
}

// ---------------------------------------------------------------- readers are told

TEST_F(StoreCorners, WhoeverWaitsForAnIndexIsToldAlsoWhenManyAreLoaded) {
  StoreRig rig(1, {1, 2, 3, 4, 5, 6, 7});
  ASSERT_NO_FATAL_FAILURE(with_segments(rig));
  ASSERT_EQ(rig.open(), "");
  std::vector<LogId> untold;
  for (const auto& [id, model] : rig.logs) {
    ASSERT_EQ(rig.store->plan_read(LogId{id}, Offset{0}, 100'000, true).status, ReadStatus::kPending);
    untold.push_back(LogId{id});
  }
  EXPECT_TRUE(rig.turn_until([&] {
    for (const LogId log : rig.store->readable_logs()) std::erase(untold, log);
    return untold.empty();
  })) << untold.size()
      << " wait for ever";
}

TEST_F(StoreCorners, WhoeverReadsWhatIsDeletedMeanwhileIsTold) {
  StoreRig rig(2, {1});
  ASSERT_NO_FATAL_FAILURE(with_segments(rig));
  ASSERT_EQ(rig.open(), "");
  const auto pending = [&] {
    return rig.store->plan_read(LogId{1}, Offset{0}, 100'000, true).status == ReadStatus::kPending;
  };
  ASSERT_TRUE(pending());  // its index
  ASSERT_TRUE(is_told(rig, 1));
  ASSERT_TRUE(pending());  // its block
  ASSERT_EQ(rig.store->trim(LogId{1}, Offset{40}).status, storage::TrimStatus::kTrimmed);
  EXPECT_TRUE(is_told(rig, 1)) << "nothing will come: it has to ask again";
  EXPECT_EQ(rig.store->plan_read(LogId{1}, Offset{0}, 100'000, true).status, ReadStatus::kGone);
}

// ---------------------------------------------------------------- the ring goes on

// The ring's tail stands inside a chunk after a clean stop; what is kept for small entries may reach into that chunk
// when the ring is full, below the tail: what the tail keeps is still there.
TEST_F(StoreCorners, WhatTheTailKeepsIsReadThoughItsChunkIsBegunAgain) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    StoreRig rig(seed, {1, 2});
    ASSERT_EQ(rig.open(), "");
    ASSERT_TRUE(rig.append_to(2, 100));
    while (rig.store->durable().value() % kMiB < kMiB - 40 * kKiB) {
      ASSERT_TRUE(rig.append_to(1, 5'000));
      rig.settle();
    }
    rig.stop();
    ASSERT_EQ(rig.open(), "");
    rig.disk.faults().fail_writes_always = "data/logs";
    for (int i = 0; i < 2'000; ++i) {
      rig.append_to(1, rig.prng.between(1'000, 20'000));
      rig.turn();
    }
    ASSERT_FALSE(rig.append_to(1, 20'000));
    const auto end = rig.store->offsets(LogId{1})->durable;
    EXPECT_NE(rig.store->plan_read(LogId{1}, Offset{end.value() - 1}, 100'000, true).status, ReadStatus::kGone);
    rig.disk.faults().fail_writes_always = "";
    EXPECT_TRUE(rig.turn_until([&] { return rig.append_to(1, 20'000).has_value(); }));
    rig.settle();
    EXPECT_EQ(rig.check_acked(), "") << seed;
  }
}

}  // namespace
}  // namespace penstock::sim
