#include "storage/log/cold_reader.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/saturating.h"

namespace penstock::storage {

Result<void> ColdReader::copy(PartitionLog& log, const Segment& segment, uint64_t position, std::span<std::byte> out) {
  while (!out.empty()) {
    const auto bytes = TRY(cache_.view(log, segment, position));
    const size_t n = std::min(bytes.size(), out.size());
    std::memcpy(out.data(), bytes.data(), n);
    position += n;
    out = out.subspan(n);
  }
  return {};
}

// Headers only: a batch's records are skipped, and so are the blocks that hold nothing else. kCorrupt where a hole is
// met that may have had what is looked for, offsets from from on.
Result<BatchPlace> ColdReader::walk_from(PartitionLog& log, const Segment& segment, uint64_t position, Offset from,
                                         const Wanted& wanted) {
  bool behind_hole = false;
  while (position + protocol::kBatchHeaderBytes <= segment.bytes) {
    if (const Hole* hole = segment.holes.at(position)) {
      position = hole->to;
      behind_hole = true;
      continue;
    }
    std::array<std::byte, protocol::kBatchHeaderBytes> header;
    const auto bytes = TRY(cache_.view(log, segment, position));
    const bool whole = bytes.size() >= header.size();
    if (!whole) TRY_VOID(copy(log, segment, position, header));
    const protocol::RecordBatchView batch(whole ? bytes.first<protocol::kBatchHeaderBytes>()
                                                : std::span(std::as_const(header)));
    const int64_t total = batch.total_bytes();
    if (batch.magic() != protocol::kMagic2 || total < static_cast<int64_t>(header.size()) ||
        batch.last_offset_delta() < 0 || position + static_cast<uint64_t>(total) > segment.bytes)
      return fail(Errc::kCorrupt);
    if (std::exchange(behind_hole, false) && batch.base_offset() > from) return fail(Errc::kCorrupt);
    if (wanted(batch, position))
      return BatchPlace{position, static_cast<uint32_t>(total), batch.base_offset(), batch.last_offset() + 1};
    position += static_cast<uint64_t>(total);
  }
  return fail(behind_hole ? Errc::kCorrupt : Errc::kNotFound);
}

Result<BatchPlace> ColdReader::find(PartitionLog& log, const Segment& segment, Offset offset) {
  if (segment.bytes == 0) return fail(Errc::kNotFound);
  const SegmentIndex* index = TRY(indexes_.get(log, segment));
  const auto place = index->floor(offset);
  return walk_from(log, segment, place.position, offset,
                   [&](const protocol::RecordBatchView& batch, uint64_t) { return batch.last_offset() >= offset; });
}

// How far the segment can be promised from the place of first on, which is all there: up to what is known to be bad.
// Where that is in first, the drive is asked once more.
Result<uint64_t> ColdReader::promised(PartitionLog& log, const Segment& segment, const BatchPlace& first) {
  constexpr uint64_t kIntervalBytes = SegmentIndex::kIntervalBytes;
  const auto bad_from = [&](uint64_t position) {
    const auto interval = segment.bad.first_from(position / kIntervalBytes);
    return interval ? std::max(*interval * kIntervalBytes, position) : UINT64_MAX;
  };
  for (uint64_t at = bad_from(first.position); at < first.position + first.bytes; at = bad_from(at))
    TRY_VOID(cache_.view(log, segment, at));  // that it can be read is noted
  return std::min({segment.bytes, bad_from(first.position), segment.holes.next_from(first.position)});
}

Result<ReadCursor> ColdReader::plan(PartitionLog& log, const Segment& segment, Offset from, uint64_t max_bytes,
                                    bool at_least_one) {
  const BatchPlace batch = TRY(find(log, segment, from));
  const uint64_t end = TRY(promised(log, segment, batch));
  ReadCursor cursor{.log = log.id,
                    .batch = batch.base,
                    .cold = true,
                    .segment = segment.base,
                    .revision = segment.revision,
                    .position = batch.position};
  if (batch.bytes > max_bytes) {
    cursor.remaining = at_least_one ? batch.bytes : 0;
  } else {
    cursor.remaining = std::min(max_bytes, end - batch.position);
  }
  return cursor;
}

Result<TimeAndOffset> ColdReader::find_by_time(PartitionLog& log, const Segment& segment, int64_t t) {
  if (segment.bytes == 0) return fail(Errc::kNotFound);
  const SegmentIndex* index = TRY(indexes_.get(log, segment));
  const auto position = index->first_interval_with_time(t);
  if (segment.holes.may_have_had(log.log_start_offset, position.value_or(segment.bytes))) return fail(Errc::kCorrupt);
  if (!position) return fail(Errc::kNotFound);
  // The index has times of what the log's start has passed too.
  const uint64_t first = std::max(*position, index->floor(log.log_start_offset).position);
  uint64_t from = std::max(first, log.time_scans.come_to(segment.base, t));
  const auto found = walk_to_time(log, segment, from, t);
  // Also of what is found: who asked for the greatest time asks again for the first record of it.
  if (from > first && (found || found.error().code == Errc::kWouldBlock)) log.time_scans.note(segment.base, t, from);
  return found;
}

// A batch that is to be looked into has to be in the cache as a whole. Of one that cannot be, and of one that hides its
// records, the header.
Result<std::vector<std::byte>> ColdReader::batch_or_header(PartitionLog& log, const Segment& segment,
                                                           const BatchPlace& place) {
  std::vector<std::byte> bytes(protocol::kBatchHeaderBytes);
  TRY_VOID(copy(log, segment, place.position, bytes));
  const protocol::RecordBatchView batch = protocol::view_of(bytes);
  const bool is_open = batch.compression() == protocol::Compression::kNone && !batch.log_append_time();
  if (!is_open || !cache_.holds(place.position, place.bytes)) return bytes;
  bytes.resize(place.bytes);
  TRY_VOID(copy(log, segment, place.position, bytes));
  return bytes;
}

// from: where to begin, and where the batch begins that it could not look at, or that has the record.
Result<TimeAndOffset> ColdReader::walk_to_time(PartitionLog& log, const Segment& segment, uint64_t& from, int64_t t) {
  for (;;) {
    const auto wanted = [&](const protocol::RecordBatchView& batch, uint64_t position) {
      const bool is_late = batch.max_timestamp() >= t && batch.last_offset() >= log.log_start_offset;
      if (!is_late) from = position + static_cast<uint64_t>(batch.total_bytes());
      return is_late;
    };
    const BatchPlace place = TRY(walk_from(log, segment, from, log.log_start_offset, wanted));
    from = place.position;
    const std::vector<std::byte> batch = TRY(batch_or_header(log, segment, place));
    if (const auto found = first_at_or_after(batch, t, log.log_start_offset)) return *found;
    from = place.position + place.bytes;  // all that is late enough in it lies below the log's start
  }
}

Result<int64_t> ColdReader::max_timestamp(PartitionLog& log, const Segment& segment) {
  if (segment.bytes == 0) return fail(Errc::kNotFound);
  if (!log.max_scan || log.max_scan->segment != segment.base) {
    const auto found = find_by_time(log, segment, segment.latest());
    if (found) return found->timestamp;
    if (found.error().code != Errc::kNotFound) return std::unexpected(found.error());
    // Its greatest is of a record that was cut off, or lies below the log's start.
    log.max_scan = MaxScan{.segment = segment.base};
  }
  for (MaxScan& scan = *log.max_scan;;) {
    const auto wanted = [&](const protocol::RecordBatchView& batch, uint64_t position) {
      const bool better =
          batch.last_offset() >= log.log_start_offset && batch.max_timestamp() > scan.best && batch.records_count() > 0;
      if (!better) scan.position = position + static_cast<uint64_t>(batch.total_bytes());
      return better;
    };
    const auto place = walk_from(log, segment, scan.position, log.log_start_offset, wanted);
    if (!place && place.error().code == Errc::kNotFound) break;
    if (!place) return std::unexpected(place.error());
    const std::vector<std::byte> batch = TRY(batch_or_header(log, segment, *place));
    scan.best = std::max(scan.best, greatest_time(batch, log.log_start_offset));
    scan.position = place->position + place->bytes;
  }
  const int64_t best = log.max_scan->best;
  log.max_scan.reset();
  log.find_segment(segment.base)->latest_to_find = best;  // the log's start only rises: this stays a bound
  if (best == INT64_MIN) return fail(Errc::kNotFound);
  return best;
}

int64_t greatest_time(std::span<const std::byte> bytes, Offset from) {
  const protocol::RecordBatchView batch = protocol::view_of(bytes);
  if (batch.records_count() == 0) return INT64_MIN;
  if (batch.base_offset() >= from || batch.compression() != protocol::Compression::kNone || batch.log_append_time() ||
      bytes.size() == protocol::kBatchHeaderBytes)
    return batch.max_timestamp();
  int64_t greatest = INT64_MIN;
  protocol::RecordReader reader(bytes.subspan(protocol::kBatchHeaderBytes));
  while (!reader.at_end()) {
    const auto record = reader.next();
    if (!record) break;
    if (batch.base_offset() + record->offset_delta >= from)
      greatest = std::max(greatest, wrapping_add(batch.base_timestamp(), record->timestamp_delta));
  }
  return greatest;
}

std::optional<TimeAndOffset> first_at_or_after(std::span<const std::byte> bytes, int64_t t, Offset from) {
  const protocol::RecordBatchView batch = protocol::view_of(bytes);
  if (batch.records_count() == 0) return std::nullopt;  // a header that compaction left
  if (batch.compression() == protocol::Compression::kNone && !batch.log_append_time() &&
      bytes.size() > protocol::kBatchHeaderBytes) {
    protocol::RecordReader reader(bytes.subspan(protocol::kBatchHeaderBytes));
    while (!reader.at_end()) {
      const auto record = reader.next();
      if (!record) break;
      const int64_t timestamp = wrapping_add(batch.base_timestamp(), record->timestamp_delta);
      const Offset offset = batch.base_offset() + record->offset_delta;
      if (timestamp >= t && offset >= from) return TimeAndOffset{offset, timestamp};
    }
    return std::nullopt;
  }
  // Not to be looked into: the batch holds it; its first offset is the last place that is certainly not behind it.
  return TimeAndOffset{std::max(batch.base_offset(), from), batch.max_timestamp()};
}

}  // namespace penstock::storage
