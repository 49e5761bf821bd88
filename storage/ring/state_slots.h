// State slots: two preallocated places in <ring>.state, written in turn, that say where the needed part of the ring
// begins. Ring space is reused only after the slot that frees it is durable. docs/internals/log_format.md "state".
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "storage/api/disk.h"
#include "storage/api/types.h"
#include "storage/ring/frame.h"

namespace penstock::storage {

inline constexpr uint32_t kSlotMagic = 0x544C534B;  // "KSLT" as the bytes lie on disk
inline constexpr uint16_t kSlotVersion = 1;
inline constexpr uint32_t kSlotBytes = 64 * 1024;  // of one slot; a whole number of blocks of any drive

struct SlotLayout {
  static constexpr size_t magic = 0, version = 4, reserved = 6, bytes = 8, ring_id = 16, ring_bytes = 32, sequence = 40,
                          generation = 48, tail = 56, as_of = 64, log_count = 72, crc = 76, end = 80;
};

// log_count is zero in this version: every live log's entries are in the ring, so that replay from tail rebuilds it.
struct RingState {
  RingId ring_id{};
  uint64_t ring_bytes = 0;
  uint64_t sequence = 0;    // +1 a write; slot = sequence mod 2
  uint64_t generation = 0;  // of the start that wrote it
  Lsn tail;                 // frames below it are free; a frame begins here
  Lsn as_of;                // replay begins here; equal to tail in this version
};

void encode(const RingState& state, std::span<std::byte> slot);
// The state in slot, or nothing if it fails its checksum or has another version.
std::optional<RingState> decode_slot(std::span<const std::byte> slot);

// Writes slots, one at a time. Owned by one lcore.
class StateWriter {
 public:
  // memory: 2 * kSlotBytes, aligned to a block.
  StateWriter(Disk& disk, FileHandle file, std::span<std::byte> memory) : disk_(disk), file_(file), memory_(memory) {}

  bool busy() const { return busy_; }
  void write(const RingState& state);
  // A completed op of this writer; false if op is not its own. failed() tells a failed write.
  bool complete(DiskOp& op);
  bool failed() const { return failed_; }
  const RingState& written() const { return written_; }  // the newest durable one of this start

 private:
  Disk& disk_;
  const FileHandle file_;
  const std::span<std::byte> memory_;
  RingState writing_;
  RingState written_;
  DiskOp op_;
  bool busy_ = false;
  bool failed_ = false;
};

}  // namespace penstock::storage
