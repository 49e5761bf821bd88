// State slots: what a start needs besides the ring: where the needed part of the ring begins, how far it was durable,
// and of each log what its segments hold. Two files, <ring>.state-0 and <ring>.state-1, one slot each, written in turn,
// so that one whole slot is always there. Ring space is reused only after the slot that frees it is durable.
// docs/internals/log_format.md "State slots".
//
// One write: SlotEncoder gathers the slot (over several turns if there are many logs), StateWriter writes it. A slot is
// valid as a whole or not at all.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "storage/api/disk.h"
#include "storage/api/types.h"
#include "storage/ring/frame.h"
#include "storage/segment/log_facts.h"

namespace penstock::storage {

inline constexpr uint32_t kSlotMagic = 0x544C534B;  // "KSLT" as the bytes lie on disk
inline constexpr uint16_t kSlotVersion = 3;
inline constexpr uint16_t kSlotVersion2 = 2;           // which knew no compaction
inline constexpr uint64_t kSlotBytesMin = 64 * 1024;   // a slot's file when it is made: any drive's blocks fit
inline constexpr uint64_t kSlotBytesMax = 1ULL << 36;  // memory is the bound; this one keeps sums from overflowing
inline constexpr uint32_t kSlot1Bytes = 64 * 1024;     // of a slot of version 1, two in one file <ring>.state
inline constexpr uint16_t kSlotIsCleanStop = 1;

struct SlotLayout {
  static constexpr size_t magic = 0, version = 4, flags = 6, bytes = 8, ring_id = 16, ring_bytes = 32, sequence = 40,
                          generation = 48, tail = 56, as_of = 64, head = 72, previous_crc = 80, log_count = 84,
                          body_crc = 88, crc = 92, end = 96;
};
// Version 1, which described no logs.
struct Slot1Layout {
  static constexpr size_t magic = 0, version = 4, bytes = 8, ring_id = 16, ring_bytes = 32, sequence = 40,
                          generation = 48, tail = 56, as_of = 64, log_count = 72, crc = 76, end = 80;
};
struct LogStateLayout {
  static constexpr size_t id = 0, log_start_offset = 8, destaged = 16, position = 24, replay_from = 32, head_crc = 40,
                          interval_crc = 44, segments = 48, epochs = 52, producers = 56, skip = 60, cleaned_to = 64,
                          end = 72;
  static constexpr size_t end_of_v2 = cleaned_to;
};
struct SegmentStateLayout {
  static constexpr size_t base = 0, bytes = 8, max_timestamp = 16, first_timestamp = 24, revision = 32, end = 40;
  static constexpr size_t end_of_v2 = revision;
};
struct EpochEntryLayout {
  static constexpr size_t epoch = 0, start = 4, end = 12;
};
struct ProducerStateLayout {
  static constexpr size_t id = 0, epoch = 8, count = 10, held = 12, last_timestamp = 20, end = 28;
  static constexpr size_t batch_first = 0, batch_last = 4, batch_offset = 8, batch_end = 16;
};

struct RingState {
  RingId ring_id{};
  uint64_t ring_bytes = 0;
  uint64_t sequence = 0;      // +1 a write; file = sequence mod 2
  uint64_t generation = 0;    // of the start that wrote it
  Lsn tail;                   // frames below it are free; a frame begins here
  Lsn as_of;                  // entries below it are in the state of every log; a frame begins here. Replay begins here
  Lsn head;                   // the ring was durable up to here; a frame ends here
  uint32_t previous_crc = 0;  // header CRC of the frame that ends at head; 0 if there was none yet
  bool clean_stop = false;    // everything is destaged, nothing was written behind head: tail == as_of == head
  bool knows_head = true;     // false for version 1: head and previous_crc mean nothing
  friend bool operator==(const RingState&, const RingState&) = default;
};

// One segment as of a slot; the last of a log is the active one.
struct SegmentState {
  Offset base;
  uint64_t bytes = 0;
  int64_t max_timestamp = 0;
  int64_t first_timestamp = 0;
  uint64_t revision = 0;  // of its file: 0 as it was written, else what a compaction made
  friend bool operator==(const SegmentState&, const SegmentState&) = default;
};

// One log as of a slot: all that segments hold of it. Ring entries of the log whose payload begins below replay_from
// are in it and are ignored by replay.
struct LogState {
  LogId id;
  Offset log_start_offset;
  Offset destaged;                     // the segments hold the log up to here
  uint64_t position = 0;               // bytes in the active segment
  Lsn replay_from;                     // lsn
  uint32_t head_crc = 0;               // CRC-32C of the active segment's bytes in its last, partly filled block
  uint32_t interval_crc = 0;           // the same of its last, partly filled interval
  uint32_t skip = 0;                   // bytes of the batch at destaged that lie before position
  Offset cleaned_to{0};                // compaction has cleaned the log up to here
  std::vector<SegmentState> segments;  // by base; may be empty
  std::vector<EpochEntry> epochs;      // by start
  std::vector<ProducerState> producers;
  friend bool operator==(const LogState&, const LogState&) = default;
};

struct Slot {
  RingState ring;
  std::vector<LogState> logs;
};

// What the first block of a slot's file says; the rest is read by it.
struct SlotHead {
  uint64_t sequence;
  uint64_t bytes;  // of the whole slot, at most kSlotBytesMax; its file has at least so many, up to a block
};
// From at least SlotLayout::end bytes. Nothing if they are not the head of a slot of version 2 or 3.
std::optional<SlotHead> decode_slot_head(std::span<const std::byte> bytes);

// The slot in bytes (of version 2 or 3; bytes behind it do not matter), or nothing if it is not whole: it fails a
// checksum, or a number in it cannot be. Any bytes may come; the result is never larger than they are by more than a
// constant factor.
std::optional<Slot> decode_slot(std::span<const std::byte> bytes);
// The same for a slot of version 1.
std::optional<RingState> decode_slot_v1(std::span<const std::byte> bytes);

// Whether the ring still ends where this state's clean stop left it, so that a start need not read the ring. before:
// the ring's block that ends at head; at: the block at head (of a full lap, the place that wraps). True if the frame
// that ends at head is the empty one that the state names and no frame, of this ring or of another, was written behind
// it. The caller has found both slots whole, with sequences that follow each other: else this may not be the newest,
// and the ring must be scanned. Before it writes anything else it makes a slot durable that is not a clean stop.
bool clean_stop_holds(const RingState& state, std::span<const std::byte> before, std::span<const std::byte> at);

// Gathers one slot into memory that grows and is kept. Not for two slots at once: begin() only while no StateWriter
// writes what finish() returned.
class SlotEncoder {
 public:
  explicit SlotEncoder(uint32_t block_bytes) : block_(block_bytes) {}

  void begin();
  void add(const LogState& log);  // each log once, in any order
  // The slot, zeros up to a block; valid until the next begin().
  std::span<std::byte> finish(const RingState& state);
  uint64_t bytes() const { return used_; }  // so far

 private:
  struct Freer {
    void operator()(std::byte* memory) const;
  };
  std::byte* grow(uint64_t bytes);

  const uint32_t block_;
  std::unique_ptr<std::byte, Freer> memory_;
  uint64_t capacity_ = 0;
  uint64_t used_ = 0;
  uint32_t logs_ = 0;
  uint32_t body_crc_ = 0;
};

// Writes slots, one at a time. Owned by one lcore.
class StateWriter {
 public:
  // What is given to the drive at once.
  static constexpr uint64_t kPieceBytes = kMiB;

  // One of the two files and the bytes that are allocated for it.
  struct File {
    FileHandle file;
    uint64_t capacity = 0;
  };
  StateWriter(Disk& disk, File even, File odd) : disk_(disk), files_{even, odd} {}

  bool busy() const { return busy_; }
  // The file that a slot of this sequence goes to. A slot larger than its capacity needs more of it first: the owner
  // allocates it (twice as much as needed, so that this is rare) and calls grown().
  const File& file_of(uint64_t sequence) const { return files_[sequence % 2]; }
  void grown(uint64_t sequence, uint64_t capacity) { files_[sequence % 2].capacity = capacity; }
  // slot: what an encoder's finish() returned; unchanged until the writer is no longer busy. Not larger than the file's
  // capacity. state: the one that it was begun with.
  void write(const RingState& state, std::span<std::byte> slot);
  // A completed op of this writer; false if op is not its own. busy() tells whether that was the last of its slot,
  // failed() a failed write, after which nothing more is written.
  bool complete(DiskOp& op);
  bool failed() const { return failed_; }
  const RingState& written() const { return written_; }  // the newest durable one of this start

 private:
  void send();

  Disk& disk_;
  std::array<File, 2> files_;
  std::span<std::byte> slot_;
  uint64_t done_ = 0;  // bytes of slot_ that are durable
  RingState writing_;
  RingState written_;
  DiskOp op_;
  bool busy_ = false;
  bool failed_ = false;
};

}  // namespace penstock::storage
