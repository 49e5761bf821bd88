// Ring entries that are no batch: written by the RingWriter among batches, found by the scan; the room that is kept for
// them; starts in a ring that has no room; how far memory mirrors the ring.
#include <gtest/gtest.h>

#include <cstring>
#include <variant>

#include "tests/ring_fixture.h"

namespace penstock::storage {
namespace {

std::vector<std::byte> random_bytes(Prng& prng, size_t size) {
  std::vector<std::byte> bytes(size);
  prng.fill(bytes);
  return bytes;
}

bool same(std::span<const std::byte> a, std::span<const std::byte> b) { return std::ranges::equal(a, b); }

TEST(RingEntries, EachKindReadsBackInOrderAmongBatches) {
  Ring ring;
  Prng prng(1);
  const auto head_of_block = random_bytes(prng, 1000);
  ring.frame();
  ring.writer->append(LogId{7}, RelogEntry{Offset{100}, 8192, head_of_block});
  ring.writer->append(LogId{8}, TruncateEntry{Offset{55}, Offset{50}, 777, LeaderEpoch{3}});
  const Lsn end = ring.writer->append(LogId{9}, StartOffsetEntry{Offset{12}});
  EXPECT_LT(ring.writer->durable(), end);
  ring.flush();
  EXPECT_GE(ring.writer->durable(), end);
  ring.frame();
  ASSERT_EQ(ring.scan(Lsn{0}).row->verdict, Verdict::kEnd);
  ASSERT_EQ(ring.found, 5u);
  const auto kind = [&](size_t i) { return ring.entries[i].kind; };
  EXPECT_EQ(kind(0), EntryKind::kBatch);
  ASSERT_EQ(kind(1), EntryKind::kRelog);
  ASSERT_EQ(kind(2), EntryKind::kTruncate);
  ASSERT_EQ(kind(3), EntryKind::kStartOffset);
  EXPECT_EQ(kind(4), EntryKind::kBatch);
  for (size_t i = 1; i < 4; ++i) EXPECT_EQ(ring.entries[i].log, LogId{6 + i});
  const auto relog = decode_relog(ring.payload(ring.entries[1]));
  ASSERT_TRUE(relog);
  EXPECT_EQ(relog->segment, Offset{100});
  EXPECT_EQ(relog->position, 8192u);
  EXPECT_TRUE(same(relog->bytes, head_of_block));
  const auto truncate = decode_truncate(ring.payload(ring.entries[2]));
  ASSERT_TRUE(truncate);
  EXPECT_EQ(truncate->offset, Offset{55});
  EXPECT_EQ(truncate->segment, Offset{50});
  EXPECT_EQ(truncate->position, 777u);
  EXPECT_EQ(truncate->epoch, LeaderEpoch{3});
  const auto start = decode_start_offset(ring.payload(ring.entries[3]));
  ASSERT_TRUE(start);
  EXPECT_EQ(start->offset, Offset{12});
}

// docs/internals/log_format.md "Entry".
TEST(RingEntries, PayloadsHaveTheSpecifiedBytes) {
  const std::vector<std::byte> block = {std::byte{0xaa}, std::byte{0xbb}};
  const auto relog = encode(RelogEntry{Offset{0x0102030405}, 0x1000, block});
  const std::array<uint8_t, 20> relog_bytes = {5, 4, 3, 2, 1, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0};
  EXPECT_TRUE(same(relog, std::as_bytes(std::span(relog_bytes))));
  const auto truncate = encode(TruncateEntry{Offset{1}, Offset{2}, 3, LeaderEpoch{4}});
  const std::array<uint8_t, 28> truncate_bytes = {1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0,
                                                  0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0};
  EXPECT_TRUE(same(truncate, std::as_bytes(std::span(truncate_bytes))));
  const auto start = encode(StartOffsetEntry{Offset{258}});
  const std::array<uint8_t, 8> start_bytes = {2, 1, 0, 0, 0, 0, 0, 0};
  EXPECT_TRUE(same(start, std::as_bytes(std::span(start_bytes))));
}

TEST(RingEntries, APayloadOfAnotherSizeOrWithNegativeNumbersIsNone) {
  const std::vector<std::byte> block(10);
  std::vector<std::byte> payload(30);
  std::ranges::copy(encode(RelogEntry{Offset{1}, 2, block}), payload.begin());
  ASSERT_TRUE(decode_relog(payload));
  EXPECT_FALSE(decode_relog(std::span(payload).first(29)));
  EXPECT_FALSE(decode_relog(std::span(payload).first(RelogLayout::end - 1)));
  payload[7] = std::byte{0x80};
  EXPECT_FALSE(decode_relog(payload));
  auto truncate = encode(TruncateEntry{Offset{1}, Offset{2}, 3, LeaderEpoch{4}});
  ASSERT_TRUE(decode_truncate(truncate));
  EXPECT_FALSE(decode_truncate(std::span(truncate).first(27)));
  for (const size_t sign : {7u, 15u, 23u}) {
    auto bad = truncate;
    bad[sign] = std::byte{0x80};
    EXPECT_FALSE(decode_truncate(bad)) << sign;
  }
  EXPECT_FALSE(decode_start_offset(encode(StartOffsetEntry{Offset{-1}})));
  EXPECT_FALSE(decode_start_offset({}));
}

// Its own CRC covers all of such an entry: nothing else does.
TEST(RingEntries, EachFlippedBitOfAnEntryIsFound) {
  Ring ring;
  Prng prng(2);
  const Lsn at = ring.writer->head();
  ring.writer->append(LogId{1}, RelogEntry{Offset{1}, 4096, random_bytes(prng, 300)});
  ring.writer->append(LogId{1}, StartOffsetEntry{Offset{1}});
  ring.flush();
  const size_t used = ring.header(at).used_bytes;
  for (size_t n = kFrameHeaderBytes; n < used; ++n) {
    const std::byte flip{static_cast<uint8_t>(1 << prng.below(8))};
    ring.byte(at, n) ^= flip;
    const ScanResult result = ring.scan(Lsn{0});
    ASSERT_EQ(result.here, Here::kTornBody) << n;
    ASSERT_EQ(ring.found, 0u) << n;
    ASSERT_TRUE(result.foreign.empty()) << n;
    ring.byte(at, n) ^= flip;
  }
  EXPECT_EQ(ring.scan(Lsn{0}).head, ring.writer->head());
  EXPECT_EQ(ring.found, 2u);
}

TEST(RingEntries, AKindThatThisVersionDoesNotKnowIsRefusedByName) {
  for (const EntryKind kind : {EntryKind::kSegment, EntryKind::kEpoch, EntryKind::kPad, EntryKind::kDirectRun,
                               static_cast<EntryKind>(9), static_cast<EntryKind>(255), static_cast<EntryKind>(0)}) {
    Ring ring;
    ring.frame();
    ring.writer->append_small(LogId{1}, kind, std::array<std::byte, 3>{});
    ring.flush();
    EXPECT_FALSE(ring.scan(Lsn{0}).foreign.empty()) << static_cast<int>(kind);
    EXPECT_EQ(ring.found, 1u);
  }
}

TEST(RingEntries, AnEntryThatDoesNotFitInItsChunkGoesWholeIntoTheNext) {
  for (const size_t left : {0u, 79u, 80u, 100u, 4095u, 4096u, 5000u, 70'000u}) {
    Ring ring;
    Prng prng(3);
    // A batch that ends left bytes before the chunk's end, as near as the records' own sizes allow.
    const auto batch = sim::random_batch(prng, 1, kChunkBytes - left - 2000);
    ring.writer->begin_entry(LogId{1}, static_cast<uint32_t>(batch.size()));
    ring.writer->write(batch);
    ring.writer->commit_entry();
    while (ring.writer->used_bytes() + 40 < kChunkBytes - left)
      ring.writer->append(LogId{2}, StartOffsetEntry{Offset{1}});
    const auto bytes = random_bytes(prng, 65'000);
    ring.writer->append(LogId{3}, RelogEntry{Offset{4}, 0, bytes});
    ring.writer->append(LogId{3}, StartOffsetEntry{Offset{5}});
    ring.flush();
    ASSERT_EQ(ring.scan(Lsn{0}).row->verdict, Verdict::kEnd) << left;
    ASSERT_EQ(ring.entries.back().kind, EntryKind::kStartOffset);
    const FoundEntry& relog = ring.entries[ring.found - 2];
    ASSERT_EQ(relog.kind, EntryKind::kRelog);
    EXPECT_GT(RingMemory::chunk_end(relog.at), relog.at + relog.bytes);
    EXPECT_TRUE(same(decode_relog(ring.payload(relog))->bytes, bytes));
  }
}

// An empty frame can be all that fills a chunk's last block.
TEST(RingEntries, ABlockTooSmallForTheEntryIsPaddedAway) {
  Ring ring;
  while (RingMemory::left_in_chunk(ring.writer->head()) > kBlock) ring.frame();
  Prng prng(4);
  const auto bytes = random_bytes(prng, kBlock - 1);
  const Lsn padded = ring.writer->head();
  ring.writer->append(LogId{3}, RelogEntry{Offset{4}, 0, bytes});
  ring.flush();
  EXPECT_EQ(ring.header(padded).entries, 0u);
  EXPECT_EQ(ring.header(padded).frame_bytes, kBlock);
  EXPECT_EQ(ring.scan(Lsn{0}).head, ring.writer->head());
  EXPECT_TRUE(same(decode_relog(ring.payload(ring.entries.back()))->bytes, bytes));
}

struct Written {
  EntryKind kind;
  std::vector<std::byte> bytes;
  Lsn end;
};

// Writes random entries of all kinds and sizes; the tail follows half a ring behind.
class RandomWork {
 public:
  explicit RandomWork(uint64_t seed) : prng_(seed) {}

  void step(Ring& ring) {
    if (prng_.one_in(3)) {
      auto batch = sim::random_batch(prng_, 1, prng_.one_in(10) ? 1'200'000 : prng_.below(6000));
      if (ring.writer->room_for(batch.size()) != RingWriter::Room::kYes) return move_tail(ring);
      ring.writer->begin_entry(LogId{1}, static_cast<uint32_t>(batch.size()));
      ring.writer->write(batch);
      if (prng_.one_in(5)) return ring.writer->abort_entry();
      const Lsn end = ring.writer->commit_entry();
      written.push_back({EntryKind::kBatch, std::move(batch), end});
    } else {
      auto bytes = random_bytes(prng_, prng_.one_in(8) ? prng_.below(kSmallPayloadMax + 1) : prng_.below(200));
      if (!ring.writer->room_for_small(bytes.size())) return move_tail(ring);
      const auto split = std::span(bytes).subspan(prng_.below(bytes.size() + 1));
      const auto kind = static_cast<EntryKind>(2 + prng_.below(3));
      const Lsn end =
          ring.writer->append_small(LogId{1}, kind, std::span(bytes).first(bytes.size() - split.size()), split);
      written.push_back({kind, std::move(bytes), end});
    }
    if (prng_.one_in(4)) ring.flush();
    if (prng_.one_in(20)) move_tail(ring);
  }
  void move_tail(Ring& ring) {
    ring.flush();
    const Lsn durable{align_down(ring.writer->durable().value(), kChunkBytes)};
    const Lsn tail = ring.writer->tail();
    if (durable - tail >= kRingBytes / 2)
      ring.writer->advance_tail(tail + align_down((durable - tail) / 2, kChunkBytes));
  }

  std::vector<Written> written;

 private:
  Prng prng_;
};

TEST(RingEntries, WhatWasWrittenIsFoundOverManyLaps) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    Ring ring;
    RandomWork work(seed);
    for (int i = 0; ring.writer->head().value() < 3 * kRingBytes; ++i) {
      ASSERT_LT(i, 20'000);
      work.step(ring);
      if (i % 50 != 49) continue;
      ring.flush();
      const ScanResult result = ring.scan(ring.writer->tail(), 1, ring.known());
      ASSERT_NE(result.row->verdict, Verdict::kDamaged) << result.row->why;
      ASSERT_EQ(result.head, ring.writer->head());
      ASSERT_LE(ring.found, work.written.size());
      // The newest ones, all of those that begin behind the tail.
      const auto expected = std::span(work.written).last(ring.found);
      for (size_t n = 0; n < ring.found; ++n) {
        const FoundEntry& entry = ring.entries[n];
        ASSERT_EQ(entry.kind, expected[n].kind) << seed << ' ' << n;
        ASSERT_EQ(entry.bytes, expected[n].bytes.size());
        std::array<std::span<const std::byte>, 8> pieces;
        std::vector<std::byte> bytes;
        const size_t count = ring.writer->memory().view(entry.at, 0, entry.bytes, pieces);
        for (size_t p = 0; p < count; ++p) bytes.insert(bytes.end(), pieces[p].begin(), pieces[p].end());
        ASSERT_TRUE(same(bytes, expected[n].bytes)) << seed << ' ' << n;
        ASSERT_GE(entry.at, ring.writer->memory_floor());
      }
      if (ring.found < work.written.size()) {
        EXPECT_LE(work.written[work.written.size() - ring.found - 1].end, ring.entries.front().at);
      }
    }
  }
}

// ---- room

TEST(RingRoom, BatchesStopWhereEntriesThatFreeSpaceStillGoOn) {
  Ring ring;
  Prng prng(1);
  const auto batch = sim::random_batch(prng, 1, 50'000);
  while (ring.writer->room_for(batch.size()) == RingWriter::Room::kYes) ring.frame(50'000);
  EXPECT_EQ(ring.writer->room_for(batch.size()), RingWriter::Room::kFull);
  // As many as were asked for find room, in one turn and whatever their size.
  const auto block_head = random_bytes(prng, kBlock - 1);
  const uint64_t payload = RelogLayout::end + block_head.size();
  uint64_t promised = 0;
  while (RingWriter::small_bytes(promised + 1, payload, kBlock) <= ring.writer->small_reserve()) ++promised;
  ASSERT_GT(promised, 150u);
  for (uint64_t i = 0; i < promised; ++i) {
    ASSERT_TRUE(ring.writer->room_for_small(payload)) << i;
    ring.writer->append(LogId{1}, RelogEntry{Offset{0}, 0, block_head});
  }
  while (ring.writer->room_for_small(payload)) ring.writer->append(LogId{1}, RelogEntry{Offset{0}, 0, block_head});
  ring.flush();
  EXPECT_LE(ring.writer->head() - ring.writer->tail(), kRingBytes);
  EXPECT_EQ(ring.scan(Lsn{0}).head, ring.writer->head());
  // And once the tail moves, batches find room again.
  ring.writer->advance_tail(Lsn{2 * kChunkBytes});
  EXPECT_EQ(ring.writer->room_for(batch.size()), RingWriter::Room::kYes);
}

TEST(RingRoom, TheReserveIsWhatTheOwnerNeedsWithinBounds) {
  Ring ring;
  EXPECT_EQ(ring.writer->small_reserve(), kSmallReserveBytes);
  ring.writer->set_small_reserve(kMiB - 5);
  EXPECT_EQ(ring.writer->small_reserve(), kMiB - 5);
  ring.writer->set_small_reserve(100 * kMiB);
  EXPECT_EQ(ring.writer->small_reserve(), kRingBytes / 4);
  EXPECT_FALSE(ring.writer->room_for_small(kSmallPayloadMax + 1));
}

// Seals and opening frames use up what is kept for them; then starts do without, as often as they like.
TEST(RingRoom, AFullRingCanBeStartedWithoutEnd) {
  Ring ring;
  while (ring.writer->room_for(50'000) == RingWriter::Room::kYes) ring.frame(50'000);
  ring.scan(Lsn{0});
  const size_t all = ring.found;
  uint64_t generation = 1;
  int with_a_frame = 0;
  for (int start = 0; start < 400; ++start) {
    const KnownEnd known = ring.known();
    const ScanResult scan = ring.scan(Lsn{0}, generation, known);
    ASSERT_EQ(scan.row->verdict, Verdict::kEnd) << start << scan.row->why;
    ASSERT_EQ(scan.head, known.head);
    ASSERT_EQ(ring.found, all);
    generation = scan.generation + 1;
    ring.start(
        RingStart{.head = scan.head, .previous_crc = scan.previous_crc, .generation = generation, .ring_id = kRingId});
    if (ring.writer->room_to_open()) {
      ring.writer->open_generation();
      with_a_frame += 1;
    } else {
      ring.writer->open_by_state();
    }
    ring.flush();
    ring.writer->seal_now();
    ring.flush();
    ASSERT_TRUE(ring.writer->quiet());
    ASSERT_TRUE(ring.writer->room_for_small(kBlock));
  }
  EXPECT_GT(with_a_frame, 50);
  EXPECT_LT(with_a_frame, 200);
  // What frees space still goes in, and opens the generation.
  const Lsn head = ring.writer->head();
  ring.writer->append(LogId{1}, StartOffsetEntry{Offset{9}});
  ring.flush();
  EXPECT_EQ(ring.header(head).flags, kFrameOpensGeneration);
  const ScanResult last = ring.scan(Lsn{0}, generation, KnownEnd{head, ring.header(head).previous_crc});
  EXPECT_EQ(last.row->verdict, Verdict::kEnd);
  EXPECT_EQ(ring.found, all + 1);
}

// ---- memory

TEST(RingMemoryFloor, WholeChunksGoAsTheWriterComesRound) {
  Ring ring;
  EXPECT_EQ(ring.writer->memory_floor(), Lsn{0});
  while (ring.writer->head().value() < kRingBytes) {
    EXPECT_EQ(ring.writer->memory_floor(), Lsn{0});
    ring.writer->advance_tail(Lsn{align_down(ring.writer->durable().value(), kChunkBytes)});
    ring.frame(30'000);
  }
  EXPECT_EQ(ring.writer->memory_floor(), Lsn{kChunkBytes});
  ring.lap();
  const uint64_t filling = align_down(ring.writer->head().value(), kChunkBytes);
  EXPECT_EQ(ring.writer->memory_floor(), Lsn{filling + kChunkBytes - kRingBytes});
}

TEST(RingMemoryFloor, AnAbortedBatchHasOverwrittenWhatItPassed) {
  Ring ring;
  ring.lap();
  ring.writer->advance_tail(Lsn{align_down(ring.writer->durable().value(), kChunkBytes)});
  const Lsn before = ring.writer->memory_floor();
  Prng prng(1);
  const auto batch = sim::random_batch(prng, 1, 2'000'000);
  ASSERT_EQ(ring.writer->room_for(batch.size()), RingWriter::Room::kYes);
  const Lsn head = ring.writer->head();
  ring.writer->begin_entry(LogId{1}, static_cast<uint32_t>(batch.size()));
  ring.writer->write(batch);
  ring.writer->abort_entry();
  EXPECT_EQ(ring.writer->head(), head);
  EXPECT_GE(ring.writer->memory_floor(), before + 1 * kChunkBytes);
  EXPECT_EQ(ring.writer->memory_floor() - before, align_down(ring.writer->memory_floor() - before, kChunkBytes));
  EXPECT_LT(ring.writer->memory_floor(), head);
}

TEST(RingMemoryFloor, ARingThatWasNotReadMirrorsNothingBelowItsHead) {
  Ring ring;
  ring.start(RingStart{.tail = Lsn{2 * kMiB}, .head = Lsn{3 * kMiB}, .generation = 2, .ring_id = kRingId});
  EXPECT_EQ(ring.writer->memory_floor(), Lsn{2 * kMiB});
  ring.start(RingStart{.tail = Lsn{3 * kMiB},
                       .head = Lsn{3 * kMiB + kBlock},
                       .generation = 2,
                       .ring_id = kRingId,
                       .memory_from = Lsn{3 * kMiB + kBlock}});
  EXPECT_EQ(ring.writer->memory_floor(), Lsn{3 * kMiB + kBlock});
}

}  // namespace
}  // namespace penstock::storage
