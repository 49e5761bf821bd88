// Segments of real batches from a seed, with what a reader of them must find.
#pragma once

#include <cstdint>
#include <vector>

#include "base/prng.h"
#include "protocol/record_batch.h"
#include "storage/segment/segment_index.h"
#include "storage/segment/segment_scan.h"

namespace penstock::storage {

struct MadeBatch {
  BatchPlace place;
  int64_t max_timestamp;
  LeaderEpoch epoch;
  uint64_t end() const { return place.position + place.bytes; }
};

struct MadeSegment {
  Offset base;
  std::vector<std::byte> bytes;
  std::vector<MadeBatch> batches;

  Offset end_offset() const { return batches.empty() ? base : batches.back().place.next; }
  std::span<const std::byte> from(uint64_t position) const { return std::span(bytes).subspan(position); }
  std::span<const std::byte> span(uint64_t position, uint64_t end) const {
    return std::span(bytes).subspan(position, end - position);
  }
};

// Appends a batch of count records, value_bytes long each.
inline void append_batch(MadeSegment& segment, Prng& prng, int32_t count, size_t value_bytes, int64_t timestamp,
                         LeaderEpoch epoch) {
  protocol::BatchBuilder builder({.base_offset = segment.end_offset(), .partition_leader_epoch = epoch});
  std::vector<std::byte> value(value_bytes);
  int64_t max_timestamp = timestamp;
  for (int32_t i = 0; i < count; ++i) {
    prng.fill(value);
    const int64_t at = timestamp + static_cast<int64_t>(prng.below(50));
    max_timestamp = std::max(max_timestamp, at);
    builder.add(at, std::nullopt, value);
    if (i == 0) max_timestamp = at;
  }
  const std::vector<std::byte> batch = builder.finish();
  const Offset base = segment.end_offset();
  segment.batches.push_back(
      {{segment.bytes.size(), static_cast<uint32_t>(batch.size()), base, base + count}, max_timestamp, epoch});
  segment.bytes.insert(segment.bytes.end(), batch.begin(), batch.end());
}

// Mostly small batches, now and then one of several intervals; times that jump back and forth; epochs that rise.
inline MadeSegment make_segment(Prng& prng, Offset base, size_t least_bytes) {
  MadeSegment segment{.base = base};
  LeaderEpoch epoch{static_cast<int32_t>(prng.below(3))};
  while (segment.bytes.size() < least_bytes) {
    const bool large = prng.one_in(60);
    const size_t value_bytes = large ? prng.between(20'000, 150'000) : prng.below(prng.one_in(4) ? 4000 : 200);
    if (prng.one_in(40)) epoch = LeaderEpoch{epoch.value() + static_cast<int32_t>(prng.between(1, 3))};
    const int64_t drift = static_cast<int64_t>(segment.batches.size()) * 7;
    append_batch(segment, prng, large ? 1 : static_cast<int32_t>(prng.between(1, 6)), value_bytes,
                 1'700'000'000'000 + drift + static_cast<int64_t>(prng.below(2000)), epoch);
  }
  return segment;
}

// An index of the segment's bytes in [from, end) and of the batches that start there.
inline SegmentIndex index_of(const MadeSegment& segment, uint64_t end, uint64_t from = 0, uint32_t running_crc = 0) {
  SegmentIndex index(segment.base, from, running_crc);
  index.add_bytes(segment.span(from, end));
  for (const MadeBatch& batch : segment.batches)
    if (batch.place.position >= from && batch.place.position < end)
      index.add_batch(batch.place.position, batch.place.base, batch.max_timestamp);
  return index;
}

inline std::vector<SegmentIndex::Interval> intervals_of(const SegmentIndex& index) {
  std::vector<SegmentIndex::Interval> intervals;
  for (size_t i = 0; i < index.interval_count(); ++i) intervals.push_back(index.interval(i));
  return intervals;
}

}  // namespace penstock::storage
