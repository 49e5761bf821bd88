// Record batch v2: layout, the checks on a produced batch, the walker over pieces, builder and readers.
#include <gtest/gtest.h>

#include <string>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/prng.h"
#include "protocol/record_batch.h"

namespace penstock::protocol {
namespace {

using Bytes = std::vector<std::byte>;
using Pieces = std::vector<std::span<const std::byte>>;

Bytes small_batch(BatchBuilder::Options options = {}) {
  BatchBuilder builder(options);
  builder.add(1000, as_bytes("key"), as_bytes("value"));
  builder.add(1005, std::nullopt, as_bytes("second"));
  const RecordHeader headers[] = {{"h", as_bytes("1")}, {"h", std::nullopt}};
  builder.add(999, as_bytes(""), std::nullopt, headers);
  return builder.finish();
}

ErrorCode check(const Bytes& batch) {
  return check_batch_header(std::span(batch).first(std::min(batch.size(), kBatchHeaderBytes)), batch.size());
}

RecordsSummary walk(std::span<const std::byte> records, int32_t count) {
  return walk_records(std::span(&records, 1), count);
}

std::span<const std::byte> records_of(const Bytes& batch) { return std::span(batch).subspan(kBatchHeaderBytes); }

TEST(RecordBatch, BytesOfABatchByHand) {
  BatchBuilder builder;
  builder.add(1, std::nullopt, as_bytes("v"));
  const Bytes batch = builder.finish();
  // length 7; attributes; timestamp delta 0; offset delta 0; null key; value of 1; no headers.
  const Bytes record = {std::byte{14}, std::byte{0}, std::byte{0},   std::byte{0},
                        std::byte{1},  std::byte{2}, std::byte{'v'}, std::byte{0}};
  ASSERT_EQ(batch.size(), 61u + 8);
  EXPECT_EQ(Bytes(batch.begin() + 61, batch.end()), record);
  const RecordBatchView view = view_of(batch);
  EXPECT_EQ(view.base_offset(), Offset{0});
  EXPECT_EQ(view.length(), 49 + 8);
  EXPECT_EQ(view.partition_leader_epoch(), kNoLeaderEpoch);
  EXPECT_EQ(view.magic(), 2);
  EXPECT_EQ(view.crc(), crc32c(0, std::span(batch).subspan(21)));
  EXPECT_EQ(view.attributes(), 0);
  EXPECT_EQ(view.last_offset_delta(), 0);
  EXPECT_EQ(view.base_timestamp(), 1);
  EXPECT_EQ(view.max_timestamp(), 1);
  EXPECT_EQ(view.producer_id(), kNoProducerId);
  EXPECT_EQ(view.producer_epoch(), -1);
  EXPECT_EQ(view.base_sequence(), -1);
  EXPECT_EQ(view.records_count(), 1);
}

TEST(RecordBatch, PatchingOffsetAndEpochKeepsTheChecksum) {
  Bytes batch = small_batch();
  const std::span<std::byte, kBatchHeaderBytes> header = std::span(batch).first<kBatchHeaderBytes>();
  store_base_offset(header, Offset{123'456'789'012});
  store_partition_leader_epoch(header, LeaderEpoch{7});
  EXPECT_TRUE(batch_crc_ok(batch));
  EXPECT_EQ(view_of(batch).base_offset(), Offset{123'456'789'012});
  EXPECT_EQ(view_of(batch).last_offset(), Offset{123'456'789'014});
  EXPECT_EQ(view_of(batch).partition_leader_epoch(), LeaderEpoch{7});
  batch.back() ^= std::byte{1};
  EXPECT_FALSE(batch_crc_ok(batch));
}

TEST(RecordBatch, SequencesWrapToZero) {
  EXPECT_EQ(RecordBatchView::add_sequence(0x7fffffff, 1), 0);
  EXPECT_EQ(RecordBatchView::add_sequence(0x7ffffffe, 3), 1);
  EXPECT_EQ(RecordBatchView::add_sequence(5, 2), 7);
}

TEST(RecordBatch, HeaderChecks) {
  const Bytes good = small_batch({.producer_id = ProducerId{4}, .producer_epoch = 0, .base_sequence = 0});
  EXPECT_EQ(check(good), ErrorCode::kNone);
  EXPECT_EQ(check(small_batch()), ErrorCode::kNone);

  const auto with = [&](size_t at, auto value) {
    Bytes batch = good;
    store_be(batch.data() + at, value);
    return check(batch);
  };
  EXPECT_EQ(with(BatchLayout::kMagic, int8_t{1}), ErrorCode::kInvalidRecord);
  EXPECT_EQ(with(BatchLayout::kMagic, int8_t{3}), ErrorCode::kCorruptMessage);
  EXPECT_EQ(with(BatchLayout::kMagic, int8_t{-1}), ErrorCode::kCorruptMessage);
  EXPECT_EQ(with(BatchLayout::kLength, int32_t{-1}), ErrorCode::kCorruptMessage);
  EXPECT_EQ(with(BatchLayout::kLength, int32_t{13}), ErrorCode::kCorruptMessage);
  EXPECT_EQ(with(BatchLayout::kLength, int32_t{48}), ErrorCode::kCorruptMessage);
  EXPECT_EQ(with(BatchLayout::kLength, int32_t{0x7fffffff}), ErrorCode::kInvalidRecord);
  EXPECT_EQ(with(BatchLayout::kRecordsCount, int32_t{0}), ErrorCode::kInvalidRecord);
  EXPECT_EQ(with(BatchLayout::kRecordsCount, int32_t{-3}), ErrorCode::kInvalidRecord);
  EXPECT_EQ(with(BatchLayout::kRecordsCount, int32_t{4}), ErrorCode::kInvalidRecord);
  EXPECT_EQ(with(BatchLayout::kLastOffsetDelta, int32_t{1}), ErrorCode::kInvalidRecord);
  EXPECT_EQ(with(BatchLayout::kLastOffsetDelta, int32_t{-1}), ErrorCode::kInvalidRecord);
  EXPECT_EQ(with(BatchLayout::kBaseSequence, int32_t{-1}), ErrorCode::kInvalidRecord);
  EXPECT_EQ(with(BatchLayout::kProducerEpoch, int16_t{-1}), ErrorCode::kInvalidRecord);
  EXPECT_EQ(with(BatchLayout::kAttributes, kControlBit), ErrorCode::kInvalidRecord);
  EXPECT_EQ(with(BatchLayout::kAttributes, kTransactionalBit), ErrorCode::kNone);
  EXPECT_EQ(with(BatchLayout::kAttributes, kLogAppendTimeBit), ErrorCode::kInvalidTimestamp);
  for (int16_t codec = 0; codec < 8; ++codec) {
    const ErrorCode expected = codec <= 4 ? ErrorCode::kNone : ErrorCode::kUnsupportedCompressionType;
    EXPECT_EQ(with(BatchLayout::kAttributes, codec), expected);
  }
  EXPECT_EQ(check(small_batch({.transactional = true})), ErrorCode::kInvalidRecord);

  Bytes two = good;
  two.insert(two.end(), good.begin(), good.end());
  EXPECT_EQ(check(two), ErrorCode::kInvalidRecord);
  for (size_t n = 0; n < good.size(); ++n) {
    EXPECT_EQ(check(Bytes(good.begin(), good.begin() + static_cast<ptrdiff_t>(n))), ErrorCode::kInvalidRecord) << n;
  }
}

// Cuts bytes into random pieces, empty ones included, each in memory of its own.
std::vector<Bytes> cut(std::span<const std::byte> bytes, Prng& prng, size_t most) {
  std::vector<Bytes> pieces;
  while (!bytes.empty()) {
    const size_t n = std::min<size_t>(bytes.size(), prng.below(most + 1));
    pieces.emplace_back(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(n));
    bytes = bytes.subspan(n);
  }
  return pieces;
}

Pieces views(const std::vector<Bytes>& pieces) { return {pieces.begin(), pieces.end()}; }

Bytes random_batch(Prng& prng, int32_t count) {
  BatchBuilder builder;
  for (int32_t i = 0; i < count; ++i) {
    Bytes key(prng.below(40));
    Bytes value(prng.one_in(8) ? prng.below(20'000) : prng.below(200));
    prng.fill(key);
    prng.fill(value);
    std::vector<RecordHeader> headers(prng.below(3), {"name", as_bytes("text")});
    builder.add(static_cast<int64_t>(prng.next() >> 20), prng.one_in(3) ? BatchBuilder::Bytes() : key,
                prng.one_in(9) ? BatchBuilder::Bytes() : value, headers);
  }
  return builder.finish();
}

TEST(WalkRecords, FindsWhatIsThere) {
  const Bytes batch = small_batch();
  const RecordsSummary summary = walk(records_of(batch), 3);
  EXPECT_EQ(summary.error, ErrorCode::kNone);
  EXPECT_TRUE(summary.any_null_key);
  EXPECT_EQ(summary.max_timestamp_delta, 5);
  EXPECT_EQ(summary.max_timestamp_record, 1);
  EXPECT_EQ(walk({}, 0).error, ErrorCode::kNone);
  EXPECT_EQ(walk({}, 1).error, ErrorCode::kInvalidRecord);
}

TEST(WalkRecords, PiecesMakeNoDifference) {
  Prng prng(11);
  for (int round = 0; round < 300; ++round) {
    const auto count = static_cast<int32_t>(prng.between(1, 30));
    const Bytes batch = random_batch(prng, count);
    const RecordsSummary whole = walk(records_of(batch), count);
    ASSERT_EQ(whole.error, ErrorCode::kNone);
    const auto pieces = cut(records_of(batch), prng, prng.one_in(2) ? 3 : 3000);
    const RecordsSummary split = walk_records(views(pieces), count);
    ASSERT_EQ(split.error, ErrorCode::kNone);
    ASSERT_EQ(split.any_null_key, whole.any_null_key);
    ASSERT_EQ(split.max_timestamp_delta, whole.max_timestamp_delta);
    ASSERT_EQ(split.max_timestamp_record, whole.max_timestamp_record);
  }
}

TEST(WalkRecords, WrongCountsAndTruncationsAreRefused) {
  Prng prng(12);
  const Bytes batch = random_batch(prng, 5);
  const auto records = records_of(batch);
  EXPECT_EQ(walk(records, 4).error, ErrorCode::kInvalidRecord);  // bytes left over
  EXPECT_EQ(walk(records, 6).error, ErrorCode::kInvalidRecord);
  EXPECT_EQ(walk(records, 6).bad_record, 5);
  for (size_t n = 0; n < records.size(); ++n) {
    const Bytes shorter(records.begin(), records.begin() + static_cast<ptrdiff_t>(n));
    ASSERT_EQ(walk(shorter, 5).error, ErrorCode::kInvalidRecord) << n;
  }
}

// The walker, in pieces, and the reader, in one run, agree about every damaged batch.
TEST(WalkRecords, AgreesWithTheReaderOnDamage) {
  Prng prng(13);
  int good = 0;
  int bad = 0;
  for (int round = 0; round < 5000; ++round) {
    const auto count = static_cast<int32_t>(prng.between(1, 4));
    Bytes batch = random_batch(prng, count);
    const size_t records = batch.size() - kBatchHeaderBytes;
    // Mostly near the front, where the lengths are.
    batch[kBatchHeaderBytes + prng.below(std::min<size_t>(records, 60))] = static_cast<std::byte>(prng.next());

    RecordReader reader(records_of(batch));
    bool valid = true;
    for (int32_t i = 0; i < count && valid; ++i) {
      const auto record = reader.next();
      valid = record && record->offset_delta == i;
      if (!valid) break;
      if (record->headers_count == 0) valid = record->headers.empty();
      HeaderReader headers(*record);
      while (valid && !headers.at_end()) valid = headers.next().has_value();
    }
    valid = valid && reader.at_end();

    const auto pieces = cut(records_of(batch), prng, 50);
    ASSERT_EQ(walk_records(views(pieces), count).error == ErrorCode::kNone, valid) << round;
    ++(valid ? good : bad);
  }
  EXPECT_GT(good, 100);
  EXPECT_GT(bad, 100);
}

TEST(RecordReader, GivesBackWhatWasBuilt) {
  const Bytes batch = small_batch();
  RecordReader reader(records_of(batch));
  const RecordView first = *reader.next();
  EXPECT_EQ(first.offset_delta, 0);
  EXPECT_EQ(as_text(*first.key), "key");
  EXPECT_EQ(as_text(*first.value), "value");
  const RecordView second = *reader.next();
  EXPECT_EQ(second.timestamp_delta, 5);
  EXPECT_FALSE(second.key);
  const RecordView third = *reader.next();
  EXPECT_EQ(third.timestamp_delta, -1);
  EXPECT_EQ(third.key->size(), 0u);  // empty is not null
  EXPECT_FALSE(third.value);
  ASSERT_EQ(third.headers_count, 2);
  HeaderReader headers(third);
  const RecordHeader one = *headers.next();
  EXPECT_EQ(one.key, "h");
  EXPECT_EQ(as_text(*one.value), "1");
  EXPECT_FALSE(headers.next()->value);
  EXPECT_TRUE(headers.at_end());
  EXPECT_TRUE(reader.at_end());
}

TEST(FirstBatch, StepsThroughARunAndStopsAtAHalfBatch) {
  const Bytes one = small_batch();
  Bytes run = one;
  run.insert(run.end(), one.begin(), one.end());
  run.insert(run.end(), one.begin(), one.end() - 1);
  std::span<const std::byte> left = run;
  for (int i = 0; i < 2; ++i) {
    const auto batch = *first_batch(left);
    EXPECT_EQ(Bytes(batch.begin(), batch.end()), one);
    left = left.subspan(batch.size());
  }
  EXPECT_EQ(first_batch(left).error().code, Errc::kTruncated);
  run[BatchLayout::kMagic] = std::byte{1};
  EXPECT_EQ(first_batch(run).error().code, Errc::kCorrupt);
  run[BatchLayout::kMagic] = std::byte{2};
  store_be(run.data() + BatchLayout::kLength, int32_t{-5});
  EXPECT_EQ(first_batch(run).error().code, Errc::kCorrupt);
}

TEST(RecordBatch, AppendTime) {
  for (const size_t size : {1u, 100u, 70'000u}) {
    BatchBuilder builder;
    builder.add(1000, std::nullopt, Bytes(size, std::byte{7}));
    builder.add(1, std::nullopt, as_bytes("x"));
    Bytes batch = builder.finish();
    const Bytes sent = batch;
    store_append_time(std::span(batch).first<kBatchHeaderBytes>(), batch.size(), 1'234'567'890'123);
    const RecordBatchView view = view_of(batch);
    EXPECT_TRUE(view.log_append_time());
    EXPECT_EQ(view.max_timestamp(), 1'234'567'890'123);
    EXPECT_EQ(view.base_timestamp(), 1000);
    EXPECT_EQ(view.crc(), crc32c(0, std::span(batch).subspan(BatchLayout::kAttributes)));
    EXPECT_EQ(Bytes(batch.begin() + 61, batch.end()), Bytes(sent.begin() + 61, sent.end()));
  }
}

TEST(RecordBatch, WalkFindsBothEndsOfTime) {
  const Bytes batch = small_batch();  // 1000, 1005, 999
  const RecordsSummary summary = walk(records_of(batch), 3);
  EXPECT_EQ(summary.error, ErrorCode::kNone);
  EXPECT_EQ(summary.min_timestamp_delta, -1);
  EXPECT_EQ(summary.max_timestamp_delta, 5);
}

}  // namespace
}  // namespace penstock::protocol
