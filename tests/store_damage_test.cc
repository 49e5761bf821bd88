// Full disks, rot and torn blocks under a Store that has segments, a named case each.
#include <gtest/gtest.h>

#include "base/log.h"
#include "storage/segment/segment_path.h"
#include "tests/sim/store_rig.h"

namespace penstock::sim {
namespace {

using storage::LogId;
using storage::Metric;

class StoreDamage : public testing::Test {
 protected:
  void SetUp() override {
    set_log_sink([](LogLevel, std::string_view) {});
  }
};

// Both logs in segments of 100 kB, cleanly stopped and started again.
void with_segments(StoreRig& rig) {
  rig.config.segment_bytes = 100'000;
  ASSERT_EQ(rig.open(), "");
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(rig.append_to(1, 9'000));
    ASSERT_TRUE(rig.append_to(2, 9'000));
  }
  rig.settle();
  rig.stop();
}

std::vector<std::string> files_of(SimDisk& disk, uint64_t log, std::string_view ending) {
  std::vector<std::string> paths;
  const std::string folder = storage::log_path("data", LogId{log});
  const std::vector<std::string> names = disk.list(folder).value();
  for (const std::string& name : names)
    if (name.ends_with(ending)) paths.push_back(folder + "/" + name);
  return paths;
}

bool reads_whole(StoreRig& rig, uint64_t log) {
  const auto bytes = read_all(*rig.store, LogId{log}, [&] { rig.turn(); });
  if (!bytes) return false;
  LogModel copy = rig.logs.at(log);
  EXPECT_EQ(copy.settle_after_crash(*bytes), "");
  return true;
}

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

TEST_F(StoreDamage, TheScrubberFindsRotThatNobodyReads) {
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
TEST_F(StoreDamage, TheScrubberGoesOnBehindWhatItFindsAndTellsOfASegmentOnce) {
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
  EXPECT_EQ(std::ranges::count_if(lines, [](const std::string& line) { return line.contains("see penstock log verify"); }),
            3);
}

TEST_F(StoreDamage, TheScrubberFindsNothingWhereNothingIs) {
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
TEST_F(StoreDamage, TheScrubberKeepsItsRate) {
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

TEST_F(StoreDamage, RingAndDiskFullAtOnceAndThenRoomAgain) {
  StoreRig rig(6);
  rig.options.disk_reserve_bytes = 0;
  rig.config.segment_bytes = 200'000;
  ASSERT_EQ(rig.open(), "");
  for (int i = 0; i < 100; ++i) rig.append(20'000);
  rig.settle();
  rig.disk.faults().capacity_bytes = rig.disk.allocated_bytes();
  rig.settle();
  // The ring takes nothing more because the disk does not: whoever says so first.
  for (int i = 0; i < 400; ++i) {
    rig.append(20'000);
    rig.turn();
  }
  ASSERT_FALSE(rig.append(20'000));
  EXPECT_TRUE(rig.store->health().disk_full);
  EXPECT_FALSE(rig.store->health().poisoned);
  EXPECT_EQ(rig.check_acked(), "");  // reads go on
  rig.disk.faults().capacity_bytes = 0;
  EXPECT_TRUE(rig.turn_until([&] { return rig.append(20'000); }));
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
