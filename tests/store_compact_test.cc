// Compaction of a store's logs, on a simulated drive: what stays, for whom, and through what.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <map>
#include <string>

#include "base/log.h"
#include "storage/api/compaction.h"
#include "storage/api/folder.h"
#include "storage/api/log_tool.h"
#include "storage/segment/segment_path.h"
#include "tests/sim/store_rig.h"

namespace penstock::sim {
namespace {

using storage::LogId;
using storage::Metric;

struct Found {
  int64_t offset;
  std::string key;
  std::optional<std::string> value;
};

class StoreCompact : public ::testing::Test {
 protected:
  StoreCompact() : rig(11, {1}) {
    set_log_sink([](LogLevel, std::string_view) {});
    rig.compaction = true;
    rig.options.cleaner_backoff_ms = 50;
    rig.options.cleaner_map_bytes = 1 << 20;
    rig.options.scrub_bytes_per_second = 0;
    rig.config.compact = true;
    rig.config.delete_old = false;
    rig.config.segment_bytes = 64 * kKiB;
    rig.config.max_compaction_lag_ms = 100;
    rig.config.delete_retention_ms = 60'000;
    rig.config.file_delete_delay_ms = 1'000;
  }
  ~StoreCompact() override { set_log_sink(nullptr); }

  void open() { ASSERT_EQ(rig.open(), ""); }

  // One record, acknowledged sooner or later; its offset.
  int64_t put(const std::string& key, std::optional<std::string> value, protocol::BatchBuilder::Options options = {}) {
    protocol::BatchBuilder builder(options);
    protocol::BatchBuilder::Bytes bytes;
    if (value) bytes = std::as_bytes(std::span(*value));
    builder.add(rig.clock.wall_ms(), std::as_bytes(std::span(key)), bytes);
    const auto result = rig.append_batch(1, builder.finish());
    EXPECT_EQ(result.status, storage::AppendStatus::kAppended);
    return result.base_offset.value();
  }

  uint64_t count(Metric metric) const { return rig.counters.get(metric); }
  // Until so many more cleanings have ended.
  bool wait_for_compactions(uint64_t more) {
    const uint64_t now = count(Metric::compactions);
    return rig.turn_until([&] { return count(Metric::compactions) >= now + more; });
  }

  // Until nothing more is cleaned.
  void clean_all() {
    for (int quiet = 0; quiet < 1'000; ++quiet) {
      const uint64_t before = count(Metric::compactions) + count(Metric::compaction_swaps);
      rig.turn();
      if (count(Metric::compactions) + count(Metric::compaction_swaps) != before) quiet = 0;
    }
  }

  // All records, as a consumer from the beginning sees them.
  std::vector<Found> read() {
    std::vector<Found> found;
    const auto bytes = read_all(*rig.store, LogId{1}, [this] { rig.turn(); });
    EXPECT_TRUE(bytes.has_value());
    if (!bytes) return found;
    for (std::span<const std::byte> left = *bytes; !left.empty();) {
      const auto batch = protocol::view_of(left);
      const auto total = static_cast<size_t>(batch.total_bytes());
      EXPECT_TRUE(protocol::batch_crc_ok(left.first(total)));
      for (protocol::RecordReader reader(left.first(total).subspan(protocol::kBatchHeaderBytes)); !reader.at_end();) {
        const auto record = reader.next().value();
        Found& into = found.emplace_back();
        into.offset = batch.base_offset().value() + record.offset_delta;
        into.key.assign(reinterpret_cast<const char*>(record.key->data()), record.key->size());
        if (record.value) into.value.emplace(reinterpret_cast<const char*>(record.value->data()), record.value->size());
      }
      left = left.subspan(total);
    }
    return found;
  }

  // Many records of few keys; afterwards the last offset and value of each.
  void fill(int records, int keys, size_t bytes = 2'000) {
    for (int i = 0; i < records; ++i) {
      const std::string key = fmt::format("key-{}", i % keys);
      const std::string value = fmt::format("{}:{}", i, std::string(bytes, 'x'));
      last[key] = {put(key, value), value};
      if (i % 8 == 0) rig.turn();
    }
  }
  void expect_the_last_of_each_key() {
    const std::vector<Found> found = read();
    std::map<std::string, std::pair<int64_t, std::string>> got;
    for (const Found& record : found) got[record.key] = {record.offset, record.value.value_or("")};
    EXPECT_EQ(got, last);
  }

  StoreRig rig;
  std::map<std::string, std::pair<int64_t, std::string>> last;
};

TEST_F(StoreCompact, TheLastRecordOfEachKeyStaysThroughStopsAndCrashes) {
  open();
  fill(200, 7);
  ASSERT_TRUE(wait_for_compactions(1));
  clean_all();
  expect_the_last_of_each_key();
  EXPECT_LT(read().size(), 20u);
  EXPECT_GT(count(Metric::compaction_records_removed), 180u);
  EXPECT_GT(count(Metric::compaction_swaps), 0u);
  const auto before = rig.store->offsets(LogId{1});
  rig.settle();
  rig.stop();
  open();
  expect_the_last_of_each_key();
  rig.crash();
  open();
  expect_the_last_of_each_key();
  EXPECT_EQ(rig.store->offsets(LogId{1})->log_end_offset, before->log_end_offset);
  EXPECT_EQ(rig.store->offsets(LogId{1})->log_start_offset, before->log_start_offset);
}

TEST_F(StoreCompact, TheOldFilesGoWhenASlotNamesTheNewAndReadersHadTheirTime) {
  open();
  fill(100, 3);
  ASSERT_TRUE(wait_for_compactions(1));
  const std::string old = storage::segment_path("data", LogId{1}, {Offset{0}});
  EXPECT_TRUE(rig.disk.exists(old)) << "answers may be read from it";
  EXPECT_TRUE(rig.turn_until([&] { return !rig.disk.exists(old); }));
  expect_the_last_of_each_key();
}

TEST_F(StoreCompact, ATombstoneStaysForItsTimeAndThenGoes) {
  rig.config.delete_retention_ms = 5'000;
  open();
  put("gone", "value");
  const int64_t tombstone = put("gone", std::nullopt);
  put("stays", "value");
  ASSERT_TRUE(wait_for_compactions(1));
  std::vector<Found> found = read();
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].offset, tombstone);
  EXPECT_EQ(found[0].value, std::nullopt);
  put("stays", "other");
  ASSERT_TRUE(wait_for_compactions(1));
  EXPECT_EQ(read().size(), 2u) << "its time has not come";
  rig.clock.advance(6 * kSecond);
  put("stays", "third");
  ASSERT_TRUE(wait_for_compactions(1));
  found = read();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].value, "third");
}

TEST_F(StoreCompact, WhatIsYoungerThanTheLagIsLeftAlone) {
  rig.config.min_compaction_lag_ms = 20'000;
  rig.config.max_compaction_lag_ms = INT64_MAX;
  rig.config.segment_ms = 100;
  rig.config.min_cleanable_dirty_ratio = 0;
  open();
  fill(100, 2);
  for (int i = 0; i < 3'000; ++i) rig.turn();
  EXPECT_EQ(count(Metric::compactions), 0u);
  EXPECT_EQ(read().size(), 100u);
  rig.clock.advance(20 * kSecond);
  ASSERT_TRUE(wait_for_compactions(1));
  expect_the_last_of_each_key();
}

TEST_F(StoreCompact, NothingIsCleanedBelowTheDirtyRatio) {
  rig.config.max_compaction_lag_ms = INT64_MAX;
  rig.config.segment_ms = 100;
  rig.config.min_cleanable_dirty_ratio = 0.5;
  open();
  fill(200, 100);
  ASSERT_TRUE(wait_for_compactions(1));
  clean_all();
  const uint64_t cleaned = count(Metric::compactions);
  put("key-0", "little");
  clean_all();
  EXPECT_EQ(count(Metric::compactions), cleaned) << "a small part of the log is dirty";
}

TEST_F(StoreCompact, AFullMapCoversAPartAndTheNextPassTheRest) {
  rig.options.cleaner_map_bytes = 24 * 12;  // some ten keys
  open();
  fill(120, 40, 300);
  ASSERT_TRUE(wait_for_compactions(3));
  clean_all();
  EXPECT_EQ(read().size(), 40u);
  expect_the_last_of_each_key();
}

TEST_F(StoreCompact, AnAnswerThatWasBegunIsFinishedFromTheOldFile) {
  rig.config.max_compaction_lag_ms = INT64_MAX;
  rig.config.segment_bytes = 16 * kKiB;
  rig.config.min_cleanable_dirty_ratio = 0;
  open();
  fill(30, 2);
  rig.settle();
  rig.stop();  // everything into segments, and out of memory
  rig.config.min_compaction_lag_ms = 1'000'000;
  open();
  storage::ReadPlan plan{.status = storage::ReadStatus::kPending, .cursor = {}};
  ASSERT_TRUE(rig.turn_until([&] {
    plan = rig.store->plan_read(LogId{1}, Offset{0}, UINT64_MAX, true);
    return plan.status == storage::ReadStatus::kReady;
  }));
  ASSERT_TRUE(plan.cursor.cold);
  storage::LogConfig config = rig.config;
  config.min_compaction_lag_ms = 0;
  config.file_delete_delay_ms = 10'000;
  rig.store->set_config(LogId{1}, config);
  ASSERT_TRUE(wait_for_compactions(1));
  std::vector<std::byte> got;
  storage::ReadCursor cursor = plan.cursor;
  ASSERT_TRUE(rig.turn_until([&] {
    std::array<std::span<const std::byte>, 4> pieces;
    const auto n = rig.store->view(cursor, 4096, pieces);
    if (!n) return n.error().code != Errc::kWouldBlock;
    for (const auto piece : std::span(pieces).first(*n)) {
      got.insert(got.end(), piece.begin(), piece.end());
      rig.store->advance(cursor, piece.size());
    }
    return cursor.remaining == 0;
  }));
  ASSERT_EQ(got.size(), plan.cursor.remaining);
  ASSERT_EQ(rig.logs.at(1).batches.front().bytes.size(), static_cast<size_t>(protocol::view_of(got).total_bytes()));
  EXPECT_TRUE(std::ranges::equal(std::span(got).first(rig.logs.at(1).batches.front().bytes.size()),
                                 rig.logs.at(1).batches.front().bytes));
  rig.clock.advance(11 * kSecond);
  rig.settle();
  std::array<std::span<const std::byte>, 4> pieces;
  const auto late = rig.store->view(plan.cursor, 4096, pieces);
  ASSERT_FALSE(late.has_value());
  EXPECT_EQ(late.error().code, Errc::kNotFound);
}

TEST_F(StoreCompact, ACrashBeforeTheSlotLeavesTheLogAsItWas) {
  open();
  fill(60, 2);
  ASSERT_TRUE(rig.turn_until([&] { return count(Metric::compaction_swaps) > 0; }));
  rig.crash();
  open();
  expect_the_last_of_each_key();
  ASSERT_TRUE(wait_for_compactions(1));
  expect_the_last_of_each_key();
}

TEST_F(StoreCompact, ARecordWithoutAKeyIsRefused) {
  open();
  protocol::BatchBuilder builder;
  builder.add(rig.clock.wall_ms(), std::nullopt, std::as_bytes(std::span("value")));
  const auto batch = builder.finish();
  EXPECT_EQ(rig.append_batch(1, batch).status, storage::AppendStatus::kNoKey);
  EXPECT_EQ(rig.store->offsets(LogId{1})->log_end_offset, Offset{0});
  EXPECT_EQ(count(Metric::appends_refused_keyless), 1u);
  storage::LogConfig config = rig.config;
  config.compact = false;
  rig.store->set_config(LogId{1}, config);
  EXPECT_EQ(rig.append_batch(1, batch).status, storage::AppendStatus::kAppended);
}

TEST_F(StoreCompact, AProducersLastBatchStaysAsAHeader) {
  open();
  const int64_t first = put("a", "1", {.producer_id = ProducerId{5}, .producer_epoch = 0, .base_sequence = 0});
  put("a", "2");
  put("b", "3");
  ASSERT_TRUE(wait_for_compactions(1));
  const auto bytes = read_all(*rig.store, LogId{1}, [this] { rig.turn(); });
  ASSERT_TRUE(bytes.has_value());
  const auto batch = protocol::view_of(*bytes);
  EXPECT_EQ(batch.base_offset(), Offset{first});
  EXPECT_EQ(batch.records_count(), 0);
  EXPECT_EQ(batch.producer_id(), ProducerId{5});
  EXPECT_EQ(batch.base_sequence(), 0);
}

TEST_F(StoreCompact, TrimAndTruncateWorkOnACleanedLog) {
  open();
  fill(100, 5);
  ASSERT_TRUE(wait_for_compactions(1));
  clean_all();
  const auto end = rig.store->offsets(LogId{1})->log_end_offset;
  ASSERT_TRUE(rig.store->truncate(LogId{1}, Offset{50}));  // in the middle of what is gone
  ASSERT_TRUE(rig.turn_until([&] { return !rig.store->truncating(LogId{1}); }));
  EXPECT_EQ(rig.store->offsets(LogId{1})->log_end_offset, Offset{50});
  EXPECT_LT(rig.store->offsets(LogId{1})->log_end_offset, end);
  EXPECT_TRUE(read().empty());
  const int64_t next = put("new", "value");
  EXPECT_EQ(next, 50);
  rig.settle();
  ASSERT_EQ(read().size(), 1u);
  EXPECT_EQ(rig.store->trim(LogId{1}, Offset{20}).status, storage::TrimStatus::kTrimmed);
  rig.settle();
  rig.crash();
  open();
  EXPECT_EQ(rig.store->offsets(LogId{1})->log_start_offset, Offset{20});
  ASSERT_EQ(read().size(), 1u);
  EXPECT_EQ(read()[0].offset, 50);
}

// A truncation says where the file is cut: that has to be the file that a start finds named.
TEST_F(StoreCompact, ATruncationWaitsUntilTheCleanedSegmentIsNamed) {
  open();
  for (const int64_t back : {100, 60, 95}) {
    for (int i = 0; i < 120; ++i) put(i % 2 == 0 ? fmt::format("own-{}", i) : "same", std::string(2'000, 'x'));
    rig.disk.faults().slow_under = "data/ring-0.state";
    rig.disk.faults().slow_disk = 5'000;
    const uint64_t swaps = count(Metric::compaction_swaps);
    ASSERT_TRUE(rig.turn_until([&] { return count(Metric::compaction_swaps) > swaps; }));
    const int64_t to = rig.store->offsets(LogId{1})->log_end_offset.value() - back;
    ASSERT_TRUE(rig.store->truncate(LogId{1}, Offset{to}));
    ASSERT_TRUE(rig.turn_until([&] { return !rig.store->truncating(LogId{1}); }));
    rig.logs.at(1).end_offset = to;
    for (int i = 0; i < 3; ++i) rig.turn();  // it is durable
    const std::vector<Found> before = read();
    rig.crash();
    rig.disk.faults().slow_disk = 1;
    open();
    ASSERT_EQ(rig.store->offsets(LogId{1})->log_end_offset, Offset{to});
    EXPECT_EQ(read().size(), before.size());
    EXPECT_EQ(count(Metric::segments_damaged), 0u);
  }
}

TEST_F(StoreCompact, ADamagedSegmentEndsTheCleaningOfItsLog) {
  rig.config.max_compaction_lag_ms = INT64_MAX;
  open();
  fill(100, 3);
  rig.settle();
  rig.stop();
  rig.disk.flip_bit(storage::segment_path("data", LogId{1}, {Offset{0}}), 5'000, 3);
  rig.config.max_compaction_lag_ms = 100;
  open();
  ASSERT_TRUE(rig.turn_until([&] { return count(Metric::compaction_logs_given_up) == 1; }));
  EXPECT_EQ(count(Metric::compaction_swaps), 0u);
  EXPECT_GT(count(Metric::compaction_failures), 0u);
}

// Of two neighbours that become one segment, the first is trimmed away while the new one is written: that is of no use
// then, and a tombstone that lies behind must not become old enough to go before what it hides.
TEST_F(StoreCompact, WhatATombstoneHidesDoesNotComeBackWhenASwapIsRefused) {
  rig.config.max_compaction_lag_ms = INT64_MAX;
  rig.config.min_compaction_lag_ms = 1'000'000;
  rig.config.segment_bytes = 32 * kKiB;
  rig.config.delete_retention_ms = 5'000;
  open();
  int others = 0;
  const auto put_others = [&](int records) {
    for (int i = 0; i < records; ++i) put(fmt::format("other-{}", others++), std::string(2'400, 'x'));
  };
  put_others(16);  // 13 are the first segment
  put("K", std::string(2'400, 'v'));
  put_others(12);
  put("K", std::nullopt);  // in the third
  put_others(24);
  rig.settle();
  rig.stop();  // everything into segments
  open();
  storage::LogConfig config = rig.config;
  config.min_compaction_lag_ms = 0;
  config.min_cleanable_dirty_ratio = 0;
  config.segment_bytes = 64 * kKiB;  // two go into one
  rig.store->set_config(LogId{1}, config);
  ASSERT_TRUE(rig.turn_until([&] {
    const auto names = rig.disk.list(storage::log_path("data", LogId{1}));
    return std::ranges::any_of(*names, [](const std::string& name) {
      const auto file = storage::parse_segment_name(name);
      return file && file->id.revision != 0;
    });
  }));
  ASSERT_EQ(rig.store->trim(LogId{1}, Offset{13}).status, storage::TrimStatus::kTrimmed);
  clean_all();
  rig.clock.advance(6 * kSecond);
  rig.config = config;
  for (int i = 0; i < 2; ++i) {
    put_others(40);
    rig.settle();
    rig.stop();
    open();
    ASSERT_TRUE(wait_for_compactions(1));
    clean_all();
  }
  bool deleted = true;
  for (const Found& record : read())
    if (record.key == "K") deleted = !record.value;
  EXPECT_TRUE(deleted);
}

// The scrubber had read the first segment when a compaction put a longer one in its place.
TEST_F(StoreCompact, TheScrubberDoesNotGoOnInAnotherFile) {
  rig.config.max_compaction_lag_ms = INT64_MAX;
  rig.config.min_compaction_lag_ms = 1'000'000;
  rig.config.segment_bytes = 32 * kKiB;
  rig.options.scrub_bytes_per_second = 20'000;  // it rests for more than a second behind the first
  open();
  fill(40, 40, 2'400);
  rig.settle();
  rig.stop();  // everything into segments
  open();
  ASSERT_TRUE(rig.turn_until([&] { return count(Metric::scrubbed_bytes) > 0; }));
  storage::LogConfig config = rig.config;
  config.min_compaction_lag_ms = 0;
  config.min_cleanable_dirty_ratio = 0;
  config.segment_bytes = 256 * kKiB;
  rig.store->set_config(LogId{1}, config);
  put("key-0", "dirt");
  ASSERT_TRUE(rig.turn_until([&] { return count(Metric::compaction_swaps) > 0; }));
  const uint64_t before = count(Metric::scrubbed_bytes);
  ASSERT_TRUE(rig.turn_until([&] { return count(Metric::scrubbed_bytes) > before; }));
  EXPECT_EQ(count(Metric::segments_damaged), 0u);
}

// The drive's cleaner works for another store: what waits behind that can be called off.
TEST_F(StoreCompact, AJobThatWaitsIsCalledOffAtOnce) {
  rig.options.cleaner_bytes_per_second = 1'024;
  open();
  storage::CompactionLink other;
  rig.cleaner->attach(other);
  fill(100, 3);
  ASSERT_TRUE(rig.turn_until([&] { return !rig.cleaner->idle(); }));
  ASSERT_TRUE(other.asked.try_push(storage::CleaningJob{.log = LogId{9}, .sources = {}, .producers = {}}));
  rig.turn();
  EXPECT_FALSE(other.told.try_pop());
  ASSERT_TRUE(
      other.asked.try_push(storage::CleaningJob{.is_cancel = true, .log = LogId{9}, .sources = {}, .producers = {}}));
  rig.turn();
  const auto news = other.told.try_pop();
  ASSERT_TRUE(news);
  EXPECT_EQ(news->kind, storage::CleaningNews::Kind::kGivenUp);
  EXPECT_EQ(news->log, LogId{9});
  EXPECT_FALSE(rig.cleaner->idle());
}

TEST_F(StoreCompact, TheToolsFindNothingWrongWithIt) {
  ASSERT_TRUE(storage::open_folder(rig.disk, rig.prng, "data").has_value());
  open();
  fill(150, 9);
  ASSERT_TRUE(wait_for_compactions(1));
  clean_all();
  rig.clock.advance(2 * kSecond);
  rig.settle();
  rig.stop();
  const storage::LogToolRequest request{.disk = &rig.disk, .folder = "data"};
  std::vector<std::string> findings;
  uint64_t revisions = 0;
  const storage::LogToolSink sink{
      .on_item =
          [&](const storage::LogItem& item) {
            for (const auto& field : item.fields)
              if (item.kind == "log_segment" && field.name == "revision" && std::get<uint64_t>(field.value) > 0)
                revisions += 1;
            return true;
          },
      .on_finding =
          [&](const storage::Finding& finding) {
            if (finding.severity != storage::Severity::kNote) findings.push_back(finding.file + ": " + finding.means);
          },
      .on_step = {},
      .on_progress = {}};
  const auto totals = storage::verify_folder(request, sink);
  ASSERT_TRUE(totals.has_value()) << totals.error().what;
  EXPECT_EQ(findings, std::vector<std::string>());
  EXPECT_GT(totals->batches, 0u);
  ASSERT_TRUE(storage::dump_folder(request, {}, sink).has_value());
  EXPECT_GT(revisions, 0u);
}

// More than a process can address.
TEST_F(StoreCompact, ACleanerThatMemoryDoesNotGiveIsRefusedByItsName) {
  rig.options.cleaner_map_bytes = int64_t{1} << 50;
  const auto made = storage::CompactionThread::make({.folder = "data",
                                                     .options = rig.options,
                                                     .reserve_bytes = 0,
                                                     .disk = &rig.disk,
                                                     .clock = &rig.clock,
                                                     .prng = &rig.prng});
  ASSERT_FALSE(made.has_value());
  EXPECT_EQ(made.error().what,
            "no memory for the 1073741824 MiB of log.cleaner.dedupe.buffer.size; free some, or choose a smaller one");
}

}  // namespace
}  // namespace penstock::sim
