// One test a row of the recovery table (storage/ring/recovery.h): the ring is written by the RingWriter, then broken as
// the row says, and the scan must name that row.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "tests/ring_fixture.h"

namespace penstock::storage {
namespace {

void expect_row(const ScanResult& result, Here here, Behind behind, Verdict verdict) {
  EXPECT_EQ(result.row->here, here) << result.row->why;
  EXPECT_EQ(result.row->behind, behind) << result.row->why;
  EXPECT_EQ(result.row->verdict, verdict) << result.row->why;
}

TEST(RecoveryTable, EachCaseHasExactlyOneRow) {
  std::set<std::pair<Here, Behind>> seen;
  for (const RecoveryRow& row : kRecoveryTable) EXPECT_TRUE(seen.emplace(row.here, row.behind).second) << row.why;
  EXPECT_EQ(seen.size(), 24u);  // eight things that can stand here, three that can be known of what is behind
}

TEST(RecoveryTable, NothingHereNothingBehindIsTheEnd) {
  Ring ring;
  for (int i = 0; i < 3; ++i) ring.frame();
  expect_row(ring.scan(Lsn{0}), Here::kNothing, Behind::kNone, Verdict::kEnd);
  EXPECT_EQ(ring.found, 3u);
}

TEST(RecoveryTable, NothingHereFramesBehindIsDamage) {
  Ring ring;
  for (int i = 0; i < 3; ++i) ring.frame();
  ring.zero(ring.frames[1]);
  const ScanResult result = ring.scan(Lsn{0});
  expect_row(result, Here::kNothing, Behind::kFrames, Verdict::kDamaged);
  EXPECT_EQ(result.behind, ring.frames[2]);
}

TEST(RecoveryTable, NothingHereThoughTheStateNamesALaterEndIsDamage) {
  Ring ring;
  ring.frame();
  const Lsn lost = ring.frame();
  ring.zero(lost);
  const ScanResult result = ring.scan(Lsn{0}, 1, ring.known());
  expect_row(result, Here::kNothing, Behind::kVouched, Verdict::kDamaged);
  EXPECT_EQ(result.head, lost);
  EXPECT_EQ(result.behind, ring.writer->durable());
}

TEST(RecoveryTable, OlderLapHereNothingBehindIsTheEnd) {
  Ring ring;
  ring.lap();
  ring.frame();
  const ScanResult result = ring.scan(ring.writer->tail());
  expect_row(result, Here::kOlderLap, Behind::kNone, Verdict::kEnd);
  EXPECT_EQ(result.head, ring.writer->head());
}

TEST(RecoveryTable, OlderLapHereFramesBehindIsALostWrite) {
  Ring ring;
  ring.lap();
  const std::vector<std::byte> older = ring.bytes();
  const Lsn lost = ring.frame();
  ring.frame();
  ring.put_back(older, lost);
  expect_row(ring.scan(ring.writer->tail()), Here::kOlderLap, Behind::kFrames, Verdict::kDamaged);
}

TEST(RecoveryTable, OlderLapHereThoughTheStateNamesALaterEndIsALostWrite) {
  Ring ring;
  ring.lap();
  const std::vector<std::byte> older = ring.bytes();
  const Lsn lost = ring.frame();
  ring.put_back(older, lost);
  expect_row(ring.scan(ring.writer->tail(), 1, ring.known()), Here::kOlderLap, Behind::kVouched, Verdict::kDamaged);
}

TEST(RecoveryTable, NewerLapHereMeansTheStateSlotIsOld) {
  Ring ring;
  ring.lap();
  ring.lap();
  expect_row(ring.scan(Lsn{0}), Here::kNewerLap, Behind::kNone, Verdict::kDamaged);
}

TEST(RecoveryTable, NewerLapHereFramesBehindMeansTheStateSlotIsOld) {
  Ring ring;
  ring.lap();
  ring.frame();
  expect_row(ring.scan(Lsn{0}), Here::kNewerLap, Behind::kFrames, Verdict::kDamaged);
}

TEST(RecoveryTable, NewerLapHereBeforeTheEndThatTheStateNamesIsDamage) {
  Ring ring;
  ring.frame();
  const KnownEnd known = ring.known();
  ring.lap();
  ring.lap();
  expect_row(ring.scan(Lsn{0}, 1, known), Here::kNewerLap, Behind::kVouched, Verdict::kDamaged);
}

TEST(RecoveryTable, LeftoverHereNothingBehindIsTheEnd) {
  Ring ring;
  ring.frame();
  const Lsn cut = ring.frame();
  const std::vector<std::byte> older = ring.bytes();
  // A later start cut at the second frame and went on in its place with a frame of one block less... then died.
  ring.start(RingStart{.head = cut, .previous_crc = ring.header(Lsn{0}).crc, .generation = 3, .ring_id = kRingId});
  ring.writer->open_generation();
  ring.flush();
  const Lsn next = ring.writer->head();
  FrameHeader old = ring.header(Lsn{0});
  old.lsn = next;
  old.generation = 1;
  std::copy_n(older.begin(), kBlock, ring.bytes().begin() + static_cast<int64_t>(next.value()));
  ring.rewrite(next, old);
  const ScanResult result = ring.scan(Lsn{0});
  expect_row(result, Here::kLeftover, Behind::kNone, Verdict::kEnd);
  EXPECT_EQ(result.generation, 3u);
}

TEST(RecoveryTable, LeftoverHereFramesBehindIsALostWrite) {
  Ring ring;
  ring.start(RingStart{.generation = 2, .ring_id = kRingId});
  for (int i = 0; i < 3; ++i) ring.frame();
  FrameHeader old = ring.header(ring.frames[1]);
  old.generation = 1;
  ring.rewrite(ring.frames[1], old);
  expect_row(ring.scan(Lsn{0}), Here::kLeftover, Behind::kFrames, Verdict::kDamaged);
}

TEST(RecoveryTable, LeftoverHereThoughTheStateNamesALaterEndIsALostWrite) {
  Ring ring;
  ring.start(RingStart{.generation = 2, .ring_id = kRingId});
  ring.frame();
  const Lsn lost = ring.frame();
  FrameHeader old = ring.header(lost);
  old.generation = 1;
  ring.rewrite(lost, old);
  expect_row(ring.scan(Lsn{0}, 1, ring.known()), Here::kLeftover, Behind::kVouched, Verdict::kDamaged);
}

TEST(RecoveryTable, TornHeaderAtTheEndIsCut) {
  Ring ring;
  ring.frame();
  const Lsn torn = ring.frame();
  ring.byte(torn, FrameLayout::entries) ^= std::byte{1};
  const ScanResult result = ring.scan(Lsn{0});
  expect_row(result, Here::kNotAFrame, Behind::kNone, Verdict::kTornTail);
  EXPECT_EQ(result.head, torn);
  EXPECT_EQ(ring.found, 1u);
}

TEST(RecoveryTable, DamagedHeaderWithFramesBehindIsDamage) {
  Ring ring;
  for (int i = 0; i < 3; ++i) ring.frame();
  ring.byte(ring.frames[1], FrameLayout::entries) ^= std::byte{1};
  expect_row(ring.scan(Lsn{0}), Here::kNotAFrame, Behind::kFrames, Verdict::kDamaged);
}

TEST(RecoveryTable, ADamagedHeaderBeforeTheEndThatTheStateNamesIsNoTornTail) {
  Ring ring;
  ring.frame();
  const Lsn last = ring.frame();
  ring.byte(last, FrameLayout::entries) ^= std::byte{1};
  expect_row(ring.scan(Lsn{0}, 1, ring.known()), Here::kNotAFrame, Behind::kVouched, Verdict::kDamaged);
}

TEST(RecoveryTable, TornEntriesAtTheEndAreCut) {
  Ring ring;
  ring.frame();
  const Lsn torn = ring.frame();
  ring.byte(torn, kFrameHeaderBytes + kEntryHeaderBytes + 70) ^= std::byte{1};
  expect_row(ring.scan(Lsn{0}), Here::kTornBody, Behind::kNone, Verdict::kTornTail);
}

TEST(RecoveryTable, DamagedEntriesWithFramesBehindAreDamage) {
  Ring ring;
  for (int i = 0; i < 3; ++i) ring.frame();
  ring.byte(ring.frames[1], kFrameHeaderBytes + kEntryHeaderBytes + 3) ^= std::byte{1};  // outside Kafka's CRC
  expect_row(ring.scan(Lsn{0}), Here::kTornBody, Behind::kFrames, Verdict::kDamaged);
}

TEST(RecoveryTable, DamagedEntriesBeforeTheEndThatTheStateNamesAreNoTornTail) {
  Ring ring;
  ring.frame();
  const Lsn last = ring.frame();
  ring.byte(last, kFrameHeaderBytes + kEntryHeaderBytes + 70) ^= std::byte{1};
  expect_row(ring.scan(Lsn{0}, 1, ring.known()), Here::kTornBody, Behind::kVouched, Verdict::kDamaged);
}

TEST(RecoveryTable, BrokenChainAtTheEndIsDamage) {
  Ring ring;
  ring.frame();
  const Lsn last = ring.frame();
  FrameHeader other = ring.header(last);
  other.previous_crc += 1;
  ring.rewrite(last, other);
  expect_row(ring.scan(Lsn{0}), Here::kBrokenChain, Behind::kNone, Verdict::kDamaged);
}

TEST(RecoveryTable, BrokenChainWithFramesBehindIsDamage) {
  Ring ring;
  for (int i = 0; i < 3; ++i) ring.frame();
  FrameHeader other = ring.header(ring.frames[1]);
  other.previous_crc += 1;
  ring.rewrite(ring.frames[1], other);
  expect_row(ring.scan(Lsn{0}), Here::kBrokenChain, Behind::kFrames, Verdict::kDamaged);
}

TEST(RecoveryTable, BrokenChainBeforeTheEndThatTheStateNamesIsDamage) {
  Ring ring;
  ring.frame();
  const Lsn last = ring.frame();
  FrameHeader other = ring.header(last);
  other.previous_crc += 1;
  ring.rewrite(last, other);
  expect_row(ring.scan(Lsn{0}, 1, ring.known()), Here::kBrokenChain, Behind::kVouched, Verdict::kDamaged);
}

// The frame as another ring would have it.
void make_foreign(Ring& ring, Lsn at) {
  FrameHeader other = ring.header(at);
  other.ring_id[0] += 1;
  ring.rewrite(at, other);
}

TEST(RecoveryTable, AnotherRingIsNoTornTail) {
  Ring ring;
  for (int i = 0; i < 3; ++i) make_foreign(ring, ring.frame());
  const ScanResult result = ring.scan(Lsn{0});
  expect_row(result, Here::kForeign, Behind::kNone, Verdict::kDamaged);
  EXPECT_EQ(result.head, Lsn{0});
}

TEST(RecoveryTable, FramesOfAnotherRingBeforeThisRingsOwnAreDamage) {
  Ring ring;
  for (int i = 0; i < 3; ++i) ring.frame();
  make_foreign(ring, Lsn{0});
  const ScanResult result = ring.scan(Lsn{0});
  expect_row(result, Here::kForeign, Behind::kFrames, Verdict::kDamaged);
  EXPECT_EQ(result.behind, ring.frames[1]);
}

TEST(RecoveryTable, AnotherRingBeforeTheEndThatTheStateNamesIsDamage) {
  Ring ring;
  for (int i = 0; i < 3; ++i) make_foreign(ring, ring.frame());
  expect_row(ring.scan(Lsn{0}, 1, ring.known()), Here::kForeign, Behind::kVouched, Verdict::kDamaged);
}

// Its tail, and what the state vouches for, lie in the middle of a frame of the other, or where that never came.
TEST(Recovery, AnotherRingIsKnownByTheBeginningsOfItsChunks) {
  Ring ring;
  const Lsn large = ring.frame(600'000);
  const Lsn next = ring.frame();
  ASSERT_LT(next, Lsn{kChunkBytes});
  make_foreign(ring, large);
  for (const Lsn tail : {large + 8 * kBlock, next + kBlock, Lsn{2 * kChunkBytes}, Lsn{3 * kChunkBytes + kBlock}}) {
    ring.zero(next);
    const ScanResult result = ring.scan(tail, 1, KnownEnd{tail, 1});
    expect_row(result, Here::kForeign, Behind::kNone, Verdict::kDamaged);
    EXPECT_EQ(result.head, tail);
  }
}

TEST(Recovery, ARingThatWasMadeAnewIsNotTheOneThatTheStateNames) {
  Ring ring;
  const Lsn tail{5 * kBlock};
  expect_row(ring.scan(Lsn{0}), Here::kNothing, Behind::kNone, Verdict::kEnd);
  expect_row(ring.scan(tail, 1, KnownEnd{tail, 1}), Here::kForeign, Behind::kNone, Verdict::kDamaged);
}

TEST(Recovery, FramesOfAnotherRingBehindThisRingsOwnAreDamage) {
  Ring ring;
  while (ring.writer->head() < Lsn{kChunkBytes}) ring.frame(100'000);
  const Lsn chunk{kChunkBytes};
  ASSERT_EQ(ring.scan(Lsn{0}).row->verdict, Verdict::kEnd);
  make_foreign(ring, chunk);
  const ScanResult result = ring.scan(Lsn{0});
  EXPECT_EQ(result.here, Here::kForeign);
  EXPECT_EQ(result.row->verdict, Verdict::kDamaged);
  EXPECT_EQ(result.head, chunk);
}

// What a producer sends may hold anything, a frame of another ring on a block of this one too. No end is damage for it.
TEST(Recovery, AFrameOfAnotherRingInsideARecordIsARecord) {
  Ring ring;
  const Lsn large = ring.frame(600'000);
  const Lsn inside = large + 8 * kBlock;
  FrameHeader other = ring.header(large);
  other.ring_id[0] += 1;
  other.lsn = inside;
  ring.rewrite(inside, other);
  expect_row(ring.scan(inside, 1, KnownEnd{inside, 1}), Here::kNotAFrame, Behind::kNone, Verdict::kTornTail);
  const ScanResult result = ring.scan(Lsn{0});
  expect_row(result, Here::kTornBody, Behind::kNone, Verdict::kTornTail);  // the record's own checksum
}

TEST(Recovery, AWholeRingIsTheSameWithTheEndThatAStateNames) {
  Ring ring;
  for (int i = 0; i < 5; ++i) {
    ring.frame();
    const ScanResult result = ring.scan(Lsn{0}, 1, ring.known());
    expect_row(result, Here::kNothing, Behind::kNone, Verdict::kEnd);
    EXPECT_EQ(result.head, ring.writer->durable());
    EXPECT_EQ(result.previous_crc, ring.writer->durable_crc());
  }
  EXPECT_EQ(ring.found, 5u);
}

TEST(Recovery, AFrameThatIsNotTheOneThatTheStateNamesIsABrokenChain) {
  Ring ring;
  ring.frame();
  KnownEnd known = ring.known();
  const Lsn end = ring.writer->durable();
  known.previous_crc += 1;
  const ScanResult result = ring.scan(Lsn{0}, 1, known);
  expect_row(result, Here::kBrokenChain, Behind::kNone, Verdict::kDamaged);
  EXPECT_EQ(result.head, end);
  ring.frame();
  ring.frame();
  expect_row(ring.scan(Lsn{0}, 1, known), Here::kBrokenChain, Behind::kFrames, Verdict::kDamaged);
  // A frame that reaches over the place where the state saw one end.
  const Lsn large = ring.frame(3 * kBlock);
  expect_row(ring.scan(Lsn{0}, 1, KnownEnd{large + kBlock, 0}), Here::kBrokenChain, Behind::kVouched,
             Verdict::kDamaged);
}

TEST(Recovery, WithNothingBelowTheHeadTheStateNamesTheFrameBefore) {
  Ring ring;
  ring.frame();
  const KnownEnd known = ring.known();
  const Lsn next = ring.frame();
  ASSERT_EQ(ring.scan(next, 1, known).row->verdict, Verdict::kEnd);
  EXPECT_EQ(ring.found, 1u);
  FrameHeader other = ring.header(next);
  other.previous_crc += 1;
  ring.rewrite(next, other);
  expect_row(ring.scan(next, 1, known), Here::kBrokenChain, Behind::kNone, Verdict::kDamaged);
}

// The start before this one could make a state durable, but no frame: its generation is in the state alone.
TEST(Recovery, WhatStandsBehindTheStatesHeadIsOfItsGenerationOrALeftover) {
  Ring ring;
  ring.frame();
  const KnownEnd known = ring.known();
  ring.frame();
  ring.frame();
  ASSERT_EQ(ring.scan(Lsn{0}, 1, known).row->verdict, Verdict::kEnd);
  EXPECT_EQ(ring.found, 3u);
  // Generation 2 cut the ring at known.head: an operator had accepted the loss of two frames.
  const ScanResult cut = ring.scan(Lsn{0}, 2, known);
  expect_row(cut, Here::kLeftover, Behind::kNone, Verdict::kEnd);
  EXPECT_EQ(cut.head, known.head);
  EXPECT_EQ(cut.generation, 2u);
  EXPECT_EQ(ring.found, 1u);
}

TEST(Recovery, AStartWithoutAFrameGoesOnAndOpensWithItsFirstEntries) {
  Ring ring;
  ring.frame();
  const KnownEnd known = ring.known();
  Prng prng(5);
  // An unfinished batch at the end, cut by the second start.
  const auto batch = sim::random_batch(prng, 4, 700'000);
  ring.writer->begin_entry(LogId{1}, static_cast<uint32_t>(batch.size()));
  ring.writer->write(batch);
  ring.writer->commit_entry();
  ring.flush();
  for (Lsn chunk = RingMemory::chunk_end(Lsn{0}); chunk < ring.writer->head(); chunk = RingMemory::chunk_end(chunk))
    ring.zero(chunk);
  const ScanResult cut = ring.scan(Lsn{0}, 1, known);
  ASSERT_EQ(cut.row->verdict, Verdict::kEnd);
  ASSERT_LT(cut.open_batch, cut.head);
  ring.start(RingStart{.head = cut.head, .previous_crc = cut.previous_crc, .generation = 2, .ring_id = kRingId});
  ring.writer->open_by_state();
  EXPECT_TRUE(ring.writer->quiet());
  const KnownEnd again{cut.head, cut.previous_crc};
  ASSERT_EQ(ring.scan(Lsn{0}, 2, again).row->verdict, Verdict::kEnd);
  EXPECT_EQ(ring.found, 1u);
  const Lsn first = ring.frame();
  EXPECT_EQ(first, cut.head);
  EXPECT_EQ(ring.header(first).flags, kFrameOpensGeneration);
  EXPECT_EQ(ring.header(first).entries, 1u);
  const Lsn second = ring.frame();
  EXPECT_EQ(ring.header(second).flags, 0);
  const ScanResult result = ring.scan(Lsn{0}, 2, again);
  EXPECT_NE(result.row->verdict, Verdict::kDamaged);  // behind it stand bytes of the unfinished batch
  EXPECT_EQ(result.head, ring.writer->head());
  EXPECT_EQ(result.generation, 2u);
  EXPECT_EQ(ring.found, 3u);
}

TEST(Recovery, ABatchOverSeveralChunksIsFoundWholeOrNotAtAll) {
  Ring ring;
  ring.frame();
  Prng prng(5);
  const auto batch = sim::random_batch(prng, 2, 900'000);
  ASSERT_GT(batch.size(), kChunkBytes / 2);
  const auto bytes = static_cast<uint32_t>(batch.size());
  ring.writer->begin_entry(LogId{1}, bytes);
  ring.writer->write(batch);
  ring.writer->commit_entry();
  const uint32_t whole = ring.writer->payload_crc();
  ring.flush();
  ASSERT_EQ(ring.scan(Lsn{0}).row->verdict, Verdict::kEnd);
  EXPECT_EQ(ring.found, 2u);
  EXPECT_EQ(whole, protocol::view_of(batch).crc());
}

TEST(Recovery, AnAbandonedHalfOfABatchIsSkippedByTheNextGeneration) {
  Ring ring;
  ring.frame();
  Prng prng(5);
  auto batch = sim::random_batch(prng, 4, 700'000);
  ring.writer->begin_entry(LogId{1}, static_cast<uint32_t>(batch.size()));
  ring.writer->write(batch);
  ring.writer->commit_entry();
  ring.flush();
  // The frame that holds the end of the batch is torn: the start of it stays behind, unfinished.
  ring.byte(RingMemory::chunk_end(Lsn{0}), 0) ^= std::byte{1};
  for (Lsn chunk = RingMemory::chunk_end(Lsn{0}); chunk < ring.writer->head(); chunk = RingMemory::chunk_end(chunk))
    ring.zero(chunk);
  const ScanResult cut = ring.scan(Lsn{0});
  ASSERT_EQ(cut.row->verdict, Verdict::kEnd);
  EXPECT_EQ(ring.found, 1u);
  EXPECT_LT(cut.open_batch, cut.head);
  ring.start(RingStart{.head = cut.head, .previous_crc = cut.previous_crc, .generation = 2, .ring_id = kRingId});
  ring.writer->open_generation();
  ring.flush();
  ring.frame();
  EXPECT_NE(ring.scan(Lsn{0}).row->verdict, Verdict::kDamaged);
  EXPECT_EQ(ring.found, 2u);
}

}  // namespace
}  // namespace penstock::storage
