// One test a row of the recovery table (storage/ring/recovery.h): the ring is written by the RingWriter, then broken as
// the row says, and the scan must name that row.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "storage/ring/recovery.h"
#include "storage/ring/ring_writer.h"
#include "tests/sim/sim_clock.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/store_model.h"

namespace penstock::storage {
namespace {

constexpr size_t kRingBytes = 4 * kMiB;
constexpr size_t kBlock = 4096;
constexpr RingId kRingId{7, 7, 7};

// A ring in memory, written frame by frame; frames[i] is where frame i begins.
class Ring {
 public:
  Ring() : disk_(clock_, 1), memory_(kRingBytes) {
    file_ = *disk_.open("ring", {.create = true});
    start(RingStart{.generation = 1, .ring_id = kRingId});
  }

  void start(const RingStart& at) {
    writer = std::make_unique<RingWriter>(
        RingWriter::Parts{disk_, file_, clock_, counters_, RingMemory(memory_), 100 * kMillisecond, kRingBytes}, at);
  }
  // One batch in a frame of its own. Returns where the frame begins.
  Lsn frame(size_t value_bytes = 100) {
    const Lsn at = writer->head();
    const auto batch = sim::random_batch(prng_, 1, value_bytes);
    writer->begin_entry(LogId{1}, static_cast<uint32_t>(batch.size()));
    writer->write(batch);
    writer->commit_entry();
    flush();
    frames.push_back(at);
    return at;
  }
  void flush() {
    writer->submit();
    clock_.advance(kMillisecond);
    DiskOp* done = nullptr;
    while (disk_.poll({&done, 1}) == 1) {
      writer->complete(*done);
      writer->submit();
      clock_.advance(kMillisecond);
    }
  }
  // Writes on until the ring has gone round, the tail following.
  void lap() {
    const Lsn begin = writer->head();
    while (writer->head() - begin < kRingBytes) {
      writer->advance_tail(Lsn{align_down(writer->durable().value(), kChunkBytes)});
      frame();  // all of one block, so that a lap's frames lie where the last one's lay
    }
  }
  ScanResult scan(Lsn tail, uint64_t generation = 1) {
    found = 0;
    return scan_ring({RingMemory(memory_), kBlock, kRingId, tail, generation}, [&](const FoundEntry&) { ++found; });
  }
  FrameHeader header(Lsn at) { return *decode_frame_header(RingMemory(memory_).at(at)); }
  void rewrite(Lsn at, const FrameHeader& header) { encode(header, RingMemory(memory_).at(at)); }
  std::byte& byte(Lsn at, size_t n) { return RingMemory(memory_).at(at)[n]; }
  void zero(Lsn at) { std::fill_n(RingMemory(memory_).at(at), kBlock, std::byte{0}); }

  std::unique_ptr<RingWriter> writer;
  std::vector<Lsn> frames;
  std::vector<std::byte>& bytes() { return memory_; }
  size_t found = 0;

 private:
  sim::SimClock clock_;
  sim::SimDisk disk_;
  Prng prng_{1};
  StorageCounters counters_;
  FileHandle file_;
  std::vector<std::byte> memory_;
};

void expect_row(const ScanResult& result, Here here, Behind behind, Verdict verdict) {
  EXPECT_EQ(result.row->here, here) << result.row->why;
  EXPECT_EQ(result.row->behind, behind) << result.row->why;
  EXPECT_EQ(result.row->verdict, verdict) << result.row->why;
}

TEST(RecoveryTable, EachCaseHasExactlyOneRow) {
  std::set<std::pair<Here, Behind>> seen;
  for (const RecoveryRow& row : kRecoveryTable) EXPECT_TRUE(seen.emplace(row.here, row.behind).second) << row.why;
  EXPECT_EQ(seen.size(), 21u);  // seven things that can stand here, three that can be known of what is behind
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
  std::copy_n(older.begin() + static_cast<int64_t>(lost.value() % kRingBytes), kBlock,
              ring.bytes().begin() + static_cast<int64_t>(lost.value() % kRingBytes));
  expect_row(ring.scan(ring.writer->tail()), Here::kOlderLap, Behind::kFrames, Verdict::kDamaged);
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
