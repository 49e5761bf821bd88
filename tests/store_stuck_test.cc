// Segment files that cannot be opened, are gone or were cut short while the log still writes to them: the operator is
// told, others go on, and nothing that was acknowledged is lost or hidden behind zeros.
#include <gtest/gtest.h>

#include <vector>

#include "base/log.h"
#include "tests/damage_rig.h"

namespace penstock::sim {
namespace {

using storage::ReadStatus;

std::vector<std::string>& lines() {
  static std::vector<std::string> said;
  return said;
}

size_t lines_with(std::string_view text) {
  return static_cast<size_t>(
      std::ranges::count_if(lines(), [&](const std::string& line) { return line.find(text) != line.npos; }));
}

class StoreStuck : public testing::Test {
 protected:
  void SetUp() override {
    lines().clear();
    set_log_sink([](LogLevel, std::string_view line) { lines().emplace_back(line); });
  }
  void TearDown() override {
    set_log_sink([](LogLevel, std::string_view) {});
  }
};

// Log 1 has so many batches in its open segment, cleanly stopped; its file's path.
std::string with_open_segment(StoreRig& rig, int batches = 4) {
  EXPECT_EQ(rig.open(), "");
  for (int i = 0; i < batches; ++i) {
    EXPECT_TRUE(rig.append_to(1, 9'000));
    EXPECT_TRUE(rig.append_to(2, 9'000));
  }
  rig.settle();
  rig.stop();
  return files_of(rig.disk, 1, ".log").back();
}

// Both logs get batches, in turn, for laps of the ring; false if one is refused for as long as a minute.
bool fill_laps(StoreRig& rig, int batches = 600) {
  for (int i = 0; i < batches; ++i) {
    const uint64_t log = i % 2 == 0 ? 1 : 2;
    if (!rig.turn_until([&] { return rig.append_to(log, 20'000).has_value(); })) return false;
    rig.turn();
  }
  return true;
}

size_t count_served(StoreRig& rig, uint64_t log) { return read_around(rig, log).served; }

TEST_F(StoreStuck, AnOpenSegmentThatDoesNotOpenIsLeftAndTheRingIsNotHeld) {
  StoreRig rig(1);
  const std::string path = with_open_segment(rig);
  ASSERT_EQ(rig.open(), "");
  rig.disk.faults().fail_opens_under = path;
  ASSERT_TRUE(fill_laps(rig)) << "a ring of 4 MiB took 12 MB, half of it of the log whose file is shut";
  EXPECT_GT(rig.counters.get(Metric::destage_failures), 0u);
  EXPECT_GE(lines_with(path + " cannot be written (no permission, errno 13)"), 1u);
  EXPECT_LE(lines_with("cannot be written"), 3u) << "not each time that it is tried";
  EXPECT_EQ(lines_with("segment " + path + ": bytes 0 to"), 1u);
  EXPECT_EQ(rig.store->health().damaged_logs, 1u) << "it cannot be read either";
  EXPECT_EQ(rig.store->health().stuck_logs, 0u) << "a new segment took its place";
  rig.disk.faults().fail_opens_under.clear();
  EXPECT_EQ(rig.check_acked(), "");
  rig.stop();
  ASSERT_EQ(rig.open(), "");
  EXPECT_EQ(rig.check_acked(), "");
}

// Log 1 has 1.2 MB that cannot be written.
void get_stuck(StoreRig& rig) {
  ASSERT_EQ(rig.open(), "");
  rig.disk.faults().fail_writes_always = storage::log_path("data", LogId{1});
  for (int i = 0; i < 120; ++i) {
    ASSERT_TRUE(rig.append_to(1, 10'000));
    rig.turn();
  }
  ASSERT_TRUE(rig.turn_until([&] { return rig.store->health().stuck_logs == 1; }));
}

// One with little to write too, and though nothing presses: who asks for the broker's health hears that it is over.
TEST_F(StoreStuck, AStuckLogIsTriedAgainHoweverLittleItHas) {
  StoreRig rig(3, {1});
  ASSERT_NO_FATAL_FAILURE(get_stuck(rig));
  ASSERT_TRUE(rig.store->truncate(LogId{1}, Offset{40}));
  ASSERT_TRUE(rig.turn_until([&] { return !rig.store->truncating(LogId{1}); }));
  rig.logs.at(1).batches.resize(40);
  rig.logs.at(1).end_offset = 40;
  rig.settle();
  EXPECT_EQ(rig.store->health().stuck_logs, 1u);
  EXPECT_FALSE(rig.append_to(1, 200'000)) << "more than its share";
  rig.disk.faults().fail_writes_always.clear();
  ASSERT_TRUE(rig.turn_until([&] { return rig.store->health().stuck_logs == 0; }));
  EXPECT_TRUE(rig.append_to(1, 200'000));
  rig.settle();
  EXPECT_EQ(rig.check_acked(), "");
}

// And one that has nothing left to write is not stuck.
TEST_F(StoreStuck, ALogWhoseUnwrittenEndIsCutOffIsNotStuck) {
  StoreRig rig(3, {1});
  ASSERT_NO_FATAL_FAILURE(get_stuck(rig));
  ASSERT_TRUE(rig.store->truncate(LogId{1}, Offset{0}));
  EXPECT_TRUE(rig.turn_until([&] { return rig.store->health().stuck_logs == 0; }));
}

TEST_F(StoreStuck, ALogWhoseFolderIsShutIsToldTakesItsShareAndGoesOnWhenItOpens) {
  StoreRig rig(2);
  with_open_segment(rig);
  ASSERT_EQ(rig.open(), "");
  rig.disk.faults().fail_opens_under = storage::log_path("data", LogId{1});
  // As much of log 2 as fills half of the ring: what waits is written.
  const auto press = [&](int batches) {
    for (int i = 0; i < batches; ++i) {
      rig.append_to(2, 20'000);
      rig.turn();
    }
  };
  ASSERT_TRUE(rig.append_to(1, 1'000));
  press(110);
  ASSERT_TRUE(rig.turn_until([&] { return rig.store->health().stuck_logs == 1; }));
  const std::string said = rig.store->health().stuck_file;
  EXPECT_TRUE(said.starts_with(storage::log_path("data", LogId{1}) + "/")) << said;
  EXPECT_TRUE(said.ends_with(": no permission (errno 13)")) << said;
  uint64_t taken = 0;
  while (taken < 100 && rig.append_to(1, 20'000)) {
    taken += 1;
    rig.turn();
  }
  EXPECT_LE((taken + 1) * 20'000, StoreRig::kRingBytes / 8 + 20'000);
  EXPECT_TRUE(rig.append_to(2, 20'000)) << "the rest of the ring is for the others";
  EXPECT_FALSE(rig.store->poisoned());
  rig.disk.faults().fail_opens_under.clear();
  ASSERT_TRUE(fill_laps(rig));
  EXPECT_EQ(rig.store->health().stuck_logs, 0u);
  EXPECT_EQ(rig.store->health().stuck_file, "");
  EXPECT_EQ(rig.check_acked(), "");
}

// Room was wanted, for which it should have been written, and is not any more.
TEST_F(StoreStuck, ALogThatFailsKeepsNobodyAwake) {
  for (const Nanos step : {30, 50, 70, 90, 110, 130}) {  // the word to try again ends in one or another place
    StoreRig rig(3);
    with_open_segment(rig);
    ASSERT_EQ(rig.open(), "");
    rig.disk.faults().fail_opens_under = storage::log_path("data", LogId{1});
    ASSERT_TRUE(rig.append_to(1, 9'000));
    rig.settle();
    ASSERT_TRUE(rig.append_to(2, 1'400'000));
    rig.settle();
    ASSERT_FALSE(rig.append_to(2, 2'000'000)) << "wants room that the tail holds";
    ASSERT_TRUE(rig.turn_until([&] { return rig.counters.get(Metric::destage_failures) > 0; }));
    for (Nanos slept = 0; slept < 7 * kSecond; slept += step * kMillisecond) {
      rig.clock.advance(step * kMillisecond);
      rig.turn();
    }
    EXPECT_GT(rig.store->next_deadline(), rig.clock.monotonic()) << step;
  }
}

TEST_F(StoreStuck, AStopSaysWhatStaysInTheRing) {
  StoreRig rig(3);
  with_open_segment(rig);
  ASSERT_EQ(rig.open(), "");
  rig.disk.faults().fail_opens_under = storage::log_path("data", LogId{1});
  ASSERT_TRUE(rig.append_to(1, 9'000));
  rig.settle();
  rig.stop();
  EXPECT_EQ(lines_with("1 partition(s) could not be written to their segments"), 1u);
  EXPECT_EQ(lines_with("stay in the ring, and the next start goes on with them"), 1u);
  rig.disk.faults().fail_opens_under.clear();
  ASSERT_EQ(rig.open(), "");
  EXPECT_EQ(rig.check_acked(), "");
  rig.stop();
  EXPECT_EQ(lines_with("could not be written to their segments"), 1u) << "nothing stays";
}

TEST_F(StoreStuck, ASealedSegmentThatDoesNotOpenIsToldAndServedOnceItDoes) {
  StoreRig rig(4);
  ASSERT_NO_FATAL_FAILURE(with_segments(rig));
  ASSERT_EQ(rig.open(), "");
  const auto segments = files_of(rig.disk, 1, ".log");
  rig.disk.faults().fail_opens_under = segments[1];
  EXPECT_FALSE(read_around(rig, 1).refused.empty());
  EXPECT_EQ(lines_with("segment " + segments[1] + " cannot be opened (no permission, errno 13)"), 1u);
  EXPECT_EQ(rig.store->health().damaged_logs, 0u) << "somebody may give the right back";
  rig.disk.faults().fail_opens_under.clear();
  rig.settle();
  EXPECT_EQ(rig.check_acked(), "");
}

// ---------------------------------------------------------------- gone, or cut short

TEST_F(StoreStuck, AnOpenSegmentThatIsGoneIsNotMadeAnew) {
  for (const bool writes : {false, true}) {
    StoreRig rig(5);
    const std::string path = with_open_segment(rig);
    rig.disk.unlink(path).value();
    lines().clear();
    ASSERT_EQ(rig.open(), "");
    if (writes) {
      ASSERT_TRUE(rig.append_to(1, 9'000));
      rig.settle();
    }
    rig.stop();
    EXPECT_FALSE(rig.disk.exists(path)) << "zeros would stand in the place of what it had";
    EXPECT_EQ(lines_with("are missing (there is no such file)"), writes ? 1u : 0u);
    ASSERT_EQ(rig.open(), "");
    EXPECT_EQ(count_served(rig, 1), writes ? 1u : 0u) << "what came behind is in a segment of its own";
    EXPECT_EQ(count_served(rig, 2), 4u);
    EXPECT_EQ(rig.store->offsets(LogId{1})->log_end_offset.value(), writes ? 5 : 4);
  }
}

TEST_F(StoreStuck, AnOpenSegmentThatWasCutShortIsNotFilledWithZeros) {
  for (const bool writes : {false, true}) {
    StoreRig rig(6);
    const std::string path = with_open_segment(rig);
    const auto file = rig.disk.open(path, {}).value();
    rig.disk.resize(file, 20'000).value();
    rig.disk.close(file);
    rig.disk.flush_all("data").value();
    lines().clear();
    ASSERT_EQ(rig.open(), "");
    if (writes) {
      ASSERT_TRUE(rig.append_to(1, 9'000));
      rig.settle();
    }
    rig.stop();
    EXPECT_EQ(rig.disk.contents(path).size(), 20'000u);
    EXPECT_EQ(lines_with("bytes 20000 to "), writes ? 1u : 0u);
    EXPECT_EQ(lines_with("are missing (the file is shorter than it was)"), writes ? 1u : 0u);
    ASSERT_EQ(rig.open(), "");
    const Reading reading = read_around(rig, 1);
    EXPECT_FALSE(reading.refused.empty());
    EXPECT_EQ(reading.refused.size() + reading.served, writes ? 5u : 4u);
    EXPECT_EQ(count_served(rig, 2), 4u);
  }
}

// A batch that the lost file had only the beginning of is whole in the ring: it is written once more.
TEST_F(StoreStuck, ABatchOfWhichTheLostFileHadTheBeginningIsServed) {
  int opened = 0;
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    StoreRig rig(seed);
    ASSERT_EQ(rig.open(), "");
    for (int i = 0; i < 260; ++i) {  // whole blocks, a MiB at a time: the last write ends in a batch
      if (!rig.turn_until([&] { return rig.append_to(1, 9'000).has_value(); })) FAIL();
      rig.turn();
    }
    rig.settle();
    const size_t before = rig.logs.at(1).batches.size();
    rig.crash();
    if (rig.disk.list(storage::log_path("data", LogId{1}))) {  // else nothing of it was durable
      const auto files = files_of(rig.disk, 1, ".log");
      if (!files.empty()) rig.disk.unlink(files.back()).value();
    }
    const std::string line = rig.open();
    if (!line.empty()) continue;  // it had a block to mend in there: a start names the file
    opened += 1;
    for (int i = 0; i < 300; ++i) {
      if (!rig.turn_until([&] { return rig.append_to(1, 9'000).has_value(); })) FAIL();
      rig.turn();
    }
    rig.settle();
    const auto offsets = rig.store->offsets(LogId{1});
    EXPECT_EQ(offsets->log_end_offset.value(), rig.logs.at(1).end_offset);
    EXPECT_GE(rig.logs.at(1).batches.size(), before + 300);
    const Reading reading = read_around(rig, 1);
    EXPECT_EQ(reading.refused.size() + reading.served, rig.logs.at(1).batches.size()) << seed;
    EXPECT_GE(reading.served, 300u) << seed;
  }
  EXPECT_GT(opened, 0);
  EXPECT_GT(lines_with("are missing (there is no such file)"), 0u);
}

// ---------------------------------------------------------------- what is told and asked in time

TEST_F(StoreStuck, RoomThatCameBackToAnIdleStoreIsSeenBeforeAnythingIsRefused) {
  StoreRig rig(7);
  with_open_segment(rig);
  rig.disk.faults().capacity_bytes = rig.disk.allocated_bytes() + 100'000;  // less than the reserve
  ASSERT_EQ(rig.open(), "");
  rig.settle();
  rig.disk.faults().capacity_bytes = 0;
  rig.settle();
  EXPECT_TRUE(rig.turn_until([&] { return rig.append_to(1, 9'000).has_value(); }));
  EXPECT_EQ(rig.counters.get(Metric::appends_refused_disk_full), 0u);
  EXPECT_EQ(lines_with("is full"), 0u);
  // Where there is none, that is known after a poll, and not asked for ever.
  rig.settle();
  rig.disk.faults().capacity_bytes = rig.disk.allocated_bytes();
  ASSERT_TRUE(rig.turn_until([&] {
    rig.append_to(1, 9'000);
    return rig.counters.get(Metric::appends_refused_disk_full) > 0;
  }));
  EXPECT_EQ(lines_with("records are refused until there is room"), 1u);
  rig.disk.faults().capacity_bytes = 0;
  EXPECT_TRUE(rig.turn_until([&] { return rig.append_to(1, 9'000).has_value(); }));
}

TEST_F(StoreStuck, ProducersThatAreForgottenAreCountedNoMore) {
  StoreRig rig(8);
  rig.options.producer_expiration_ms = 60'000;
  rig.options.retention_check_ms = 1'000;
  ASSERT_EQ(rig.open(), "");
  for (int64_t id = 0; id < 50; ++id)
    ASSERT_TRUE(rig.append_to(1, 100, {.producer_id = ProducerId{id}, .producer_epoch = 0, .base_sequence = 0}));
  rig.settle();
  EXPECT_EQ(rig.counters.get(Metric::producers_tracked), 50u);
  ASSERT_TRUE(rig.store->truncate(LogId{1}, Offset{40}));
  ASSERT_TRUE(rig.turn_until([&] { return !rig.store->truncating(LogId{1}); }));
  EXPECT_EQ(rig.counters.get(Metric::producers_tracked), 40u);
  rig.clock.advance(61 * kSecond);
  rig.turn();
  EXPECT_EQ(rig.counters.get(Metric::producers_tracked), 0u);
}

// KIP-32: -1 is no timestamp. Kafka goes by the file's time then (LogSegment.largestTimestamp).
TEST_F(StoreStuck, RecordsWithoutATimestampGrowOldFromWhenTheyWereWritten) {
  StoreRig rig(9);
  rig.config.segment_bytes = 100'000;
  rig.config.retention_ms = 10'000;
  rig.options.retention_check_ms = 100;
  ASSERT_EQ(rig.open(), "");
  const auto append = [&] {
    protocol::BatchBuilder builder;
    const std::vector<std::byte> value(9'000);
    builder.add(protocol::kNoTimestamp, std::nullopt, value);
    ASSERT_EQ(rig.append_batch(1, builder.finish()).status, storage::AppendStatus::kAppended);
    rig.turn();
  };
  for (int i = 0; i < 40; ++i) append();
  const auto start = [&] { return rig.store->offsets(LogId{1})->log_start_offset.value(); };
  rig.clock.advance(5 * kSecond);
  rig.settle();
  EXPECT_EQ(start(), 0) << "not before their time";
  append();
  rig.settle();
  rig.clock.advance(6 * kSecond);
  rig.settle();
  EXPECT_EQ(start(), 0) << "all of them wait in the ring, with one that is young";
  rig.clock.advance(11 * kSecond);
  rig.settle();
  EXPECT_EQ(start(), 41);
  // Those of an earlier life: from when this one began.
  for (int i = 0; i < 40; ++i) append();
  rig.settle();
  rig.stop();
  rig.clock.advance(60 * kSecond);
  ASSERT_EQ(rig.open(), "");
  rig.settle();
  EXPECT_EQ(start(), 41);
  rig.clock.advance(11 * kSecond);
  rig.settle();
  EXPECT_EQ(start(), 81);
  // Whole segments of this life go before the newest records' time has come.
  for (int i = 0; i < 300; ++i) append();
  rig.settle();
  rig.clock.advance(8 * kSecond);
  append();
  rig.settle();
  EXPECT_EQ(start(), 81);
  rig.clock.advance(4 * kSecond);
  rig.settle();
  EXPECT_GT(start(), 81);
  EXPECT_LT(start(), 382);
}

// The one record that had a time is below the log's start: a search finds none, and retention learns nothing from that.
TEST_F(StoreStuck, ASearchByTimeMakesNothingOlder) {
  StoreRig rig(10);
  rig.config.retention_ms = 10'000;
  rig.options.retention_check_ms = 100;
  ASSERT_EQ(rig.open(), "");
  const auto append = [&](int64_t timestamp) {
    protocol::BatchBuilder builder;
    builder.add(timestamp, std::nullopt, std::vector<std::byte>(9'000));
    ASSERT_EQ(rig.append_batch(1, builder.finish()).status, storage::AppendStatus::kAppended);
    rig.turn();
  };
  for (int i = 0; i < 20; ++i) append(i == 0 ? rig.clock.wall_ms() : protocol::kNoTimestamp);
  rig.settle();
  rig.stop();
  ASSERT_EQ(rig.open(), "");
  const auto start = [&] { return rig.store->offsets(LogId{1})->log_start_offset.value(); };
  ASSERT_EQ(rig.store->trim(LogId{1}, Offset{1}).status, storage::TrimStatus::kTrimmed);
  storage::TimeFound found{};
  ASSERT_TRUE(rig.turn_until([&] {
    found = rig.store->find_by_time(LogId{1}, 1);
    return found.status == storage::ReadStatus::kReady;
  }));
  EXPECT_FALSE(found.found);
  rig.clock.advance(kSecond);
  rig.settle();
  EXPECT_EQ(start(), 1);
  rig.clock.advance(11 * kSecond);
  rig.settle();
  EXPECT_EQ(start(), 20);
}

}  // namespace
}  // namespace penstock::sim
