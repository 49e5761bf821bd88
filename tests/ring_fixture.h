// A ring written by the RingWriter over a SimDisk, for tests that break it and scan it: its memory stands for the file.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

#include "storage/ring/recovery.h"
#include "storage/ring/ring_writer.h"
#include "tests/sim/sim_clock.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/store_model.h"

namespace penstock::storage {

inline constexpr size_t kRingBytes = 4 * kMiB;
inline constexpr size_t kBlock = 4096;
inline constexpr RingId kRingId{7, 7, 7};

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
  ScanResult scan(Lsn tail, uint64_t generation = 1, std::optional<KnownEnd> known = {}) {
    entries.clear();
    const ScanResult result = scan_ring({RingMemory(memory_), kBlock, kRingId, tail, generation, {}, known},
                                        [&](const FoundEntry& entry) { entries.push_back(entry); });
    found = entries.size();
    return result;
  }
  // The payload of an entry that is no batch.
  std::span<const std::byte> payload(const FoundEntry& entry) {
    return RingMemory(memory_).span(entry.at, entry.bytes);
  }
  // What a state slot written now would say of the ring's end.
  KnownEnd known() const { return {writer->durable(), writer->durable_crc()}; }
  FrameHeader header(Lsn at) { return *decode_frame_header(RingMemory(memory_).at(at)); }
  void rewrite(Lsn at, const FrameHeader& header) { encode(header, RingMemory(memory_).at(at)); }
  std::byte& byte(Lsn at, size_t n) { return RingMemory(memory_).at(at)[n]; }
  // One block as it was in older.
  void put_back(const std::vector<std::byte>& older, Lsn at) {
    std::copy_n(older.data() + at.value() % kRingBytes, kBlock, RingMemory(memory_).at(at));
  }
  void zero(Lsn at) { std::fill_n(RingMemory(memory_).at(at), kBlock, std::byte{0}); }

  std::unique_ptr<RingWriter> writer;
  std::vector<Lsn> frames;
  std::vector<std::byte>& bytes() { return memory_; }
  std::vector<FoundEntry> entries;  // of the last scan
  size_t found = 0;

 private:
  sim::SimClock clock_;
  sim::SimDisk disk_;
  Prng prng_{1};
  StorageCounters counters_;
  FileHandle file_;
  std::vector<std::byte> memory_;
};

}  // namespace penstock::storage
