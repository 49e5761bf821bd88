// Full disks, rot and torn blocks under a Store that has segments, a named case each.
#include <gtest/gtest.h>

#include "base/log.h"
#include "tests/damage_rig.h"

namespace penstock::sim {
namespace {

class StoreDamage : public testing::Test {
 protected:
  void SetUp() override {
    set_log_sink([](LogLevel, std::string_view) {});
  }
};

TEST_F(StoreDamage, RotIsNeverServedAndTold) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    StoreRig rig(seed);
    ASSERT_NO_FATAL_FAILURE(with_segments(rig));
    const auto segments = files_of(rig.disk, 1, ".log");
    ASSERT_GT(segments.size(), 3u);
    // Any bit of a sealed one, also of the bytes that Kafka's checksum does not cover.
    const std::string& path = segments[rig.prng.below(segments.size() - 1)];
    const uint64_t at = rig.prng.one_in(2) ? rig.prng.below(21) : rig.prng.below(rig.disk.contents(path).size());
    rig.disk.flip_bit(path, at, static_cast<unsigned>(rig.prng.below(8)));
    ASSERT_EQ(rig.open(), "");
    EXPECT_FALSE(reads_whole(rig, 1)) << seed << ": " << path << " at " << at;
    EXPECT_TRUE(reads_whole(rig, 2));
    EXPECT_EQ(rig.store->health().damaged_logs, 1u);
    EXPECT_GT(rig.counters.get(Metric::segments_damaged), 0u);
    ASSERT_TRUE(rig.append_to(1, 100));  // its new end is not concerned
    rig.stop();
  }
}

// Only the interval that fails its checksum is refused, wherever in the segment; what was promised over it ends once.
TEST_F(StoreDamage, WhatLiesAroundRotIsServed) {
  constexpr uint64_t kAt = 900'000;
  StoreRig rig(8, {1});
  ASSERT_NO_FATAL_FAILURE(with_long_segments(rig));
  const auto segments = files_of(rig.disk, 1, ".log");
  ASSERT_GE(segments.size(), 3u);
  rig.disk.flip_bit(segments[1], kAt, 3);
  const uint64_t from = align_down(kAt, storage::SegmentIndex::kIntervalBytes);
  const auto lost = batches_at(rig, 1, base_of(segments[1]), from, from + storage::SegmentIndex::kIntervalBytes);
  ASSERT_EQ(rig.open(), "");
  const Reading first = read_around(rig, 1);
  EXPECT_EQ(first.refused, lost);
  EXPECT_EQ(first.served + lost.size(), 250u);
  EXPECT_EQ(first.broken, 1);
  const Reading second = read_around(rig, 1);
  EXPECT_EQ(second.refused, lost);
  EXPECT_EQ(second.broken, 0) << "it is known, and nothing is promised over it";
  EXPECT_EQ(rig.counters.get(Metric::segments_damaged), 1u);
  EXPECT_EQ(rig.store->health().damaged_logs, 1u);
  // Whoever asks from behind it, or has deleted what lies before, gets the rest.
  EXPECT_TRUE(read_around(rig, 1, lost.back() + 1).refused.empty());
}

// Of a block that the drive refuses, each interval is asked for by itself; and when it gives them again they are
// served.
TEST_F(StoreDamage, WhatLiesAroundAnUnreadablePlaceIsServed) {
  StoreRig rig(11, {1});
  ASSERT_NO_FATAL_FAILURE(with_long_segments(rig));
  const auto segments = files_of(rig.disk, 1, ".log");
  constexpr uint64_t kInterval = storage::SegmentIndex::kIntervalBytes;
  rig.disk.faults().fail_reads.push_back({segments[0], 10 * kInterval + 5, 2 * kInterval});  // and two more
  const auto lost = batches_at(rig, 1, 0, 10 * kInterval, 13 * kInterval);
  ASSERT_EQ(rig.open(), "");
  EXPECT_EQ(read_around(rig, 1).refused, lost);
  const Reading known = read_around(rig, 1);
  EXPECT_EQ(known.refused, lost);
  EXPECT_EQ(known.broken, 0);
  rig.disk.faults().fail_reads.clear();
  read_around(rig, 1);  // tells what the cache still knows of its last try
  const Reading healed = read_around(rig, 1);
  EXPECT_TRUE(healed.refused.empty());
  EXPECT_EQ(healed.served, 250u);
}

storage::TimeFound time_at(StoreRig& rig, uint64_t log, int64_t timestamp) {
  storage::TimeFound found{.status = storage::ReadStatus::kPending, .found = {}};
  for (int i = 0; i < 1000 && found.status == storage::ReadStatus::kPending; ++i) {
    if (i > 0) rig.turn();
    found = rig.store->find_by_time(LogId{log}, timestamp);
  }
  return found;
}

int64_t time_of(const StoreRig& rig, uint64_t log, int64_t offset) {
  return protocol::view_of(rig.logs.at(log).batches.at(static_cast<size_t>(offset)).bytes).max_timestamp();
}

// A file that is not there is no end of the log: nobody is led past it unasked. With its index at hand or without.
TEST_F(StoreDamage, AMissingSegmentIsDamageAndNeverSkipped) {
  for (const bool sidecar_too : {false, true}) {
    StoreRig rig(12, {1});
    ASSERT_NO_FATAL_FAILURE(with_long_segments(rig));
    const auto segments = files_of(rig.disk, 1, ".log");
    ASSERT_GE(segments.size(), 3u);
    const int64_t base = base_of(segments[1]);
    const int64_t end = base_of(segments[2]);
    rig.disk.unlink(segments[1]).value();
    if (sidecar_too) rig.disk.unlink(files_of(rig.disk, 1, ".sidecar")[1]).value();
    ASSERT_EQ(rig.open(), "");
    const Reading reading = read_around(rig, 1);
    ASSERT_FALSE(reading.refused.empty());
    EXPECT_EQ(reading.refused.front(), base);
    EXPECT_EQ(reading.refused.back(), end - 1);
    EXPECT_EQ(static_cast<int64_t>(reading.refused.size()), end - base);
    EXPECT_EQ(reading.served + reading.refused.size(), 250u);
    EXPECT_EQ(time_at(rig, 1, time_of(rig, 1, base + 5)).status, storage::ReadStatus::kDamaged);
    const auto before = time_at(rig, 1, time_of(rig, 1, 5));
    ASSERT_TRUE(before.found);
    EXPECT_EQ(before.found->offset, Offset{5});
    const auto behind = time_at(rig, 1, time_of(rig, 1, end + 1));
    ASSERT_TRUE(behind.found);
    EXPECT_EQ(behind.found->offset, Offset{end + 1});
    EXPECT_EQ(rig.counters.get(Metric::segments_damaged), 1u);
    EXPECT_EQ(rig.store->health().damaged_logs, 1u);
    // Nothing is cut where it cannot be seen what is cut.
    ASSERT_TRUE(rig.store->truncate(LogId{1}, Offset{base + 5}));
    EXPECT_TRUE(rig.turn_until([&] { return !rig.store->truncating(LogId{1}); }));
    EXPECT_EQ(rig.store->offsets(LogId{1})->log_end_offset, Offset{250});
    ASSERT_TRUE(rig.store->truncate(LogId{1}, Offset{end + 5}));
    EXPECT_TRUE(rig.turn_until([&] { return !rig.store->truncating(LogId{1}); }));
    EXPECT_EQ(rig.store->offsets(LogId{1})->log_end_offset, Offset{end + 5});
    // DeleteRecords leads behind it.
    ASSERT_EQ(rig.store->trim(LogId{1}, Offset{end}).status, storage::TrimStatus::kTrimmed);
    EXPECT_TRUE(rig.turn_until([&] { return rig.store->health().damaged_logs == 0; }));
  }
}

void remove_sidecars(StoreRig& rig, uint64_t log) {
  for (const std::string& path : files_of(rig.disk, log, ".sidecar")) rig.disk.unlink(path).value();
}

// Where each batch of the log that begins in the segment of base stands in it.
std::vector<uint64_t> places_in(const StoreRig& rig, uint64_t log, int64_t base) {
  std::vector<uint64_t> places;
  uint64_t at = 0;
  for (const auto& batch : rig.logs.at(log).batches) {
    if (batch.base_offset < base) continue;
    places.push_back(at);
    at += batch.bytes.size();
  }
  return places;
}

// Without a sidecar there is nothing to say what was written but the batches: the bad ones are refused and no others,
// in a sealed segment and in the one that was open at the stop, whatever of a batch has changed but its length.
TEST_F(StoreDamage, WithoutASidecarTheBadBatchesAloneAreRefused) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    StoreRig rig(seed, {1});
    ASSERT_NO_FATAL_FAILURE(with_long_segments(rig));
    const auto segments = files_of(rig.disk, 1, ".log");
    const bool open = seed % 2 == 0;
    const std::string& path = open ? segments.back() : segments[1];
    const int64_t base = base_of(path);
    const auto places = places_in(rig, 1, base);
    const size_t bad = rig.prng.between(1, 25);
    ASSERT_LT(places[bad] + 10'000, rig.disk.contents(path).size());
    // Its offset, its magic, its CRC, or anything behind.
    const uint64_t in_batch[] = {rig.prng.below(8), 16, rig.prng.between(17, 20), rig.prng.between(61, 9'000)};
    remove_sidecars(rig, 1);
    rig.disk.flip_bit(path, places[bad] + in_batch[seed % 4], static_cast<unsigned>(rig.prng.below(8)));
    ASSERT_EQ(rig.open(), "");
    const int64_t lost = base + static_cast<int64_t>(bad);
    const Reading reading = read_around(rig, 1);
    ASSERT_EQ(reading.refused, std::vector<int64_t>{lost}) << "seed " << seed;
    ASSERT_EQ(reading.served, 249u);
    EXPECT_EQ(reading.broken, 0);
    EXPECT_EQ(rig.counters.get(Metric::segments_damaged), 1u);
    EXPECT_EQ(rig.store->health().damaged_logs, 1u);
    // A time may be that of the lost record, until that is deleted.
    EXPECT_EQ(time_at(rig, 1, time_of(rig, 1, lost + 3)).status, storage::ReadStatus::kDamaged);
    ASSERT_EQ(rig.store->trim(LogId{1}, Offset{lost + 1}).status, storage::TrimStatus::kTrimmed);
    const auto found = time_at(rig, 1, time_of(rig, 1, lost + 3));
    ASSERT_TRUE(found.found);
    EXPECT_EQ(found.found->offset, Offset{lost + 3});
    EXPECT_TRUE(read_around(rig, 1, lost + 1).refused.empty());
    // No sidecar vouches for it: the next start finds it again.
    ASSERT_TRUE(rig.append_to(1, 100));
    rig.settle();
    rig.stop();
    ASSERT_EQ(rig.open(), "");
    EXPECT_TRUE(read_around(rig, 1, lost + 1).refused.empty());
    EXPECT_EQ(read_around(rig, 1, lost - 1).refused, std::vector<int64_t>{lost});
    rig.stop();
  }
}

// The open segment's last interval is known by its sum alone: the bytes behind which the next write goes.
TEST_F(StoreDamage, WhatLiesBeforeABadEndIsServedAndTheLogGoesOn) {
  for (const bool sidecar : {true, false}) {
    StoreRig rig(15, {1});
    ASSERT_NO_FATAL_FAILURE(with_long_segments(rig));
    const std::string path = files_of(rig.disk, 1, ".log").back();
    const auto places = places_in(rig, 1, base_of(path));
    if (!sidecar) remove_sidecars(rig, 1);
    const uint64_t at = places.back() + 5'000;
    rig.disk.flip_bit(path, at, 1);
    const auto lost = batches_at(rig, 1, base_of(path), align_down(at, 32 * kKiB), align_up(at, 32 * kKiB));
    ASSERT_EQ(rig.open(), "");
    const Reading reading = read_around(rig, 1);
    EXPECT_EQ(reading.refused, lost);
    EXPECT_EQ(reading.served + lost.size(), 250u);
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(rig.append_to(1, 9'000));
    rig.settle();
    rig.stop();
    ASSERT_EQ(rig.open(), "");
    const Reading later = read_around(rig, 1);
    EXPECT_EQ(std::ranges::count(later.refused, 249), 1);
    EXPECT_LE(later.refused.size(), 9u) << "two intervals";
    EXPECT_EQ(later.served + later.refused.size(), 270u);
  }
}

// A length that is wrong hides where the next batch begins; what lies before is served all the same.
TEST_F(StoreDamage, WithoutASidecarABadLengthTakesTheRestOfItsSegment) {
  StoreRig rig(13, {1});
  ASSERT_NO_FATAL_FAILURE(with_long_segments(rig));
  const auto segments = files_of(rig.disk, 1, ".log");
  const auto places = places_in(rig, 1, 0);
  remove_sidecars(rig, 1);
  rig.disk.flip_bit(segments[0], places[50] + 11, 0);
  ASSERT_EQ(rig.open(), "");
  const Reading reading = read_around(rig, 1);
  EXPECT_EQ(reading.refused.front(), 50);
  EXPECT_EQ(reading.refused.back(), base_of(segments[1]) - 1);
  EXPECT_EQ(reading.served + reading.refused.size(), 250u);
  EXPECT_EQ(rig.counters.get(Metric::segments_damaged), 1u);
}

TEST_F(StoreDamage, WithoutASidecarAnUnreadablePlaceOrALostEndTakesNoMore) {
  for (const bool cut : {false, true}) {
    StoreRig rig(14, {1});
    ASSERT_NO_FATAL_FAILURE(with_long_segments(rig));
    const auto segments = files_of(rig.disk, 1, ".log");
    const auto places = places_in(rig, 1, 0);
    remove_sidecars(rig, 1);
    std::vector<int64_t> lost;
    if (cut) {
      const std::vector<std::byte> zeros(300'000);
      rig.disk.replace(segments[0], places[60], zeros);
      for (int64_t i = 60; i < base_of(segments[1]); ++i) lost.push_back(i);
    } else {
      // A block inside one batch.
      size_t i = 60;
      while (align_up(places[i] + 4'200, 4 * kKiB) > places[i + 1]) ++i;
      rig.disk.faults().fail_reads.push_back({segments[0], places[i] + 4'150, 10});
      lost = batches_at(rig, 1, 0, align_down(places[i] + 4'150, 32 * kKiB), align_up(places[i] + 4'160, 32 * kKiB));
    }
    ASSERT_EQ(rig.open(), "");
    for (int i = 0; i < 3; ++i) {
      const Reading reading = read_around(rig, 1);
      EXPECT_EQ(reading.refused, lost);
      EXPECT_EQ(reading.served + lost.size(), 250u);
    }
    EXPECT_EQ(rig.counters.get(Metric::segments_damaged), 1u);
  }
}

TEST_F(StoreDamage, AnUnreadablePlaceConcernsNothingElse) {
  StoreRig rig(4);
  ASSERT_NO_FATAL_FAILURE(with_segments(rig));
  const auto segments = files_of(rig.disk, 1, ".log");
  rig.disk.faults().fail_reads.push_back({segments[1], 20'000, 10});
  ASSERT_EQ(rig.open(), "");
  EXPECT_FALSE(reads_whole(rig, 1));
  EXPECT_TRUE(reads_whole(rig, 2));
  EXPECT_EQ(rig.store->health().damaged_logs, 1u);
  rig.disk.faults().fail_reads.clear();
  rig.stop();
  ASSERT_EQ(rig.open(), "");
  EXPECT_EQ(rig.check_acked(), "");
}

TEST_F(StoreDamage, ADamagedOrMissingSidecarIsMadeAgain) {
  StoreRig rig(5);
  ASSERT_NO_FATAL_FAILURE(with_segments(rig));
  const auto sidecars = files_of(rig.disk, 1, ".sidecar");
  ASSERT_GT(sidecars.size(), 2u);
  rig.disk.unlink(sidecars[0]).value();
  rig.disk.flip_bit(sidecars[1], 100, 2);
  ASSERT_EQ(rig.open(), "");
  const uint64_t rebuilt = rig.counters.get(Metric::index_rebuilds);
  EXPECT_EQ(rig.check_acked(), "");
  EXPECT_GE(rig.counters.get(Metric::index_rebuilds), rebuilt + 2);
  rig.settle();
  rig.stop();
  EXPECT_EQ(files_of(rig.disk, 1, ".sidecar").size(), sidecars.size());
  ASSERT_EQ(rig.open(), "");
  const uint64_t now = rig.counters.get(Metric::index_rebuilds);
  EXPECT_EQ(rig.check_acked(), "");
  EXPECT_LE(rig.counters.get(Metric::index_rebuilds), now + 2);  // those of the two open segments
}

// A block that already holds acked bytes is written again, and the power goes in the middle of it.
TEST_F(StoreDamage, ATornBlockIsMendedFromTheRing) {
  uint64_t crashed = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    StoreRig rig(seed, {1});
    ASSERT_EQ(rig.open(), "");
    ASSERT_TRUE(rig.append_to(1, 300));
    rig.settle();
    rig.stop();  // one block, partly filled
    ASSERT_EQ(rig.open(), "");
    ASSERT_TRUE(rig.append_to(1, 300));
    rig.settle();
    const uint64_t relogged = rig.counters.get(Metric::bytes_relogged);
    rig.store->begin_stop();
    ASSERT_TRUE(rig.turn_until([&] { return rig.counters.get(Metric::bytes_relogged) > relogged; }));
    // From the head's way into the ring to the segment's flush.
    for (uint64_t i = rig.prng.below(12); i > 0; --i) {
      rig.store->submit();
      rig.clock.advance(100 * kMicrosecond);
      rig.store->poll();
    }
    crashed += rig.store->stopped() ? 0 : 1;
    rig.crash();
    ASSERT_EQ(rig.open(), "") << seed;
    ASSERT_EQ(rig.check_acked(), "") << seed;
    rig.stop();
    ASSERT_EQ(rig.open(), "") << seed;
    ASSERT_EQ(rig.check_acked(), "") << seed;
  }
  EXPECT_GT(crashed, 20u);
}

// The ring holds all that it can of log 1, whose segments cannot be written; then the disk has no block left either.
TEST_F(StoreDamage, RingAndDiskFullAtOnceAndThenRoomAgain) {
  StoreRig rig(6);
  rig.options.disk_reserve_bytes = 0;
  rig.config.segment_bytes = 200'000;
  ASSERT_EQ(rig.open(), "");
  for (int i = 0; i < 100; ++i) rig.append_to(2, 20'000);
  rig.settle();
  rig.disk.faults().fail_writes_always = storage::log_path("data", LogId{1});
  const auto refused = [&](Metric why) {  // the next append, for this reason and no other
    const uint64_t before = rig.counters.get(why);
    return !rig.append_to(2, 20'000) && rig.counters.get(why) == before + 1;
  };
  const auto is_full = [&] { return refused(Metric::appends_refused_full); };
  for (int i = 0; i < 400 && rig.append_to(1, 20'000); ++i) rig.turn();
  ASSERT_TRUE(rig.turn_until(is_full));
  EXPECT_FALSE(rig.store->health().disk_full);
  rig.disk.faults().capacity_bytes = rig.disk.allocated_bytes();
  ASSERT_TRUE(rig.turn_until([&] { return rig.store->health().disk_full; }));
  EXPECT_TRUE(is_full()) << "both at once";
  for (int i = 0; i < 400; ++i) {
    EXPECT_FALSE(rig.append_to(2, 20'000));
    rig.turn();
  }
  EXPECT_TRUE(is_full());
  EXPECT_TRUE(rig.store->health().disk_full);
  EXPECT_FALSE(rig.store->health().poisoned);
  EXPECT_EQ(rig.check_acked(), "");  // reads go on
  // Room on the disk alone does not help: the ring is still full of log 1.
  rig.disk.faults().capacity_bytes = 0;
  EXPECT_TRUE(rig.turn_until([&] { return !rig.store->health().disk_full; }));
  EXPECT_TRUE(is_full());
  rig.disk.faults().fail_writes_always.clear();
  bool taken = false;
  for (int i = 0; i < 10'000 && !taken; ++i) {
    taken = rig.append(20'000);
    rig.turn();
  }
  EXPECT_TRUE(taken);
  EXPECT_TRUE(rig.turn_until([&] { return !rig.store->health().disk_full; }));
  for (int i = 0; i < 600; ++i) {  // laps of it
    rig.append(20'000);
    rig.turn();
  }
  EXPECT_EQ(rig.check_acked(), "");
  rig.crash();
  ASSERT_EQ(rig.open(), "");
  EXPECT_EQ(rig.check_acked(), "");
}

// A full drive, and a log whose segments cannot be written at all: the others go on until the ring is full of it.
TEST_F(StoreDamage, ALogThatCannotBeWrittenStaysInTheRing) {
  StoreRig rig(7);
  rig.config.segment_bytes = 200'000;
  ASSERT_EQ(rig.open(), "");
  rig.disk.faults().fail_writes_always = storage::log_path("data", LogId{1});
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(rig.append_to(1, 50'000));
  bool full = false;
  for (int i = 0; i < 400 && !full; ++i) {
    full = !rig.append_to(2, 20'000);
    rig.turn();
  }
  ASSERT_TRUE(full);
  EXPECT_GT(rig.counters.get(Metric::destage_failures), 0u);
  EXPECT_FALSE(rig.store->poisoned());
  EXPECT_EQ(rig.check_acked(), "");
  rig.crash();
  ASSERT_EQ(rig.open(), "");
  EXPECT_EQ(rig.check_acked(), "");
  rig.disk.faults().fail_writes_always.clear();
  EXPECT_TRUE(rig.turn_until([&] { return rig.append_to(2, 20'000).has_value(); }));
  EXPECT_EQ(rig.check_acked(), "");
}

TEST_F(StoreDamage, AFailedFlushOfSegmentsFencesTheRingAndLosesNothing) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    StoreRig rig(seed);
    rig.config.segment_bytes = 200'000;
    ASSERT_EQ(rig.open(), "");
    rig.disk.faults().flush_fails_in = 1;
    ASSERT_TRUE(rig.turn_until([&] {
      rig.append(20'000);
      return rig.store->poisoned();
    }));
    ASSERT_FALSE(rig.append(100));
    ASSERT_EQ(rig.check_acked(), "") << seed;  // reads go on
    rig.crash();
    ASSERT_EQ(rig.open(), "") << seed;
    ASSERT_EQ(rig.check_acked(), "") << seed;
  }
}

}  // namespace
}  // namespace penstock::sim
