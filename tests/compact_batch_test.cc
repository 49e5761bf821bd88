// Compaction of batches against a naive model: random logs, the map of keys by a std::map, what stays by the rules read
// off KIP-98 and KIP-534 anew.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/prng.h"
#include "protocol/compression/batches.h"
#include "storage/compact/batch_cleaner.h"

namespace penstock::storage {
namespace {

using protocol::BatchBuilder;
using protocol::Compression;
using Bytes = std::vector<std::byte>;

Bytes bytes_of(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

uint64_t seeds() {
  const char* text = std::getenv("PENSTOCK_SIM_SEEDS");
  return text == nullptr ? 200 : std::strtoull(text, nullptr, 10);
}

constexpr SipKey kSecret{0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL};

// ---------------------------------------------------------------- the hash and the map

// From the reference implementation's vectors: key 00..0f, inputs of 0 and of 1 byte (00).
TEST(KeyHash, IsSipHashOf128Bits) {
  EXPECT_EQ(hash_of(kSecret, {}), (KeyHash{0xe6a825ba047f81a3ULL, 0x930255c71472f66dULL}));
  const std::array<std::byte, 1> zero{};
  EXPECT_EQ(hash_of(kSecret, zero), (KeyHash{0x44af996bd8c187daULL, 0x45fc229b11597634ULL}));
}

TEST(OffsetMap, HoldsWhatWasPutAndRefusesMore) {
  OffsetMap map(24 * 100, 0.5, kSecret);
  EXPECT_EQ(map.capacity(), 50u);
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(map.put(bytes_of(std::to_string(i)), Offset{i}));
  EXPECT_FALSE(map.put(bytes_of("one more"), Offset{50}));
  EXPECT_TRUE(map.put(bytes_of("7"), Offset{51})) << "a key that is there needs no room";
  EXPECT_EQ(map.find(bytes_of("7")), Offset{51});
  EXPECT_EQ(map.find(bytes_of("8")), Offset{8});
  EXPECT_EQ(map.find(bytes_of("one more")), std::nullopt);
  map.clear();
  EXPECT_EQ(map.size(), 0u);
  EXPECT_EQ(map.find(bytes_of("8")), std::nullopt);
  EXPECT_TRUE(map.put({}, Offset{0})) << "an empty key is a key";
  EXPECT_EQ(map.find({}), Offset{0});
}

TEST(OffsetMap, SaysThatThereIsNoMemoryForIt) {
  EXPECT_TRUE(OffsetMap(24 * 100, 0.5, kSecret).has_memory());
  EXPECT_FALSE(OffsetMap(size_t{1} << 50, 0.5, kSecret).has_memory()) << "more than a process can address";
}

// ---------------------------------------------------------------- a naive model

struct Record {
  int64_t offset = 0;
  int64_t timestamp = 0;
  std::optional<std::string> key;
  std::optional<std::string> value;
  std::string header;
  friend bool operator==(const Record&, const Record&) = default;
};

struct Batch {
  int64_t base = 0;
  int64_t last = 0;
  int64_t producer = -1;
  int32_t sequence = -1;
  int32_t epoch = 0;
  Compression codec = Compression::kNone;
  bool control = false;
  std::optional<int64_t> horizon;
  std::vector<Record> records;
  friend bool operator==(const Batch&, const Batch&) = default;
};

std::optional<std::string> text(const std::optional<std::span<const std::byte>>& bytes) {
  if (!bytes) return std::nullopt;
  return std::string(reinterpret_cast<const char*>(bytes->data()), bytes->size());
}

Batch parsed(std::span<const std::byte> bytes) {
  const auto view = protocol::view_of(bytes);
  EXPECT_TRUE(protocol::batch_crc_ok(bytes));
  EXPECT_EQ(view.total_bytes(), static_cast<int64_t>(bytes.size()));
  Batch batch{.base = view.base_offset().value(),
              .last = view.last_offset().value(),
              .producer = view.producer_id().value(),
              .sequence = view.base_sequence(),
              .epoch = view.partition_leader_epoch().value(),
              .codec = view.compression(),
              .control = view.control(),
              .horizon = {},
              .records = {}};
  if ((view.attributes() & protocol::kDeleteHorizonBit) != 0) batch.horizon = view.base_timestamp();
  Bytes records;
  EXPECT_TRUE(protocol::append_records(bytes, 1 << 24, records).has_value());
  int64_t greatest = -1;
  for (protocol::RecordReader reader(records); !reader.at_end();) {
    const auto record = reader.next().value();
    Record& into = batch.records.emplace_back();
    into.offset = batch.base + record.offset_delta;
    into.timestamp = view.base_timestamp() + record.timestamp_delta;
    into.key = text(record.key);
    into.value = text(record.value);
    protocol::HeaderReader headers(record);
    while (!headers.at_end()) into.header += headers.next().value().key;
    greatest = std::max(greatest, into.timestamp);
  }
  EXPECT_EQ(view.records_count(), static_cast<int32_t>(batch.records.size()));
  EXPECT_TRUE(batch.records.empty() || view.max_timestamp() == greatest);
  return batch;
}

struct RandomLog {
  Prng prng;
  std::vector<Bytes> batches;
  std::map<ProducerId, Offset> producers;
  int64_t end = 0;

  explicit RandomLog(uint64_t seed) : prng(seed, 77) {
    const uint64_t count = prng.between(1, 40);
    const uint64_t keys = prng.between(1, 30);
    for (uint64_t i = 0; i < count; ++i) add(keys);
  }

  void add(uint64_t keys) {
    BatchBuilder::Options options{.base_offset = Offset{end}, .partition_leader_epoch = LeaderEpoch{3}};
    const bool control = prng.one_in(15);
    options.control = control;
    if (prng.one_in(3)) {
      options.producer_id = ProducerId{static_cast<int64_t>(prng.between(1, 4))};
      options.producer_epoch = 0;
      options.base_sequence = static_cast<int32_t>(end);
    }
    BatchBuilder builder(options);
    const uint64_t records = control ? 1 : prng.between(1, 8);
    for (uint64_t i = 0; i < records; ++i) {
      const Bytes key = bytes_of(fmt::format("key-{}", prng.below(keys)));
      const Bytes value = bytes_of(std::string(prng.below(60), static_cast<char>('a' + prng.below(26))));
      const std::array headers{protocol::RecordHeader{.key = "trace", .value = std::nullopt}};
      BatchBuilder::Bytes k, v;
      if (control || !prng.one_in(25)) k = key;
      if (!prng.one_in(5)) v = value;
      builder.add(1'000'000 + static_cast<int64_t>(prng.below(5000)), k, v,
                  prng.one_in(3) ? std::span<const protocol::RecordHeader>(headers)
                                 : std::span<const protocol::RecordHeader>());
    }
    Bytes batch = builder.finish();
    const auto codec = static_cast<Compression>(control ? 0 : prng.below(5));
    if (codec != Compression::kNone)
      batch = protocol::recompressed(batch, codec, protocol::levels_of(codec).usual, 1 << 24).value();
    end += static_cast<int64_t>(records);
    if (options.producer_id > kNoProducerId && prng.chance(80)) producers[options.producer_id] = Offset{end - 1};
    batches.push_back(std::move(batch));
    if (prng.one_in(10)) end += static_cast<int64_t>(prng.below(5));  // a gap, as an earlier cleaning leaves it
  }
};

struct Pass {
  std::vector<Batch> log;
  Offset covered{0};
};

// What a cleaning must leave, from nothing but the rules.
std::vector<Batch> naive(const std::vector<Batch>& log, const std::map<ProducerId, Offset>& producers,
                         int64_t dirty_from, int64_t covered, int64_t now, int64_t retention) {
  std::map<std::string, int64_t> newest;
  for (const Batch& batch : log)
    for (const Record& record : batch.records)
      if (!batch.control && record.key && record.offset >= dirty_from && record.offset < covered)
        newest[*record.key] = record.offset;
  std::vector<Batch> left;
  for (const Batch& batch : log) {
    if (batch.control) {
      left.push_back(batch);
      continue;
    }
    Batch kept = batch;
    kept.records.clear();
    for (const Record& record : batch.records) {
      const bool reached = record.offset < covered;
      const bool keyless = !record.key.has_value();
      const bool older = !keyless && newest.contains(*record.key) && newest.at(*record.key) > record.offset;
      const bool dead = !record.value.has_value() && batch.horizon && now >= *batch.horizon;
      if (!reached || (!keyless && !older && !dead)) kept.records.push_back(record);
    }
    if (kept.records.empty()) {
      const auto producer = producers.find(ProducerId{batch.producer});
      const bool last_of_producer = producer != producers.end() && producer->second.value() == batch.last;
      if (!last_of_producer && batch.last + 1 != covered) continue;
      if (!batch.records.empty()) {
        kept.horizon.reset();
        kept.codec = Compression::kNone;
      }
    }
    bool tombstone = false;
    for (const Record& record : kept.records) tombstone = tombstone || !record.value;
    if (tombstone && !batch.horizon && batch.base < covered) kept.horizon = now + retention;
    left.push_back(kept);
  }
  return left;
}

std::string text_of(const std::vector<Batch>& log) {
  std::string out;
  for (const Batch& batch : log) {
    out += fmt::format("[{}-{} p{} h{}", batch.base, batch.last, batch.producer, batch.horizon.value_or(-1));
    for (const Record& record : batch.records)
      out += fmt::format(" {}:{}={}", record.offset, record.key.value_or("-"), record.value.value_or("null"));
    out += "]\n";
  }
  return out;
}

// One cleaning by the code under test.
void clean(std::vector<Bytes>& log, const OffsetMap& map, const std::map<ProducerId, Offset>& producers, Offset covered,
           int64_t now, int64_t retention) {
  const CleaningRules rules{.map = map,
                            .covered = covered,
                            .round_end = covered,
                            .now_ms = now,
                            .delete_retention_ms = retention,
                            .producers = producers};
  std::vector<Bytes> left;
  Bytes out;
  for (Bytes& batch : log) {
    const CleanedBatch cleaned = clean_batch(rules, batch, out);
    if (cleaned.what == Cleaned::kAsItWas) left.push_back(std::move(batch));
    if (cleaned.what == Cleaned::kRewritten || cleaned.what == Cleaned::kHeaderOnly) left.push_back(out);
  }
  log = std::move(left);
}

TEST(CompactBatch, RandomLogsAreCleanedAsANaiveModelSays) {
  uint64_t removed = 0, headers = 0, partial = 0, buried = 0;
  for (uint64_t seed = 1; seed <= seeds(); ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    RandomLog log(seed);
    std::vector<Batch> model;
    for (const Bytes& batch : log.batches) model.push_back(parsed(batch));
    int64_t now = 2'000'000;
    Offset dirty_from{0};
    for (int pass = 0; pass < 4; ++pass) {
      const int64_t retention = static_cast<int64_t>(log.prng.below(3000));
      OffsetMap map(24 * log.prng.between(2, 60), 0.9, kSecret);
      const Offset below{static_cast<int64_t>(log.prng.below(static_cast<uint64_t>(log.end) + 1))};
      Offset covered = dirty_from;
      bool full = false;
      for (const Bytes& batch : log.batches) {
        if (full || protocol::view_of(batch).base_offset() >= below) break;
        const Offset end = std::min(protocol::view_of(batch).last_offset() + 1, below);
        const Offset to = add_keys(map, batch, dirty_from, below).value();
        covered = std::max(covered, to);
        full = to < end && to >= dirty_from;
      }
      partial += full ? 1 : 0;
      const std::vector<Batch> want = naive(model, log.producers, dirty_from.value(), covered.value(), now, retention);
      clean(log.batches, map, log.producers, covered, now, retention);
      std::vector<Batch> got;
      for (const Bytes& batch : log.batches) got.push_back(parsed(batch));
      ASSERT_EQ(got, want) << "got\n" << text_of(got) << "want\n" << text_of(want) << "covered " << covered.value();
      for (const Batch& batch : want) headers += batch.records.empty() ? 1 : 0;
      removed += model.size() - want.size();
      for (const Batch& batch : want) buried += batch.horizon ? 1 : 0;
      model = want;
      dirty_from = covered;
      now += static_cast<int64_t>(log.prng.below(3000));
    }
  }
  EXPECT_GT(removed, 0u);
  EXPECT_GT(headers, 0u);
  EXPECT_GT(partial, 0u);
  EXPECT_GT(buried, 0u);
}

TEST(CompactBatch, ATombstoneKeepsItsTimesUnderItsHorizon) {
  BatchBuilder builder(BatchBuilder::Options{.base_offset = Offset{10}});
  builder.add(500, bytes_of("a"), std::nullopt);
  builder.add(400, bytes_of("b"), bytes_of("x"));
  const Bytes batch = builder.finish();
  OffsetMap map(1 << 16, 0.9, kSecret);
  const std::map<ProducerId, Offset> producers;
  ASSERT_EQ(add_keys(map, batch, Offset{0}, Offset{100}).value(), Offset{12});
  CleaningRules rules{.map = map,
                      .covered = Offset{12},
                      .round_end = Offset{12},
                      .now_ms = 9'000,
                      .delete_retention_ms = 1'000,
                      .producers = producers};
  Bytes once, twice;
  EXPECT_EQ(clean_batch(rules, batch, once).what, Cleaned::kRewritten);
  EXPECT_EQ(parsed(once).horizon, 10'000);
  EXPECT_EQ(parsed(once).records, parsed(batch).records) << "offsets, times, keys and values stay";
  rules.now_ms = 9'999;
  EXPECT_EQ(clean_batch(rules, once, twice).what, Cleaned::kAsItWas) << "the horizon is set once";
  rules.now_ms = 10'000;
  EXPECT_EQ(clean_batch(rules, once, twice).what, Cleaned::kRewritten);
  EXPECT_EQ(parsed(twice).records.size(), 1u);
  EXPECT_EQ(parsed(twice).records[0].key, "b");
}

TEST(CompactBatch, WhatCannotBeReadStaysAsItIs) {
  BatchBuilder builder;
  for (int i = 0; i < 5; ++i) builder.add(1, bytes_of("same"), bytes_of("value"));
  Bytes batch = protocol::recompressed(builder.finish(), Compression::kLz4, 0, 1 << 20).value();
  batch.resize(batch.size() - 10);
  protocol::seal_batch(batch);
  OffsetMap map(1 << 16, 0.9, kSecret);
  EXPECT_FALSE(add_keys(map, batch, Offset{0}, Offset{100}).has_value());
  ASSERT_TRUE(map.put(bytes_of("same"), Offset{90}));
  const std::map<ProducerId, Offset> producers;
  Bytes out;
  const CleanedBatch cleaned = clean_batch({.map = map,
                                            .covered = Offset{100},
                                            .round_end = Offset{100},
                                            .now_ms = 0,
                                            .delete_retention_ms = 0,
                                            .producers = producers},
                                           batch, out);
  EXPECT_EQ(cleaned.what, Cleaned::kAsItWas);
  EXPECT_TRUE(out.empty());
}

}  // namespace
}  // namespace penstock::storage
