// Reading: everything that is not destaged is in the ring's memory, so a read is a walk over the log's batch index.
#include <algorithm>
#include <array>

#include "protocol/record_batch.h"
#include "storage/store_impl.h"

namespace penstock::storage {

std::optional<LogOffsets> Store::offsets(LogId id) const {
  const PartitionLog* log = impl_->find(id);
  if (log == nullptr) return std::nullopt;
  return LogOffsets{log->log_start_offset, log->durable, log->log_end_offset};
}

// life: 16
ReadPlan Store::plan_read(LogId id, Offset from, uint64_t max_bytes, bool at_least_one) {
  ReadCursor cursor{.log = id, .batch = from};
  const PartitionLog* log = impl_->find(id);
  if (log == nullptr) return {ReadStatus::kGone, {}};
  const size_t first = log->find(from);
  for (size_t i = first; i < log->batches.size(); ++i) {
    const BatchRef& batch = log->batches[i];
    if (batch.next_offset() > log->durable) break;
    const bool fits = cursor.remaining + batch.bytes <= max_bytes;
    if (!fits && !(i == first && at_least_one)) break;
    if (i == first) cursor.batch = batch.base_offset;
    cursor.remaining += batch.bytes;
    if (!fits) break;
  }
  return {ReadStatus::kReady, cursor};
}

Result<size_t> Store::view(const ReadCursor& cursor, size_t max_bytes, std::span<std::span<const std::byte>> pieces) {
  const PartitionLog* log = impl_->find(cursor.log);
  if (log == nullptr) return fail(Errc::kNotFound);
  size_t at = log->find(cursor.batch);
  uint64_t skip = cursor.skip;
  uint64_t left = std::min<uint64_t>(max_bytes, cursor.remaining);
  size_t count = 0;
  for (; left > 0 && count < pieces.size(); ++at, skip = 0) {
    if (at >= log->batches.size() || (skip > 0 && log->batches[at].base_offset != cursor.batch))
      return fail(Errc::kNotFound);
    const BatchRef& batch = log->batches[at];
    const uint64_t n = std::min(left, batch.bytes - skip);
    count += impl_->ring->memory().view(batch.at, skip, n, pieces.subspan(count));
    left -= n;
  }
  return count;
}

void Store::advance(ReadCursor& cursor, size_t n) const {
  CHECK(n <= cursor.remaining);
  cursor.remaining -= n;
  const PartitionLog* log = impl_->find(cursor.log);
  if (log == nullptr) return;
  size_t at = log->find(cursor.batch);
  cursor.skip += n;
  for (; at < log->batches.size() && cursor.skip >= log->batches[at].bytes; ++at) {
    cursor.skip -= log->batches[at].bytes;
    cursor.batch = log->batches[at].next_offset();
  }
}

namespace {

// The first record of the batch at ref whose timestamp is at least t.
TimeAndOffset first_at_or_after(const RingMemory& memory, const BatchRef& ref, int64_t t) {
  std::vector<std::byte> bytes;  // contiguous: a batch that a chunk's end splits is put together
  bytes.reserve(ref.bytes);
  std::vector<std::span<const std::byte>> pieces(ref.bytes / (kChunkBytes - kFrameHeaderBytes) + 2);
  pieces.resize(memory.view(ref.at, 0, ref.bytes, pieces));
  for (const auto piece : pieces) bytes.insert(bytes.end(), piece.begin(), piece.end());
  const protocol::RecordBatchView batch = protocol::view_of(bytes);
  if (batch.compression() == protocol::Compression::kNone && !batch.log_append_time()) {
    protocol::RecordReader reader(std::span<const std::byte>(bytes).subspan(protocol::kBatchHeaderBytes));
    while (!reader.at_end()) {
      const auto record = reader.next();
      if (!record) break;
      const int64_t timestamp = batch.base_timestamp() + record->timestamp_delta;
      if (timestamp >= t) return {ref.base_offset + record->offset_delta, timestamp};
    }
  }
  // Compressed: the batch holds it; its first offset is the last place that is certainly not behind it.
  return {ref.base_offset, ref.max_timestamp};
}

}  // namespace

TimeFound Store::find_by_time(LogId id, int64_t timestamp_ms) {
  const PartitionLog* log = impl_->find(id);
  const BatchRef* batch = log == nullptr ? nullptr : log->first_with_time(timestamp_ms);
  if (batch == nullptr) return {ReadStatus::kReady, std::nullopt};
  return {ReadStatus::kReady, first_at_or_after(impl_->ring->memory(), *batch, timestamp_ms)};
}

TimeFound Store::find_max_time(LogId id) {
  const PartitionLog* log = impl_->find(id);
  if (log == nullptr) return {ReadStatus::kGone, std::nullopt};
  const size_t durable = log->find(log->durable);  // the first that is not durable
  if (durable == 0) return {ReadStatus::kReady, std::nullopt};
  const int64_t greatest = log->batches[durable - 1].max_so_far;
  return {ReadStatus::kReady, first_at_or_after(impl_->ring->memory(), *log->first_with_time(greatest), greatest)};
}

EpochEnd Store::end_offset_for(LogId, LeaderEpoch) const { return {LeaderEpoch{-1}, Offset{-1}}; }

TrimResult Store::trim(LogId id, Offset) {
  const PartitionLog* log = impl_->find(id);
  if (log == nullptr) return {.status = TrimStatus::kUnknownLog};
  return {.status = TrimStatus::kOffsetOutOfRange};
}

}  // namespace penstock::storage
