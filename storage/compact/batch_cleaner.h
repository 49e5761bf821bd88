// What compaction makes of one record batch: batches in, batches out, nothing else. Kafka's rules (Cleaner.scala and
// MemoryRecords.filterTo; KIP-98 for sequences, KIP-534 for tombstones):
//
//   - of a key's records, the last one stays, and those that the map does not reach yet;
//   - a tombstone stays until the delete horizon of its batch: the first cleaning that keeps one sets it (bit 6 of the
//     attributes; the base timestamp is the horizon then), delete.retention.ms behind its own time;
//   - a record without a key goes: a compacted topic takes none, but may have been another kind of topic before;
//   - control batches stay as they are;
//   - a batch that loses all its records goes, or stays as a header without records if it is the last one of a producer
//     that the log remembers (its sequence) or the last one of the cleaning (the end of what was cleaned);
//   - offsets, sequences, epochs and the codec never change.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "base/result.h"
#include "protocol/record_batch.h"
#include "storage/compact/offset_map.h"

namespace penstock::storage {

// Adds the keys of a batch's records from `from` on, below `below`. Returns the offset behind the last record that the
// map now covers: the batch's end (or below), or less if the map is full. kCorrupt and the like: it cannot be read.
Result<Offset> add_keys(OffsetMap& map, std::span<const std::byte> batch, Offset from, Offset below);

struct CleaningRules {
  const OffsetMap& map;
  Offset covered{0};    // the map knows the records below this one: later ones stay
  Offset round_end{0};  // a batch that ends here stays, if only as a header
  int64_t now_ms = 0;
  int64_t delete_retention_ms = 0;
  // The last offset of each producer that the log remembers.
  const std::map<ProducerId, Offset>& producers;
};

enum class Cleaned : uint8_t {
  kAsItWas,     // unchanged
  kRewritten,   // some records went, or the delete horizon was set
  kHeaderOnly,  // all records went, the header stays
  kGone,
};

struct CleanedBatch {
  Cleaned what = Cleaned::kAsItWas;
  uint32_t records_gone = 0;
};

// The most bytes of records that a compressed batch may hold; a larger one stays as it is.
inline constexpr size_t kRecordsBytesMax = size_t{256} << 20;

// With kRewritten and kHeaderOnly out holds the batch that stays, whole; else it is left alone. batch: whole, and its
// checksum holds. What cannot be read stays as it is.
CleanedBatch clean_batch(const CleaningRules& rules, std::span<const std::byte> batch, std::vector<std::byte>& out);

}  // namespace penstock::storage
