// Corners of the store that a reader of the code found and the simulator seldom comes to, a named case each: a reader
// must be told, a ring must not be held for ever, nothing that was acknowledged may be passed over.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <functional>

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

// Appends a batch as soon as it is taken; false if it is not within a simulated minute.
bool append_in_time(StoreRig& rig, uint64_t log, size_t bytes) {
  return rig.turn_until([&] { return rig.append_to(log, bytes).has_value(); });
}

// Every log in segments of 100 kB, cleanly stopped.
void with_segments(StoreRig& rig) {
  rig.config.segment_bytes = 100'000;
  ASSERT_EQ(rig.open(), "");
  for (int i = 0; i < 40; ++i) {
    for (const auto& [id, model] : rig.logs) ASSERT_TRUE(append_in_time(rig, id, 9'000));
  }
  rig.settle();
  rig.stop();
}

std::string segment_file(uint64_t log, int64_t base) {
  return storage::segment_path("data", LogId{log}, {Offset{base}});
}

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

// What gathered behind a frame is at the drive as soon as that one is back: what else the turn has to do comes behind.
TEST_F(StoreCorners, TheNextFrameGoesWhenTheOneBeforeIsBack) {
  StoreRig rig(1, {1});
  ASSERT_EQ(rig.open(), "");
  ASSERT_TRUE(rig.append_to(1, 1'000));
  rig.store->submit();
  ASSERT_TRUE(rig.append_to(1, 1'000));
  const uint64_t first = rig.store->commit_bytes();
  EXPECT_GT(first, 0u);
  rig.clock.advance(kMillisecond);
  rig.store->poll();
  EXPECT_GT(rig.store->durable(), storage::Lsn{0});
  EXPECT_EQ(rig.store->commit_bytes(), first);  // of the second
  rig.clock.advance(kMillisecond);
  rig.store->poll();
  EXPECT_EQ(rig.store->commit_bytes(), 0u);
  EXPECT_EQ(rig.store->offsets(LogId{1})->durable, Offset{2});
}

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
    EXPECT_TRUE(append_in_time(rig, 1, 20'000));
    rig.settle();
    EXPECT_EQ(rig.check_acked(), "") << seed;
  }
}

// Rot in the last block of a log's growing segment: that block can never be written again, but the log and all others
// of the ring go on.
TEST_F(StoreCorners, ARottenLastBlockHoldsNoRing) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    StoreRig rig(seed, {1, 2});
    rig.config.segment_bytes = 10 * kMiB;
    ASSERT_EQ(rig.open(), "");
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(rig.append_to(1, 1'000));
    rig.settle();
    rig.stop();
    const std::string path = segment_file(1, 0);
    const uint64_t bytes = rig.disk.contents(path).size();
    ASSERT_NE(bytes % 4096, 0u);
    const uint64_t block = align_down(bytes, 4096);
    if (seed % 2 == 0) {
      rig.disk.faults().fail_reads.push_back({.path = path, .at = block, .bytes = 4096});
    } else {
      rig.disk.flip_bit(path, block + rig.prng.below(bytes - block), 3);
    }
    ASSERT_EQ(rig.open(), "");
    ASSERT_TRUE(rig.append_to(1, 1'000));
    for (int i = 0; i < 1'000; ++i) ASSERT_TRUE(append_in_time(rig, 2, 20'000)) << seed << ": " << i;
    rig.settle();
    rig.crash();
    ASSERT_EQ(rig.open(), "");
    const auto of_1 = rig.logs.at(1);
    rig.logs.erase(1);
    EXPECT_EQ(rig.check_acked(), "") << seed;
    rig.logs[1] = of_1;
    const Offset new_one{10};
    ASSERT_EQ(rig.store->offsets(LogId{1})->durable, Offset{11});
    ReadStatus status{};
    EXPECT_TRUE(rig.turn_until([&] {
      status = rig.store->plan_read(LogId{1}, new_one, 100'000, true).status;
      return status != ReadStatus::kPending;
    }));
    EXPECT_EQ(status, ReadStatus::kReady) << "its new end is not concerned";
  }
}

// The drive has no room for a larger state slot: that ends no stop, and what waits for a slot gets one later.
TEST_F(StoreCorners, AStateThatCannotGrowEndsNoStop) {
  std::vector<uint64_t> ids;
  for (uint64_t id = 1; id <= 900; ++id) ids.push_back(id);
  for (const bool room_again : {false, true}) {
    StoreRig rig(3, ids);
    rig.next_log = 3000;
    ASSERT_EQ(rig.open(), "");
    for (uint64_t id = 1001; id <= 1400; ++id) {
      rig.store->open_log(LogId{id});
      rig.logs[id] = {};
    }
    ASSERT_TRUE(rig.append_to(1001, 100));
    rig.settle();
    rig.disk.faults().capacity_bytes = rig.disk.allocated_bytes() + 16 * kKiB;
    rig.store->drop_log(LogId{1400});  // wants a slot
    rig.logs.erase(1400);
    const uint64_t ops = rig.disk.ops_submitted();
    rig.settle();
    EXPECT_LT(rig.disk.ops_submitted() - ops, 30u) << "not tried without end";
    const uint64_t writes = rig.counters.get(Metric::state_writes);
    if (room_again) {
      rig.disk.faults().capacity_bytes = 0;
      EXPECT_TRUE(rig.turn_until([&] { return rig.counters.get(Metric::state_writes) > writes; }));
      rig.disk.faults().capacity_bytes = rig.disk.allocated_bytes();
    }
    rig.store->begin_stop();
    EXPECT_TRUE(rig.turn_until([&] { return rig.store->stopped(); }));
    rig.crash();
    rig.disk.faults().capacity_bytes = 0;
    ASSERT_EQ(rig.open(), "");
    EXPECT_EQ(rig.check_acked(), "");
  }
}

// ---------------------------------------------------------------- nothing is passed over

// A slot may say of a log that all up to a place in the ring is in it, when the ring has not come there yet. If it
// never does, a later start writes other things there. When that start's own slot rots, the older one must not hide
// them.
TEST_F(StoreCorners, AnOlderSlotHidesNothingOfALaterGeneration) {
  StoreRig rig(4, {1, 2, 3});
  ASSERT_EQ(rig.open(), "");
  ASSERT_TRUE(rig.append_to(1, 1'000));
  rig.settle();
  rig.stop();
  ASSERT_EQ(rig.open(), "");
  ASSERT_TRUE(rig.append_to(2, 2 * kMiB));  // several frames, one after another
  rig.store->drop_log(LogId{3});            // wants a slot
  rig.logs.erase(3);
  const uint64_t writes = rig.counters.get(Metric::state_writes);
  const storage::Lsn before = rig.store->durable();
  rig.turn();
  ASSERT_EQ(rig.counters.get(Metric::state_writes), writes + 1);
  ASSERT_LT(rig.store->durable() - before, 2 * kMiB);
  rig.crash();
  ASSERT_EQ(rig.open(), "");
  ASSERT_TRUE(rig.append_to(1, 1'000));
  rig.settle();
  ASSERT_EQ(rig.acked(), 2u);
  rig.disk.flip_bit(rig.newest_state(), 30, 1);
  rig.crash();
  if (rig.open().empty()) {
    EXPECT_EQ(rig.check_acked(), "");
  }
}

// ---------------------------------------------------------------- files

// A batch whose bytes are exactly a block.
size_t value_of_a_block() {
  for (size_t bytes = 4'000;; ++bytes) {
    protocol::BatchBuilder builder(protocol::BatchBuilder::Options{});
    builder.add(SimClock().wall_ms(), std::nullopt, std::vector<std::byte>(bytes));
    if (builder.finish().size() == 4096) return bytes;
  }
}

TEST_F(StoreCorners, ASealedSegmentEndsWithItsLastBatchAlsoAfterATruncation) {
  for (const bool by_stop : {false, true}) {
    StoreRig rig(5, {1});
    const size_t block = value_of_a_block();
    rig.config.segment_bytes = 9 * 4096;
    ASSERT_EQ(rig.open(), "");
    for (int i = 0; i < 9; ++i) ASSERT_TRUE(rig.append_to(1, block));
    rig.settle();
    rig.stop();
    ASSERT_EQ(rig.disk.contents(segment_file(1, 0)).size(), 9u * 4096);
    rig.config.segment_bytes = 5 * 4096;
    ASSERT_EQ(rig.open(), "");
    ASSERT_TRUE(rig.store->truncate(LogId{1}, Offset{2}));
    ASSERT_TRUE(rig.turn_until([&] { return !rig.store->truncating(LogId{1}); }));
    LogModel& model = rig.logs.at(1);
    model.batches.resize(2);
    model.end_offset = 2;
    for (int i = 0; i < (by_stop ? 2 : 6); ++i) ASSERT_TRUE(rig.append_to(1, block));
    rig.settle();
    rig.stop();
    EXPECT_EQ(rig.disk.contents(segment_file(1, 0)).size(), (by_stop ? 4u : 5u) * 4096) << "what was cut off is there";
    ASSERT_EQ(rig.open(), "");
    EXPECT_EQ(rig.check_acked(), "");
  }
}

// What is open of a log that goes is closed a few at a time, however many there are: a Disk takes only so many ops.
TEST_F(StoreCorners, ThousandsOfFilesAreClosedAFewAtATime) {
  for (const bool whole_log : {false, true}) {
    StoreRig rig(7, {1, 2});
    rig.config.segment_bytes = 1'000;
    ASSERT_EQ(rig.open(), "");
    for (int i = 0; i < 400; ++i) ASSERT_TRUE(append_in_time(rig, 1, 900));
    rig.settle();
    rig.stop();
    ASSERT_EQ(rig.open(), "");
    ASSERT_EQ(rig.check_acked(), "");  // all are open now
    ASSERT_GT(rig.counters.get(Metric::segment_files_open), 300u);
    if (whole_log) {
      rig.store->drop_log(LogId{1});
    } else {
      ASSERT_EQ(rig.store->trim(LogId{1}, Offset{400}).status, storage::TrimStatus::kTrimmed);
    }
    rig.logs.erase(1);
    EXPECT_TRUE(rig.turn_until([&] { return rig.counters.get(Metric::segment_files_open) == 0; }));
    ASSERT_TRUE(rig.append_to(2, 100));
    rig.stop();
  }
}

// Many logs come to have a MiB to write in the same turn: their files are opened a few at a time.
TEST_F(StoreCorners, ManyFilesAreOpenedAFewAtATime) {
  std::vector<uint64_t> ids;
  for (uint64_t id = 1; id <= 135; ++id) ids.push_back(id);
  StoreRig rig(8, ids);
  rig.options.ring_bytes = 280 * kMiB;
  ASSERT_EQ(rig.open(), "");
  const auto to_each = [&](size_t bytes) {
    for (const uint64_t id : ids) ASSERT_TRUE(append_in_time(rig, id, bytes));
  };
  ASSERT_NO_FATAL_FAILURE(to_each(900 * kKiB));
  rig.settle();
  ASSERT_EQ(rig.counters.get(Metric::segment_files_open), 0u);
  ASSERT_NO_FATAL_FAILURE(to_each(130 * kKiB));
  EXPECT_TRUE(rig.turn_until([&] { return rig.counters.get(Metric::segment_files_open) == ids.size(); }));
  rig.settle();
}

// More blocks for cold reads than a Disk takes reads.
TEST_F(StoreCorners, MoreColdReadsThanADiskTakesAreGivenOneAfterAnother) {
  std::vector<uint64_t> ids;
  for (uint64_t id = 1; id <= 700; ++id) ids.push_back(id);
  StoreRig rig(9, ids);
  rig.options.read_cache_bytes = 75 * kMiB;  // 300 blocks
  rig.options.open_files_max = 2'000;
  ASSERT_EQ(rig.open(), "");
  for (const uint64_t id : ids) ASSERT_TRUE(append_in_time(rig, id, 900));
  rig.settle();
  rig.stop();
  ASSERT_EQ(rig.open(), "");
  ASSERT_EQ(rig.check_acked(), "");  // all indexes and files are there, and the blocks of the last 300 logs
  EXPECT_TRUE(rig.turn_until([&] {
    size_t ready = 0;
    for (const uint64_t id : std::span(ids).first(300))
      ready += rig.store->plan_read(LogId{id}, Offset{0}, 100'000, true).status == ReadStatus::kReady ? 1 : 0;
    return ready == 300;
  }));
}

// The block of a view is none that reading ahead may take, though no other is free.
TEST_F(StoreCorners, ReadingAheadTakesNoBlockThatIsLookedAt) {
  StoreRig rig(11, {1, 2, 3, 4});
  rig.options.read_cache_bytes = kMiB;  // 4 blocks
  ASSERT_EQ(rig.open(), "");
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(append_in_time(rig, 1, 100'000));  // a block and a short one
  for (const uint64_t id : {2, 3, 4}) ASSERT_TRUE(append_in_time(rig, id, 100'000));
  rig.settle();
  rig.stop();
  ASSERT_EQ(rig.open(), "");
  storage::ReadPlan plan;
  const auto ready = [&](uint64_t id) {
    plan = rig.store->plan_read(LogId{id}, Offset{0}, kMiB, true);
    return plan.status == ReadStatus::kReady;
  };
  ASSERT_TRUE(rig.turn_until([&] { return ready(1); }));
  storage::ReadCursor cursor = plan.cursor;
  rig.store->advance(cursor, 200'000);
  for (const uint64_t id : {2, 3, 4}) ASSERT_FALSE(ready(id));  // they take the other three
  std::array<std::span<const std::byte>, 4> pieces;
  const auto count = rig.store->view(cursor, kMiB, pieces);
  ASSERT_TRUE(count.has_value());
  EXPECT_EQ(*count, 1u);
  EXPECT_EQ(pieces[0].size(), 256 * kKiB - 200'000);
  EXPECT_TRUE(rig.turn_until([&] { return ready(2) && ready(3) && ready(4); }));
}

// What a start makes whole from the ring keeps the checksum that the slot has: it is not taken from rotten bytes.
TEST_F(StoreCorners, AMendedSegmentIsStillChecked) {
  StoreRig rig(10, {1, 2});
  rig.config.segment_bytes = 10 * kMiB;
  ASSERT_EQ(rig.open(), "");
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(rig.append_to(1, 2'000));
  rig.settle();
  rig.stop();
  const uint64_t bytes = rig.disk.contents(segment_file(1, 0)).size();
  ASSERT_EQ(rig.open(), "");
  ASSERT_TRUE(rig.append_to(1, 1'000));
  const uint64_t relogged = rig.counters.get(Metric::bytes_relogged);
  EXPECT_TRUE(rig.turn_until([&] {
    (void)rig.append_to(2, 20'000);  // until the ring wants log 1's last block written again
    return rig.counters.get(Metric::bytes_relogged) > relogged;
  }));
  rig.turn();
  rig.turn();
  rig.crash();
  const auto slot = storage::decode_slot(rig.disk.contents(rig.newest_state()));
  ASSERT_EQ(slot->logs.at(0).position, bytes) << "the slot is older than that write";
  rig.disk.flip_bit(segment_file(1, 0), 15, 0);  // the first batch's leader epoch: Kafka's checksum does not cover it
  ASSERT_EQ(rig.open(), "");
  auto status = ReadStatus::kPending;  // told once: who asks again has the drive asked again
  rig.turn_until([&] {
    if (status == ReadStatus::kPending) status = rig.store->plan_read(LogId{1}, Offset{0}, 1'000'000, true).status;
    return status != ReadStatus::kPending;
  });
  EXPECT_EQ(status, ReadStatus::kDamaged);
}

// A start deletes folders of logs that nobody has. A log that was issued after it began is another ring's.
TEST_F(StoreCorners, ASweepLeavesLogsThatWereIssuedLater) {
  StoreRig rig(6, {1});
  rig.next_log = 50;
  ASSERT_EQ(rig.open(), "");
  rig.stop();
  const auto make_segment = [&](uint64_t log) {
    ASSERT_TRUE(rig.disk.make_dir(storage::log_path("data", LogId{log})));
    const auto file = rig.disk.open(segment_file(log, 0), {.create = true});
    ASSERT_TRUE(file.has_value());
    rig.disk.close(*file);
  };
  make_segment(49);
  ASSERT_EQ(rig.open(), "");
  make_segment(50);
  EXPECT_TRUE(rig.turn_until([&] { return !rig.disk.exists(storage::log_path("data", LogId{49})); }));
  rig.settle();
  EXPECT_TRUE(rig.disk.exists(segment_file(50, 0)));
}

// ---------------------------------------------------------------- a start that is stopped

// True at its last question of so many, and from then on.
std::function<bool()> after(int questions) {
  return [questions, asked = 0]() mutable { return ++asked > questions; };
}

TEST_F(StoreCorners, AStopEndsTheMakingOfARingBetweenTwoChunks) {
  constexpr int kChunks = 8;
  int before_the_ring = 0;
  bool opened = false;
  for (int questions = 0; !opened; ++questions) {
    ASSERT_LT(questions, 100);
    StoreRig rig(9, {1});
    rig.options.ring_bytes = kChunks * kMiB;
    rig.should_stop = after(questions);
    const std::string said = rig.open();
    opened = said.empty();
    EXPECT_FALSE(rig.disk.exists(std::string(StoreRig::kRing) + ".making")) << "room that nobody uses";
    if (!opened) {
      EXPECT_EQ(said, "opening data/ring-0 was ended by a stop; start again");
      before_the_ring += rig.disk.exists(StoreRig::kRing) ? 0 : 1;
      rig.should_stop = {};
      ASSERT_EQ(rig.open(), "") << questions;
    }
    ASSERT_TRUE(append_in_time(rig, 1, 100));
    rig.settle();
    EXPECT_EQ(rig.check_acked(), "");
  }
  EXPECT_GE(before_the_ring, kChunks);
}

TEST_F(StoreCorners, AStopEndsTheReadingOfARingAndChangesNothing) {
  StoreRig rig(10, {1});
  rig.options.ring_bytes = 32 * kMiB;
  ASSERT_EQ(rig.open(), "");
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(append_in_time(rig, 1, 9'000));
  rig.settle();
  rig.crash();
  const auto copy = [&](const char* path) {
    const auto bytes = rig.disk.contents(path);
    return std::vector<std::byte>(bytes.begin(), bytes.end());
  };
  const std::array before{copy(StoreRig::kRing), copy(StoreRig::kStates[0]), copy(StoreRig::kStates[1])};
  int stops = 0;
  for (rig.should_stop = after(0); !rig.open().empty(); rig.should_stop = after(stops)) {
    ASSERT_LT(++stops, 100);
    EXPECT_TRUE(copy(StoreRig::kRing) == before[0] && copy(StoreRig::kStates[0]) == before[1] &&
                copy(StoreRig::kStates[1]) == before[2])
        << stops;
  }
  EXPECT_GE(stops, 9 + 4) << "a question before each step but the last, and before every eighth chunk";
  EXPECT_EQ(rig.check_acked(), "");
}

}  // namespace
}  // namespace penstock::sim
