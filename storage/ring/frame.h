// The write-ahead ring's bytes: frames (group commits) of entries. docs/internals/log_format.md is the specification;
// every position here is asserted. Little-endian, but for the Kafka batch bytes inside.
//
//   frame: | header 80 | entry | entry | ... | zeros up to a block |     at most one chunk, never across a chunk's end
//   entry: | header 24 | payload |       a payload that reaches the chunk's end goes on behind the next frame's header
//
// A frame is written once a lap and never again. Its lsn is its byte place in the infinite log; ring place = lsn mod
// ring.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/units.h"
#include "storage/api/types.h"

namespace penstock::storage {

// 1 MiB: one such frame in flight reaches 93 % of four (docs/adr/0005-write-ahead-ring.md); a chunk is the unit of
// reuse.
inline constexpr uint64_t kChunkBytes = kMiB;
inline constexpr uint32_t kFrameMagic = 0x4D52464B;  // "KFRM" as the bytes lie on disk
inline constexpr uint16_t kFrameVersion = 1;

enum class EntryKind : uint8_t {
  kBatch = 1,        // one record batch, as Kafka sends it
  kRelog = 2,        // the head of a segment's last block, before that block is written again (storage/ring/entries.h)
  kTruncate = 3,     // the log ends at an offset: what stood behind it is void
  kStartOffset = 4,  // the log begins at an offset
  kSegment = 5,      // 5 to 8 are reserved: refused by a version that does not know them
  kEpoch = 6,
  kPad = 7,
  kDirectRun = 8,
};

struct FrameLayout {
  static constexpr size_t magic = 0, version = 4, flags = 6, lsn = 8, frame_bytes = 16, used_bytes = 20, entries = 24,
                          carry_in = 28, carry_crc = 32, previous_crc = 36, generation = 40, ring_id = 48,
                          reserved = 64, crc = 76, end = 80;
};
inline constexpr size_t kFrameHeaderBytes = FrameLayout::end;

inline constexpr uint16_t kFrameIsSeal = 1;           // nothing in it; vouches for the frame before
inline constexpr uint16_t kFrameOpensGeneration = 2;  // first of a start; what was unfinished before it is abandoned

constexpr bool is_known(EntryKind kind) {
  switch (kind) {
    case EntryKind::kBatch:
    case EntryKind::kRelog:
    case EntryKind::kTruncate:
    case EntryKind::kStartOffset: return true;
    case EntryKind::kSegment:
    case EntryKind::kEpoch:
    case EntryKind::kPad:
    case EntryKind::kDirectRun: return false;
  }
  return false;
}

struct EntryLayout {
  static constexpr size_t payload_bytes = 0, kind = 4, log_id = 8, crc = 16, reserved = 20, end = 24;
};
inline constexpr size_t kEntryHeaderBytes = EntryLayout::end;
// What of a batch its own CRC does not cover, so that the entry's does (Kafka: baseOffset, length, epoch, magic, crc).
inline constexpr size_t kBatchUncoveredBytes = 21;
inline constexpr size_t kBatchCrcAt = 17;  // place of Kafka's CRC in a batch
// A batch's entry starts in a frame only if its header and a batch header fit, so that both can be read in place.
inline constexpr size_t kEntryStartBytes = kEntryHeaderBytes + 61;
// Entries of other kinds lie in one frame, payload and all; the largest is a RELOG of a block of 64 KiB.
inline constexpr uint32_t kSmallPayloadMax = 64 * 1024 + 64;

struct FrameHeader {
  uint16_t flags = 0;
  Lsn lsn;
  uint32_t frame_bytes = 0;   // whole blocks
  uint32_t used_bytes = 0;    // header and entries, without the padding
  uint32_t entries = 0;       // entries that start here
  uint32_t carry_in = 0;      // leading bytes that belong to a batch begun in an earlier frame
  uint32_t carry_crc = 0;     // running CRC-32C of the batch that goes on in the next frame, 0 if none
  uint32_t previous_crc = 0;  // header CRC of the frame before: the chain
  uint64_t generation = 0;    // +1 at each start of the broker
  RingId ring_id{};
  uint32_t crc = 0;  // of all header bytes before it
};

// Writes the header with its CRC, which it also returns.
inline uint32_t encode(const FrameHeader& h, std::byte* at) {
  using L = FrameLayout;
  std::memset(at, 0, L::end);
  store_le(at + L::magic, kFrameMagic);
  store_le(at + L::version, kFrameVersion);
  store_le(at + L::flags, h.flags);
  store_le(at + L::lsn, h.lsn.value());
  store_le(at + L::frame_bytes, h.frame_bytes);
  store_le(at + L::used_bytes, h.used_bytes);
  store_le(at + L::entries, h.entries);
  store_le(at + L::carry_in, h.carry_in);
  store_le(at + L::carry_crc, h.carry_crc);
  store_le(at + L::previous_crc, h.previous_crc);
  store_le(at + L::generation, h.generation);
  std::memcpy(at + L::ring_id, h.ring_id.data(), h.ring_id.size());
  const uint32_t crc = crc32c(0, {at, L::crc});
  store_le(at + L::crc, crc);
  return crc;
}

// The header at at (kFrameHeaderBytes readable), or nothing if these bytes are no whole frame header of this version.
inline std::optional<FrameHeader> decode_frame_header(const std::byte* at) {
  using L = FrameLayout;
  if (load_le<uint32_t>(at + L::magic) != kFrameMagic || load_le<uint16_t>(at + L::version) != kFrameVersion) return {};
  FrameHeader h{
      .flags = load_le<uint16_t>(at + L::flags),
      .lsn = Lsn{load_le<uint64_t>(at + L::lsn)},
      .frame_bytes = load_le<uint32_t>(at + L::frame_bytes),
      .used_bytes = load_le<uint32_t>(at + L::used_bytes),
      .entries = load_le<uint32_t>(at + L::entries),
      .carry_in = load_le<uint32_t>(at + L::carry_in),
      .carry_crc = load_le<uint32_t>(at + L::carry_crc),
      .previous_crc = load_le<uint32_t>(at + L::previous_crc),
      .generation = load_le<uint64_t>(at + L::generation),
      .crc = load_le<uint32_t>(at + L::crc),
  };
  std::memcpy(h.ring_id.data(), at + L::ring_id, h.ring_id.size());
  if (crc32c(0, {at, L::crc}) != h.crc) return {};
  return h;
}

struct EntryHeader {
  uint32_t payload_bytes = 0;
  EntryKind kind = EntryKind::kBatch;
  LogId log;
};

// CRC of an entry header and the covered bytes of its payload: of a batch the 21 that its own CRC leaves open, else
// all.
inline uint32_t entry_crc(const std::byte* header, std::span<const std::byte> covered) {
  return crc32c(crc32c(0, {header, EntryLayout::crc}), covered);
}

inline void encode(const EntryHeader& h, std::byte* at, std::span<const std::byte> covered) {
  std::memset(at, 0, EntryLayout::end);
  store_le(at + EntryLayout::payload_bytes, h.payload_bytes);
  store_le(at + EntryLayout::kind, static_cast<uint8_t>(h.kind));
  store_le(at + EntryLayout::log_id, h.log.value());
  store_le(at + EntryLayout::crc, entry_crc(at, covered));
}

}  // namespace penstock::storage
