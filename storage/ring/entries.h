// The payloads of the ring's entries that are no batch. docs/internals/log_format.md "Entry". Each says for one log
// what its batches alone do not; replay takes them in ring order with the batches.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "base/bytes.h"
#include "protocol/types.h"
#include "storage/ring/frame.h"

namespace penstock::storage {

// The bytes that a segment's last, partly filled block held before it is written again: if that write tears the block,
// they are found here.
struct RelogEntry {
  Offset segment;                    // base offset of the segment
  uint64_t position = 0;             // of the block in the segment's file
  std::span<const std::byte> bytes;  // of the block, from its beginning on; less than a block
};

// The log ends at offset; whatever the ring or a state slot said of later ones before this entry is void.
struct TruncateEntry {
  Offset offset;
  Offset segment;         // the segment that is the active one from now on
  uint64_t position = 0;  // its bytes up to offset
  LeaderEpoch epoch;      // in which the truncation was decided
};

// The log begins at offset; what lies below may be gone.
struct StartOffsetEntry {
  Offset offset;
};

struct RelogLayout {
  static constexpr size_t segment = 0, position = 8, bytes = 16, end = 20;
};
struct TruncateLayout {
  static constexpr size_t offset = 0, segment = 8, position = 16, epoch = 24, end = 28;
};
struct StartOffsetLayout {
  static constexpr size_t offset = 0, end = 8;
};

// Of a RELOG what stands before its bytes.
std::array<std::byte, RelogLayout::end> encode(const RelogEntry& entry);
std::array<std::byte, TruncateLayout::end> encode(const TruncateEntry& entry);
std::array<std::byte, StartOffsetLayout::end> encode(const StartOffsetEntry& entry);

// A payload of that kind, or nothing if it is none: a whole payload of the right size with no negative number in it.
std::optional<RelogEntry> decode_relog(std::span<const std::byte> payload);
std::optional<TruncateEntry> decode_truncate(std::span<const std::byte> payload);
std::optional<StartOffsetEntry> decode_start_offset(std::span<const std::byte> payload);

}  // namespace penstock::storage
