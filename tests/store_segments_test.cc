// What ring, segments and state slots owe each other, a named case each. The simulator finds such things by chance;
// these find them every time.
#include <gtest/gtest.h>

#include <numeric>

#include "base/log.h"
#include "base/saturating.h"
#include "storage/ring/state_slots.h"
#include "storage/segment/segment_path.h"
#include "tests/sim/store_rig.h"

namespace penstock::sim {
namespace {

using storage::AppendStatus;
using storage::Disk;
using storage::LogId;
using storage::Metric;

class StoreSegments : public testing::Test {
 protected:
  void SetUp() override {
    set_log_sink([](LogLevel, std::string_view) {});
  }
};

// So many bytes into the logs, as fast as the store takes them.
void fill(StoreRig& rig, uint64_t bytes, size_t value_bytes = 20'000) {
  for (uint64_t sent = 0; sent < bytes; sent += value_bytes)
    while (!rig.append(value_bytes)) rig.turn();
}

storage::RingState newest_slot(const StoreRig& rig) {
  return storage::decode_slot(rig.disk.contents(rig.newest_state()))->ring;
}

// records: so many of the first batch that goes are asked to stay; a batch goes as a whole.
bool cut_log(StoreRig& rig, uint64_t log, size_t batches, int64_t records = 0) {
  LogModel& model = rig.logs.at(log);
  const int64_t to = model.batches.at(batches).base_offset;
  if (!rig.store->truncate(LogId{log}, Offset{to + records})) return false;
  if (!rig.turn_until([&] { return !rig.store->truncating(LogId{log}); })) return false;
  model.batches.resize(batches);
  model.end_offset = to;
  return rig.store->offsets(LogId{log})->log_end_offset == Offset{to};
}

TEST_F(StoreSegments, RingSpaceIsReusedOnlyAfterItsSlotIsDurable) {
  StoreRig rig(1, {1});  // of one log much is in segments before the ring is half full: a slot frees much at once
  rig.config.segment_bytes = kMiB;
  ASSERT_EQ(rig.open(), "");
  // While a slot is on its way more is written than the ring keeps free of batches.
  rig.disk.faults().slow_under = "data/ring-0.state";
  rig.disk.faults().slow_disk = 300;
  while (rig.store->durable().value() < 6 * StoreRig::kRingBytes) {
    while (rig.append(30'000)) {
    }  // full: space is taken as soon as it is free
    rig.turn();
    // What was written so far would be found again only if none of it lies over what the slot still needs.
    ASSERT_LE(rig.store->durable() - newest_slot(rig).tail, StoreRig::kRingBytes);
  }
  rig.crash();
  rig.disk.faults().slow_disk = 1;
  ASSERT_EQ(rig.open(), "");
  EXPECT_EQ(rig.check_acked(), "");
}

TEST_F(StoreSegments, OnlyWhatIsDurableCountsForAWriteOfAMebibyte) {
  StoreRig rig(1, {1});
  ASSERT_EQ(rig.open(), "");
  const auto staged = [&] { return rig.counters.get(Metric::bytes_staged); };
  rig.disk.faults().slow_disk = 100;
  ASSERT_TRUE(rig.append_to(1, 20'000));
  rig.turn();  // a frame of this batch alone is under way
  for (int i = 0; i < 80; ++i) ASSERT_TRUE(rig.append_to(1, 20'000));
  ASSERT_TRUE(rig.turn_until([&] { return rig.store->offsets(LogId{1})->durable > Offset{0}; }));
  rig.turn();
  EXPECT_EQ(staged(), 0u);  // of more than a MiB, 20,000 bytes are durable: no write of five blocks is worth it
  ASSERT_TRUE(rig.turn_until([&] { return staged() > 0; }));
  EXPECT_EQ(staged(), 1 * kMiB);
}

// Many logs share a ring: each visit writes whole blocks, pads none, and so writes no block twice. What a log that has
// gone idle left behind them is written to the byte when it holds the tail.
TEST_F(StoreSegments, ABusyLogsBlocksAreWrittenOnceAndAnIdleLogHoldsNoRing) {
  std::vector<uint64_t> ids(64);
  std::iota(ids.begin(), ids.end(), 1);
  StoreRig rig(17, ids);
  ASSERT_EQ(rig.open(), "");
  const auto fill = [&](std::span<const uint64_t> logs, uint64_t laps) {
    const uint64_t end = rig.store->durable().value() + laps * StoreRig::kRingBytes;
    for (size_t i = 0; rig.store->durable().value() < end;) {
      if (rig.append_to(logs[i % logs.size()], 1'000))
        ++i;
      else
        rig.turn();  // full
    }
  };
  const auto count = [&](Metric metric) { return rig.counters.get(metric); };
  fill(ids, 4);
  EXPECT_GT(count(Metric::segment_bytes_written), 2 * StoreRig::kRingBytes);
  EXPECT_LE(count(Metric::segment_bytes_written), count(Metric::bytes_staged)) << "padding";
  EXPECT_EQ(count(Metric::bytes_relogged), 0u);
  fill(std::span(ids).first(1), 2);
  EXPECT_GT(count(Metric::segment_bytes_written), count(Metric::bytes_staged) + 32 * 512)
      << "idle logs keep their rests";
  rig.crash();
  ASSERT_EQ(rig.open(), "");
  EXPECT_EQ(rig.check_acked(), "");
}

TEST_F(StoreSegments, ATruncationIsNotUndoneByOlderState) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    StoreRig rig(seed, {1});
    rig.config.segment_bytes = 40'000;
    ASSERT_EQ(rig.open(), "");
    for (int i = 0; i < 12; ++i) ASSERT_TRUE(rig.append_to(1, 9'000));
    rig.settle();
    rig.stop();  // all of it is in segments, and the slot says so
    ASSERT_EQ(rig.open(), "");
    ASSERT_TRUE(cut_log(rig, 1, rig.prng.between(0, 11)));
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(rig.append_to(1, 9'000));  // batches of the same size as what was cut off
    rig.settle();
    rig.crash();
    ASSERT_EQ(rig.open(), "") << seed;
    ASSERT_EQ(rig.check_acked(), "") << seed;
    rig.stop();  // and they are written over it
    ASSERT_EQ(rig.open(), "") << seed;
    ASSERT_EQ(rig.check_acked(), "") << seed;
  }
}

// Segments are written by whole blocks, which end within a batch. A truncation into that batch takes all of it.
TEST_F(StoreSegments, ATruncationIntoABatchThatASegmentHasHalfOf) {
  protocol::BatchBuilder builder;
  for (int i = 0; i < 4; ++i) builder.add(1'700'000'000'000, std::nullopt, std::vector<std::byte>(5'000, std::byte{7}));
  const std::vector<std::byte> batch = builder.finish();
  const size_t halved = kMiB / batch.size();  // the first MiB ends in this one
  ASSERT_GT(kMiB % batch.size(), 0u);
  for (size_t first = halved - 1; first <= halved + 1; ++first) {
    for (const bool is_killed : {false, true}) {
      StoreRig rig(first, {1});
      ASSERT_EQ(rig.open(), "");
      for (size_t i = 0; i < halved + 3; ++i) ASSERT_EQ(rig.append_batch(1, batch).status, AppendStatus::kAppended);
      ASSERT_TRUE(rig.turn_until([&] { return rig.counters.get(Metric::segment_bytes_written) > 0; }));
      rig.settle();
      ASSERT_TRUE(cut_log(rig, 1, first, 1)) << first;
      for (int i = 0; i < 3; ++i) ASSERT_TRUE(rig.append_to(1, 9'000));
      rig.settle();
      if (is_killed)
        rig.crash();
      else
        rig.stop();
      ASSERT_EQ(rig.open(), "") << first;
      EXPECT_EQ(rig.check_acked(), "") << first;
    }
  }
}

TEST_F(StoreSegments, AStaleSegmentWriteAfterATruncationHarmsNothing) {
  uint64_t in_flight = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    StoreRig rig(seed, {1});
    rig.config.segment_bytes = 400'000;
    ASSERT_EQ(rig.open(), "");
    fill(rig, 3 * kMiB);
    rig.disk.faults().slow_disk = 50;  // what destage writes now comes late
    for (int i = 0; i < 40; ++i) {
      rig.append(20'000);
      rig.turn();
    }
    in_flight += rig.store->health().buffers_held;
    const size_t count = rig.logs.at(1).batches.size();
    ASSERT_TRUE(cut_log(rig, 1, count - rig.prng.between(1, std::min<size_t>(count, 140)))) << seed;
    rig.disk.faults().slow_disk = 1;
    fill(rig, 100'000);
    rig.settle();
    ASSERT_EQ(rig.check_acked(), "") << seed;
    rig.prng.one_in(2) ? rig.stop() : rig.crash();
    ASSERT_EQ(rig.open(), "") << seed;
    ASSERT_EQ(rig.check_acked(), "") << seed;
  }
  EXPECT_GT(in_flight, 0u);
}

TEST_F(StoreSegments, ASidecarOfWhatWasCutOffIsNotTaken) {
  StoreRig rig(3, {1});
  rig.config.segment_bytes = 40'000;
  ASSERT_EQ(rig.open(), "");
  for (int i = 0; i < 12; ++i) ASSERT_TRUE(rig.append_to(1, 9'000));
  rig.settle();
  rig.stop();
  ASSERT_EQ(rig.open(), "");
  ASSERT_EQ(rig.check_acked(), "");  // every sidecar is there now
  ASSERT_TRUE(cut_log(rig, 1, 1));
  for (int i = 0; i < 11; ++i) ASSERT_TRUE(rig.append_to(1, 9'000));
  rig.settle();
  rig.store->begin_stop();
  for (int i = 0; i < 40; ++i) {  // cut off at each moment of the stop
    StoreRig& r = rig;
    r.turn();
  }
  rig.crash();
  ASSERT_EQ(rig.open(), "");
  EXPECT_EQ(rig.check_acked(), "");
  EXPECT_EQ(rig.store->health().damaged_logs, 0u);
}

TEST_F(StoreSegments, ANameMadeAgainHoldsNothingOfTheOld) {
  StoreRig rig(4);
  ASSERT_EQ(rig.open(), "");
  fill(rig, 200'000);
  rig.stop();
  ASSERT_EQ(rig.open(), "");
  const std::string folder = storage::log_path("data", LogId{1});
  ASSERT_TRUE(rig.disk.exists(folder));
  fill(rig, 50'000);  // and some of it in the ring alone
  rig.settle();
  rig.store->drop_log(LogId{1});
  rig.logs.erase(1);
  rig.logs[3] = {};
  rig.store->open_log(LogId{3});
  ASSERT_TRUE(rig.append_to(3, 500));
  rig.turn();
  rig.turn();
  rig.crash();
  ASSERT_EQ(rig.open(), "");
  EXPECT_EQ(rig.check_acked(), "");
  EXPECT_FALSE(rig.store->offsets(LogId{1}));
  EXPECT_TRUE(rig.turn_until([&] { return !rig.disk.exists(folder); }));
  EXPECT_TRUE(rig.disk.exists(storage::log_path("data", LogId{2})));
}

// Rings of an earlier start with more lcores: each is opened, and none takes another's files for its own.
TEST_F(StoreSegments, ARingWithoutAnLcoreKeepsItsLogs) {
  StoreRig rig(5, {1, 2});
  rig.ring_index = 1;
  ASSERT_EQ(rig.open(), "");
  fill(rig, 300'000);
  rig.stop();
  const auto of_ring_1 = rig.logs;
  rig.logs = {{3, {}}};
  rig.ring_index = 0;
  rig.is_foreign = [](LogId log) { return log < LogId{3}; };
  ASSERT_EQ(rig.open(), "");
  fill(rig, 300'000);
  rig.settle();  // a start sweeps what nobody owns
  rig.stop();
  for (const uint64_t log : {1, 2, 3}) EXPECT_TRUE(rig.disk.exists(storage::log_path("data", LogId{log}))) << log;
  const auto of_ring_0 = rig.logs;
  rig.logs = of_ring_1;
  rig.ring_index = 1;
  rig.is_foreign = [](LogId log) { return log == LogId{3}; };
  ASSERT_EQ(rig.open(), "");
  EXPECT_EQ(rig.check_acked(), "");
  rig.store->drop_log(LogId{1});
  EXPECT_TRUE(rig.turn_until([&] { return !rig.disk.exists(storage::log_path("data", LogId{1})); }));
  rig.crash();
  rig.logs = of_ring_0;
  rig.ring_index = 0;
  rig.is_foreign = [](LogId log) { return log < LogId{3}; };
  ASSERT_EQ(rig.open(), "");
  EXPECT_EQ(rig.check_acked(), "");
}

// ---------------------------------------------------------------- producers

TEST_F(StoreSegments, ADuplicateIsNotAnsweredBeforeTheBatchThatItRepeatsIsDurable) {
  StoreRig rig(6, {1});
  ASSERT_EQ(rig.open(), "");
  const protocol::BatchBuilder::Options producer{.producer_id = ProducerId{7}, .producer_epoch = 0, .base_sequence = 0};
  protocol::BatchBuilder builder(producer);
  builder.add(1, std::nullopt, std::nullopt);
  const auto batch = builder.finish();
  const auto first = rig.append_batch(1, batch);
  ASSERT_EQ(first.status, AppendStatus::kAppended);
  const auto repeat = rig.append_batch(1, batch);
  ASSERT_EQ(repeat.status, AppendStatus::kDuplicate);
  EXPECT_EQ(repeat.base_offset, first.base_offset);
  EXPECT_EQ(repeat.durable_at, first.durable_at);
  EXPECT_GT(repeat.durable_at, rig.store->durable());
}

TEST_F(StoreSegments, ProducerStateIsNeverAheadOfTheLog) {
  uint64_t lost = 0;
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    StoreRig rig(seed);
    ASSERT_EQ(rig.open(), "");
    const auto next = [&](int32_t sequence) {
      protocol::BatchBuilder builder({.producer_id = ProducerId{7}, .producer_epoch = 0, .base_sequence = sequence});
      builder.add(1, std::nullopt, std::nullopt);
      return builder.finish();
    };
    ASSERT_EQ(rig.append_batch(1, next(0)).status, AppendStatus::kAppended);
    rig.settle();
    // A slot is written while the second one is on its way.
    const uint64_t slot = newest_slot(rig).sequence;
    rig.store->drop_log(LogId{2});
    ASSERT_EQ(rig.append_batch(1, next(1)).status, AppendStatus::kAppended);
    while (newest_slot(rig).sequence == slot && rig.logs[1].batches[1].acked == false) {
      rig.store->submit();
      rig.clock.advance(10 * kMicrosecond);
      rig.store->poll();
    }
    rig.crash();
    rig.logs.erase(2);
    ASSERT_EQ(rig.open(), "");
    const bool there = rig.store->offsets(LogId{1})->log_end_offset == Offset{2};
    lost += there ? 0 : 1;
    if (!there) rig.logs[1].batches.resize(1);
    EXPECT_EQ(rig.append_batch(1, next(1)).status, there ? AppendStatus::kDuplicate : AppendStatus::kAppended) << seed;
  }
  EXPECT_GT(lost, 0u);
  EXPECT_LT(lost, 100u);
}

// ---------------------------------------------------------------- epochs and times

TEST_F(StoreSegments, TheGreatestTimestampIsOfWhatIsThere) {
  StoreRig rig(8, {1});
  rig.config.retention_ms = -1;
  ASSERT_EQ(rig.open(), "");
  const auto add = [&](int64_t timestamp) {
    protocol::BatchBuilder builder;
    builder.add(timestamp, std::nullopt, std::nullopt);
    ASSERT_EQ(rig.append_batch(1, builder.finish()).status, AppendStatus::kAppended);
  };
  for (const int64_t timestamp : {900, 100, 500, 300, 950}) add(timestamp);
  rig.settle();
  rig.stop();
  ASSERT_EQ(rig.open(), "");
  const auto greatest = [&] {
    storage::TimeFound found;
    rig.turn_until([&] {
      found = rig.store->find_max_time(LogId{1});
      return found.status != storage::ReadStatus::kPending;
    });
    return found.found.value_or(storage::TimeAndOffset{Offset{-1}, -1});
  };
  EXPECT_EQ(greatest().offset, Offset{4});
  ASSERT_TRUE(cut_log(rig, 1, 4));  // the greatest goes
  EXPECT_EQ(greatest().timestamp, 900);
  ASSERT_EQ(rig.store->trim(LogId{1}, Offset{1}).status, storage::TrimStatus::kTrimmed);  // and the next
  EXPECT_EQ(greatest().timestamp, 500);
  EXPECT_EQ(greatest().offset, Offset{2});
  add(400);
  rig.settle();
  EXPECT_EQ(greatest().timestamp, 500);
}

std::vector<std::byte> batch_at(int64_t first, int64_t second) {
  protocol::BatchBuilder builder;
  builder.add(first, std::nullopt, std::nullopt);
  builder.add(second, std::nullopt, std::nullopt);
  return builder.finish();
}

TEST_F(StoreSegments, AppendTimeDoesNotGoBack) {
  StoreRig rig(1, {1});
  rig.config.append_time = true;
  ASSERT_EQ(rig.open(), "");
  const int64_t noon = rig.clock.wall_ms();
  const auto first = rig.append_batch(1, batch_at(5, 7));
  ASSERT_EQ(first.status, AppendStatus::kAppended);
  EXPECT_EQ(first.append_time_ms, noon);
  rig.clock.wall_jumps(-60'000);
  EXPECT_EQ(rig.append_batch(1, batch_at(5, 7)).append_time_ms, noon);
  rig.clock.wall_jumps(61'000);
  EXPECT_EQ(rig.append_batch(1, batch_at(5, 7)).append_time_ms, noon + 1000);
  rig.settle();
  const auto found = rig.store->find_by_time(LogId{1}, noon + 1);
  ASSERT_TRUE(found.found.has_value());
  EXPECT_EQ(found.found->offset, Offset{4}) << "the times that producers said do not count";
  EXPECT_EQ(found.found->timestamp, noon + 1000);
  rig.stop();
  ASSERT_EQ(rig.open(), "");
  storage::TimeFound cold{};
  ASSERT_TRUE(rig.turn_until([&] {
    cold = rig.store->find_by_time(LogId{1}, noon + 1);
    return cold.status == storage::ReadStatus::kReady;
  }));
  ASSERT_TRUE(cold.found.has_value()) << "from the drive";
  EXPECT_EQ(cold.found->offset, Offset{4});
  rig.store->set_config(LogId{1}, {});
  EXPECT_EQ(rig.append_batch(1, batch_at(5, 7)).append_time_ms, -1);
}

TEST_F(StoreSegments, TimestampsOutOfBoundsAreRefused) {
  StoreRig rig(1, {1});
  rig.config.timestamp_before_max_ms = 1000;
  rig.config.timestamp_after_max_ms = 500;
  ASSERT_EQ(rig.open(), "");
  const int64_t now = rig.clock.wall_ms();
  const auto status = [&](int64_t first, int64_t second) {
    return rig.append_batch(1, batch_at(first, second)).status;
  };
  EXPECT_EQ(status(now - 1000, now + 500), AppendStatus::kAppended) << "the bounds themselves";
  EXPECT_EQ(status(now, now - 1001), AppendStatus::kInvalidTimestamp);
  EXPECT_EQ(status(now - 1001, now), AppendStatus::kInvalidTimestamp);
  EXPECT_EQ(status(now, now + 501), AppendStatus::kInvalidTimestamp);
  EXPECT_EQ(status(now, INT64_MAX), AppendStatus::kInvalidTimestamp);
  EXPECT_EQ(status(-1, -1), AppendStatus::kAppended) << "no time at all";
  EXPECT_EQ(rig.counters.get(Metric::appends_refused_timestamp), 4u);
  EXPECT_EQ(rig.store->offsets(LogId{1})->log_end_offset, Offset{4}) << "nothing of a refused batch is left";
  rig.store->set_config(LogId{1}, {.append_time = true, .timestamp_before_max_ms = 1, .timestamp_after_max_ms = 1});
  EXPECT_EQ(status(1, 2), AppendStatus::kAppended);
}

// Older sarama writes -1 there; others may write anything.
TEST_F(StoreSegments, AHeaderThatDoesNotSayTheGreatestTimeIsSet) {
  StoreRig rig(1, {1});
  ASSERT_EQ(rig.open(), "");
  const int64_t now = rig.clock.wall_ms();
  for (const int64_t said : {int64_t{-1}, INT64_MAX, now}) {
    auto batch = batch_at(now - 5, now + 7);
    const auto right = batch;
    protocol::store_max_timestamp(std::span(batch).first<protocol::kBatchHeaderBytes>(), batch.size(), said);
    ASSERT_EQ(rig.append_batch(1, batch).status, AppendStatus::kAppended);
    LogModel::Batch& kept = rig.logs.at(1).batches.back();
    kept.bytes = right;
    const auto head = std::span(kept.bytes).first<protocol::kBatchHeaderBytes>();
    protocol::store_base_offset(head, Offset{kept.base_offset});
    protocol::store_partition_leader_epoch(head, LeaderEpoch{0});
  }
  EXPECT_EQ(rig.counters.get(Metric::batches_retimed), 3u);
  rig.settle();
  const auto found = rig.store->find_by_time(LogId{1}, now + 6);
  ASSERT_TRUE(found.found.has_value());
  EXPECT_EQ(found.found->timestamp, now + 7);
  EXPECT_EQ(rig.check_acked(), "");
}

TEST_F(StoreSegments, BytesAndProducersAreTold) {
  StoreRig rig(1, {1, 2});
  rig.config.segment_bytes = 50'000;
  ASSERT_EQ(rig.open(), "");
  uint64_t bytes = 0;
  for (int i = 0; i < 20; ++i) {
    protocol::BatchBuilder builder({.producer_id = ProducerId{9}, .producer_epoch = 3, .base_sequence = i});
    builder.add(1000 + i, std::nullopt, std::vector<std::byte>(9000));
    auto batch = builder.finish();
    bytes += batch.size();
    ASSERT_EQ(rig.append_batch(1, std::move(batch)).status, AppendStatus::kAppended);
    if (i == 10) rig.settle();
    ASSERT_EQ(rig.store->bytes_of(LogId{1}), bytes) << i;
  }
  rig.settle();
  EXPECT_EQ(rig.store->bytes_of(LogId{1}), bytes);
  EXPECT_EQ(rig.store->bytes_of(LogId{2}), 0u);
  rig.stop();
  ASSERT_EQ(rig.open(), "");
  EXPECT_EQ(rig.store->bytes_of(LogId{1}), bytes);
  const auto producers = rig.store->producers_of(LogId{1});
  ASSERT_EQ(producers.size(), 1u);
  EXPECT_EQ(producers[0].id, ProducerId{9});
  EXPECT_EQ(producers[0].epoch, 3);
  EXPECT_EQ(producers[0].last_sequence, 19);
  EXPECT_EQ(producers[0].last_timestamp, 1019);
  EXPECT_TRUE(rig.store->producers_of(LogId{2}).empty());
}

TEST_F(StoreSegments, TimesFromTheEndsOfTimeHarmNothing) {
  StoreRig rig(1, {1});
  rig.config = {.segment_bytes = kMiB, .segment_ms = 1000, .retention_ms = 1000};
  rig.config.timestamp_after_max_ms = INT64_MAX;
  rig.options.retention_check_ms = 10;
  ASSERT_EQ(rig.open(), "");
  const int64_t now = rig.clock.wall_ms();
  // The youngest first: nothing behind it is deleted either.
  for (const int64_t time : {now, INT64_MAX, INT64_MIN, int64_t{-1}, int64_t{-5}, INT64_MIN + 1, INT64_MAX - 1}) {
    ASSERT_EQ(rig.append_batch(1, batch_at(time, time)).status, AppendStatus::kAppended);
    ASSERT_EQ(rig.append_batch(1, batch_at(time, wrapping_add(time, 5))).status, AppendStatus::kAppended);
    rig.settle();
  }
  const auto end = rig.store->offsets(LogId{1})->log_end_offset;
  const auto ask_all = [&] {
    for (const int64_t time : {INT64_MIN, int64_t{-1}, now, INT64_MAX}) {
      ASSERT_TRUE(rig.turn_until(
          [&] { return rig.store->find_by_time(LogId{1}, time).status == storage::ReadStatus::kReady; }));
    }
  };
  ask_all();
  rig.stop();
  ASSERT_EQ(rig.open(), "");
  ask_all();
  EXPECT_EQ(rig.store->offsets(LogId{1})->log_end_offset, end);
  EXPECT_EQ(rig.store->offsets(LogId{1})->log_start_offset, Offset{0});
  EXPECT_EQ(rig.check_acked(), "");
}

// A log with little to write is in the ring alone, or in one segment, and something young is always there.
TEST_F(StoreSegments, OldRecordsGoThoughYoungOnesKeepComing) {
  for (const bool has_segment : {false, true}) {
    StoreRig rig(1, {1});
    rig.config = {.segment_bytes = kMiB, .segment_ms = 2'000, .retention_ms = 5'000};
    rig.options.retention_check_ms = 100;
    ASSERT_EQ(rig.open(), "");
    std::vector<int64_t> times;  // of the batches, two records each
    const auto produce = [&] {
      const int64_t now = rig.clock.wall_ms();
      times.push_back(now);
      ASSERT_EQ(rig.append_batch(1, batch_at(now, now)).status, AppendStatus::kAppended);
      rig.settle();
    };
    produce();
    if (has_segment) {
      rig.stop();
      ASSERT_EQ(rig.open(), "");
      ASSERT_EQ(rig.store->bytes_of(LogId{1}) > 0, true);
    }
    for (int i = 0; i < 40; ++i) {
      rig.clock.advance(kSecond);
      produce();
      rig.turn();
      const auto first = static_cast<size_t>(rig.store->offsets(LogId{1})->log_start_offset.value() / 2);
      const int64_t now = rig.clock.wall_ms();
      if (first > 0) {
        ASSERT_GT(now - times[first - 1], 5'000) << "young ones stay";
      }
      // The 5 seconds, the 2 of the segment that they ended with, and a second or two between two looks.
      ASSERT_LT(now - times[first], 5'000 + 2'000 + 4'000) << i << has_segment;
    }
    EXPECT_LE(rig.counters.get(Metric::segments_rolled), 20u);
    auto& batches = rig.logs.at(1).batches;
    const int64_t start = rig.store->offsets(LogId{1})->log_start_offset.value();
    std::erase_if(batches, [&](const auto& batch) { return batch.base_offset < start; });
    EXPECT_EQ(rig.check_acked(), "");
  }
}

// Kafka's producer.id.expiration.ms: by the time of its newest record.
TEST_F(StoreSegments, AProducerThatIsSilentForLongIsForgotten) {
  StoreRig rig(1, {1});
  rig.options.retention_check_ms = 10;
  rig.options.producer_expiration_ms = 5'000;
  ASSERT_EQ(rig.open(), "");
  const auto produce = [&](int64_t id, int32_t sequence) {
    protocol::BatchBuilder builder({.producer_id = ProducerId{id}, .producer_epoch = 0, .base_sequence = sequence});
    builder.add(rig.clock.wall_ms(), std::nullopt, std::nullopt);
    return rig.append_batch(1, builder.finish()).status;
  };
  ASSERT_EQ(produce(7, 0), AppendStatus::kAppended);
  ASSERT_EQ(produce(8, 0), AppendStatus::kAppended);
  rig.settle();
  rig.clock.advance(4 * kSecond);
  ASSERT_EQ(produce(8, 1), AppendStatus::kAppended);
  rig.clock.advance(2 * kSecond);
  ASSERT_TRUE(rig.turn_until([&] { return rig.store->producers_of(LogId{1}).size() == 1; }));
  EXPECT_EQ(rig.store->producers_of(LogId{1})[0].id, ProducerId{8});
  EXPECT_EQ(produce(8, 1), AppendStatus::kDuplicate);
  EXPECT_EQ(produce(7, 0), AppendStatus::kAppended) << "as one that was never seen";
}

// A retention that drops hundreds of open segments at once asks the disk for no more than it takes.
TEST_F(StoreSegments, HundredsOfOpenSegmentsGoAtOnce) {
  StoreRig rig(1, {1, 2});
  rig.config.segment_bytes = 9'000;
  ASSERT_EQ(rig.open(), "");
  for (int i = 0; i < 300; ++i) {
    for (const uint64_t log : {1, 2})
      while (!rig.append_to(log, 8'000)) rig.turn();
  }
  rig.settle();
  const uint64_t open = rig.counters.get(Metric::segment_files_open);
  ASSERT_GT(open, Disk::kFileOpsInFlightMax) << "for the test to be one";
  const Offset end = rig.store->offsets(LogId{1})->durable;
  EXPECT_EQ(rig.store->trim(LogId{1}, end).status, storage::TrimStatus::kTrimmed);
  rig.store->drop_log(LogId{2});
  EXPECT_TRUE(rig.turn_until([&] {
    return rig.counters.get(Metric::segment_files_open) < 5 && rig.counters.get(Metric::segments_deleted) > 100;
  }));
}

}  // namespace
}  // namespace penstock::sim
