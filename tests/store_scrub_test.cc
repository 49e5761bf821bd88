// The scrubber: finds what nobody reads, wherever it is, at its rate, and tells of it once.
#include <gtest/gtest.h>

#include "base/log.h"
#include "tests/damage_rig.h"

namespace penstock::sim {
namespace {

class StoreScrub : public testing::Test {
 protected:
  void SetUp() override {
    set_log_sink([](LogLevel, std::string_view) {});
  }
};

TEST_F(StoreScrub, WhatTheScrubberHasFoundIsNotPromised) {
  StoreRig rig(9, {1});
  rig.options.scrub_bytes_per_second = 10 * kMiB;
  ASSERT_NO_FATAL_FAILURE(with_long_segments(rig));
  rig.disk.flip_bit(files_of(rig.disk, 1, ".log")[0], 500'000, 3);
  ASSERT_EQ(rig.open(), "");
  ASSERT_TRUE(rig.turn_until([&] { return rig.store->health().damaged_logs == 1; }));
  const Reading reading = read_around(rig, 1);
  EXPECT_FALSE(reading.refused.empty());
  EXPECT_LT(reading.refused.size(), 7u);
  EXPECT_EQ(reading.broken, 0);
}

// Rot that comes while the right bytes are still in the cache, and is found by the scrubber.
TEST_F(StoreScrub, WhatTheCacheStillHasOfRotIsNotPromised) {
  StoreRig rig(10, {1});
  rig.options.scrub_bytes_per_second = 10 * kMiB;
  ASSERT_NO_FATAL_FAILURE(with_long_segments(rig));
  ASSERT_EQ(rig.open(), "");
  EXPECT_TRUE(read_around(rig, 1).refused.empty());
  rig.disk.flip_bit(files_of(rig.disk, 1, ".log")[0], 500'000, 3);
  ASSERT_TRUE(rig.turn_until([&] { return rig.store->health().damaged_logs == 1; }));
  const Reading reading = read_around(rig, 1);
  EXPECT_FALSE(reading.refused.empty());
  EXPECT_EQ(reading.broken, 0);
}

TEST_F(StoreScrub, TheScrubberFindsRotThatNobodyReads) {
  StoreRig rig(2);
  rig.options.scrub_bytes_per_second = 10 * kMiB;
  ASSERT_NO_FATAL_FAILURE(with_segments(rig));
  rig.disk.flip_bit(files_of(rig.disk, 2, ".log")[1], 50'000, 3);
  ASSERT_EQ(rig.open(), "");
  EXPECT_TRUE(rig.turn_until([&] { return rig.store->health().damaged_logs == 1; }));
  EXPECT_TRUE(reads_whole(rig, 1));
  EXPECT_FALSE(reads_whole(rig, 2));
}

// What one segment has lost hides nothing behind it: not its own end, not the next segment, not the other logs.
TEST_F(StoreScrub, TheScrubberGoesOnBehindWhatItFindsAndTellsOfASegmentOnce) {
  StoreRig rig(2);
  rig.options.scrub_bytes_per_second = 10 * kMiB;
  ASSERT_NO_FATAL_FAILURE(with_segments(rig));
  const auto segments = files_of(rig.disk, 2, ".log");
  rig.disk.flip_bit(segments[0], 50'000, 3);
  rig.disk.flip_bit(segments[2], 70'000, 3);
  rig.disk.flip_bit(files_of(rig.disk, 1, ".log")[1], 10, 0);
  static std::vector<std::string> lines;
  lines.clear();
  set_log_sink([](LogLevel, std::string_view line) { lines.emplace_back(line); });
  ASSERT_EQ(rig.open(), "");
  EXPECT_TRUE(rig.turn_until([&] { return rig.counters.get(Metric::segments_damaged) == 3; }));
  EXPECT_EQ(rig.store->health().damaged_logs, 2u);
  const uint64_t scrubbed = rig.counters.get(Metric::scrubbed_bytes);
  // The next round: it has been there before.
  EXPECT_TRUE(rig.turn_until([&] { return rig.counters.get(Metric::scrubbed_bytes) > scrubbed + 1'000'000; }));
  EXPECT_EQ(rig.counters.get(Metric::segments_damaged), 3u);
  const auto tells = [](const std::string& line) { return line.contains("see penstock log verify"); };
  EXPECT_EQ(std::ranges::count_if(lines, tells), 3);
}

// Where a segment is longer than what it reads at once.
TEST_F(StoreScrub, TheScrubberGoesOnInsideALongSegment) {
  StoreRig rig(9, {1});
  rig.options.scrub_bytes_per_second = 10 * kMiB;
  ASSERT_NO_FATAL_FAILURE(with_long_segments(rig));
  const auto segments = files_of(rig.disk, 1, ".log");
  rig.disk.flip_bit(segments[0], 100'000, 3);
  rig.disk.flip_bit(segments[1], 100, 3);
  ASSERT_EQ(rig.open(), "");
  EXPECT_TRUE(rig.turn_until([&] { return rig.counters.get(Metric::segments_damaged) == 2; }));
}

// Also what nothing is written to any more without being full.
TEST_F(StoreScrub, TheScrubberFindsRotInALogsLastSegment) {
  for (const bool sealed_too : {false, true}) {
    StoreRig rig(16, {1});
    rig.options.scrub_bytes_per_second = 10 * kMiB;
    rig.config.segment_bytes = 100'000;
    ASSERT_EQ(rig.open(), "");
    for (int i = 0; i < (sealed_too ? 17 : 5); ++i) ASSERT_TRUE(rig.append_to(1, 9'000));
    rig.settle();
    rig.stop();
    ASSERT_EQ(rig.open(), "");
    rig.settle();
    const std::string path = files_of(rig.disk, 1, ".log").back();
    ASSERT_TRUE(rig.turn_until([&] { return rig.counters.get(Metric::scrubbed_bytes) > 40'000; }));
    EXPECT_EQ(rig.store->health().damaged_logs, 0u);
    rig.disk.flip_bit(path, rig.disk.contents(path).size() - 100, 5);
    EXPECT_TRUE(rig.turn_until([&] { return rig.store->health().damaged_logs == 1; }));
    EXPECT_EQ(rig.counters.get(Metric::segments_damaged), 1u);
    ASSERT_TRUE(rig.append_to(1, 100));
  }
}

// A segment that grows on behind the end to which it was checked: the next read begins on an interval all the same.
TEST_F(StoreScrub, WhatComesBehindACheckedEndWaitsForTheNextRound) {
  StoreRig rig(20, {1});
  rig.options.scrub_bytes_per_second = 20'000;  // it rests for two seconds behind the first read
  rig.config.segment_bytes = 8 * kMiB;
  ASSERT_EQ(rig.open(), "");
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(rig.append_to(1, 9'000));
  rig.settle();
  rig.stop();
  ASSERT_EQ(rig.open(), "");
  ASSERT_TRUE(
      rig.turn_until([&] { return rig.counters.get(Metric::scrubbed_bytes) > 80'000; }));  // its index, then its bytes
  const uint64_t written = rig.counters.get(Metric::segment_bytes_written);
  for (int i = 0; i < 350; ++i) {
    ASSERT_TRUE(rig.append_to(1, 9'000));
    rig.turn();
  }
  ASSERT_GT(rig.counters.get(Metric::segment_bytes_written), written);
  const uint64_t before = rig.counters.get(Metric::scrubbed_bytes);
  EXPECT_TRUE(rig.turn_until([&] { return rig.counters.get(Metric::scrubbed_bytes) > before + 100'000; }));
  EXPECT_EQ(rig.store->health().damaged_logs, 0u);
}

// A log that is written all the time: what the scrubber reads of its end is what is there, or it lets it be.
TEST_F(StoreScrub, TheScrubberFindsNothingWhileALogGrows) {
  StoreRig rig(17);
  rig.options.scrub_bytes_per_second = 100 * kMiB;
  rig.config.segment_bytes = 300'000;
  ASSERT_EQ(rig.open(), "");
  for (int round = 0; round < 6; ++round) {
    for (int i = 0; i < 3'000; ++i) {
      if (i % 4 == 0) rig.append(rig.prng.below(5'000));
      rig.turn();
    }
    if (round % 2 == 0) {
      rig.settle();
      ASSERT_TRUE(rig.store->truncate(LogId{1}, Offset{rig.logs.at(1).end_offset / 2}));
      ASSERT_TRUE(rig.turn_until([&] { return !rig.store->truncating(LogId{1}); }));
      auto& model = rig.logs.at(1);
      const int64_t end = rig.store->offsets(LogId{1})->log_end_offset.value();
      std::erase_if(model.batches, [&](const LogModel::Batch& batch) { return batch.base_offset >= end; });
      model.end_offset = end;
    }
    for (int i = 0; i < 11'000; ++i) rig.turn();  // it rests for 10 s between two rounds
  }
  EXPECT_GT(rig.counters.get(Metric::scrubbed_bytes), 1'000'000u);
  EXPECT_EQ(rig.counters.get(Metric::segments_damaged), 0u);
}

TEST_F(StoreScrub, TheScrubberFindsNothingWhereNothingIs) {
  StoreRig rig(3);
  rig.options.scrub_bytes_per_second = 10 * kMiB;
  ASSERT_NO_FATAL_FAILURE(with_segments(rig));
  ASSERT_EQ(rig.open(), "");
  rig.disk.faults().read_eio_in = 3;  // one failed read is no rot
  EXPECT_TRUE(rig.turn_until([&] { return rig.counters.get(Metric::scrubbed_bytes) > 2'000'000; }));
  EXPECT_EQ(rig.store->health().damaged_logs, 0u);
  EXPECT_EQ(rig.check_acked(), "");
}

// Never more than the rate allows and one read, from any moment on, and not much less while there is something to do.
TEST_F(StoreScrub, TheScrubberKeepsItsRate) {
  constexpr uint64_t kRate = 200'000;
  StoreRig rig(6);
  rig.options.scrub_bytes_per_second = kRate;
  ASSERT_NO_FATAL_FAILURE(with_segments(rig));
  ASSERT_EQ(rig.open(), "");
  const auto scrubbed = [&] { return rig.counters.get(Metric::scrubbed_bytes); };
  ASSERT_TRUE(rig.turn_until([&] { return scrubbed() > 0; }));
  const uint64_t first = scrubbed();
  const Nanos begin = rig.clock.monotonic();
  const auto allowed = [&] { return kRate * static_cast<uint64_t>(rig.clock.monotonic() - begin) / kSecond; };
  ASSERT_TRUE(rig.turn_until([&] {
    EXPECT_LE(scrubbed() - first, allowed() + 100'000) << "a read is at most a whole segment here";
    return scrubbed() >= 500'000 || testing::Test::HasFailure();
  }));
  EXPECT_GE(scrubbed() - first, allowed() * 9 / 10);
}

}  // namespace
}  // namespace penstock::sim
