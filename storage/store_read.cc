// Reading: what the ring's memory still has from there, the rest from segments. A cursor holds nothing: each look finds
// its place anew, also when what was in memory at the last one is only on the drive at the next.
#include <algorithm>
#include <array>
#include <functional>

#include "protocol/record_batch.h"
#include "storage/store_impl.h"

namespace penstock::storage {
namespace {

// The file that holds an offset as it was written, and where the next one begins.
struct Original {
  const Segment* segment = nullptr;
  Offset end{0};
};

Original original_of(const PartitionLog& log, Offset offset) {
  const Segment* segment = log.segment_of(offset);
  if (segment != nullptr && segment->revision == 0) {
    const bool last = segment == &log.segments.back();
    return {segment, last ? log.written : (segment + 1)->base};
  }
  for (const RetiredSegment& old : log.retired)
    if (old.segment.revision == 0 && old.segment.base <= offset && offset < old.end) return {&old.segment, old.end};
  return {};
}

ReadStatus status_of(Errc error) {
  switch (error) {
    case Errc::kWouldBlock: return ReadStatus::kPending;
    case Errc::kNotFound: return ReadStatus::kGone;
    default: return ReadStatus::kDamaged;
  }
}

}  // namespace

std::optional<LogOffsets> Store::offsets(LogId id) const {
  const PartitionLog* log = impl_->find(id);
  if (log == nullptr) return std::nullopt;
  return LogOffsets{log->log_start_offset, log->durable, log->log_end_offset};
}

// life: 16
ReadPlan Store::plan_read(LogId id, Offset from, uint64_t max_bytes, bool at_least_one) {
  Impl& s = *impl_;
  ReadCursor cursor{.log = id, .batch = from};
  PartitionLog* log = s.find(id);
  if (log == nullptr) return {ReadStatus::kGone, {}};
  log->evict(s.shard.ring->memory_floor());
  if (from < log->memory_start()) {
    const Segment* segment = log->segment_of(from);
    if (segment == nullptr) return {ReadStatus::kGone, {}};
    while (segment != nullptr) {
      const auto planned = s.reader.plan(*log, *segment, from, max_bytes, at_least_one);
      if (planned) return {ReadStatus::kReady, *planned};
      if (planned.error().code != Errc::kNotFound) return {status_of(planned.error().code), {}};
      // It ends before from, or was deleted while it was read.
      segment = segment == &log->segments.back() ? nullptr : segment + 1;
    }
    if (from < log->log_start_offset) return {ReadStatus::kGone, {}};
    from = log->memory_start();  // a gap that compaction left, where the log was cut since
  }
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

// ---------------------------------------------------------------- a cursor's place

// skip bytes behind the first byte of the batch at log.written, in memory.
Store::Impl::Located Store::Impl::locate_in_memory(const PartitionLog& log, uint64_t skip) const {
  size_t at = log.find(log.written);
  while (at < log.batches.size() && skip >= log.batches[at].bytes) skip -= log.batches[at++].bytes;
  return {.batch = at, .skip = skip};
}

Result<Store::Impl::Located> Store::Impl::locate(PartitionLog& log, const ReadCursor& cursor) {
  log.evict(shard.ring->memory_floor());
  if (!cursor.cold && cursor.batch >= log.memory_start()) {
    const size_t at = log.find(cursor.batch);
    if (at >= log.batches.size() || (cursor.skip > 0 && log.batches[at].base_offset != cursor.batch))
      return fail(Errc::kNotFound);
    return Located{.batch = at, .skip = cursor.skip};
  }
  if (cursor.cold) return locate_cold(log, cursor);
  // It was in memory when the answer was promised; a slow client is about to read it from the drive. What a compaction
  // has made of it since is not what was promised: the files that it replaced are.
  Original at = original_of(log, cursor.batch);
  if (at.segment == nullptr) return fail(Errc::kNotFound);
  const BatchPlace place = TRY(reader.find(log, *at.segment, cursor.batch));
  uint64_t position = place.position + cursor.skip;
  while (position >= at.segment->bytes) {
    position -= at.segment->bytes;
    if (at.segment == &log.segments.back()) return locate_in_memory(log, position);
    at = original_of(log, at.end);
    if (at.segment == nullptr) return fail(Errc::kNotFound);
  }
  return Located{.segment = at.segment, .position = position};
}

Result<Store::Impl::Located> Store::Impl::locate_cold(PartitionLog& log, const ReadCursor& cursor) {
  const Segment* segment = log.find_file({cursor.segment, cursor.revision});
  if (segment == nullptr || cursor.position >= segment->bytes) return fail(Errc::kNotFound);
  return Located{.segment = segment, .position = cursor.position};
}

Result<size_t> Store::Impl::view_memory(const PartitionLog& log, const Located& from, uint64_t bytes,
                                        std::span<std::span<const std::byte>> pieces) const {
  size_t count = 0;
  uint64_t skip = from.skip;
  for (size_t at = from.batch; bytes > 0 && count < pieces.size(); ++at, skip = 0) {
    if (at >= log.batches.size()) return fail(Errc::kNotFound);
    const BatchRef& batch = log.batches[at];
    const uint64_t n = std::min(bytes, batch.bytes - skip);
    count += shard.ring->memory().view(batch.at, skip, n, pieces.subspan(count));
    bytes -= n;
  }
  return count;
}

Result<size_t> Store::view(const ReadCursor& cursor, size_t max_bytes, std::span<std::span<const std::byte>> pieces) {
  Impl& s = *impl_;
  PartitionLog* log = s.find(cursor.log);
  if (log == nullptr) return fail(Errc::kNotFound);
  const uint64_t bytes = std::min<uint64_t>(max_bytes, cursor.remaining);
  if (bytes == 0 || pieces.empty()) return 0;
  const auto at = TRY(s.locate(*log, cursor));
  if (at.segment == nullptr) return s.view_memory(*log, at, bytes, pieces);
  // It may have been promised when the ring's memory still had it: what has become of it on the drive is looked at now.
  const Holes& holes = at.segment->holes;
  if (holes.contains(at.position)) return fail(Errc::kCorrupt);
  const auto found = TRY(s.cold.view(*log, *at.segment, at.position));
  pieces[0] = found.first(std::min({found.size(), size_t{bytes}, holes.next_from(at.position) - at.position}));
  return 1;
}

Result<Loan> Store::lend(const ReadCursor& cursor, size_t max_bytes, std::span<std::span<const std::byte>> pieces) {
  Impl& s = *impl_;
  s.owner.check();
  const size_t count = TRY(view(cursor, max_bytes, pieces));
  if (count == 0) return Loan{};
  Loan loan = keep(pieces[0]);  // those of the ring's memory lie in it in their order, and one alone is of a block
  loan.pieces = count;
  return loan;
}

Loan Store::keep(std::span<const std::byte> piece) {
  Impl& s = *impl_;
  s.owner.check();
  Loan loan{.pieces = 1};
  RingWriter& ring = *s.shard.ring;
  const std::span<const std::byte> memory = ring.memory().whole();
  if (piece.data() >= memory.data() && piece.data() < memory.data() + memory.size()) {
    loan.memory_from = ring.lsn_of(piece.data());
    loan.is_brief = ring.is_near_end(loan.memory_from);
    ring.pin(loan.memory_from);
  } else {
    loan.cold = piece.data();
    s.cold.pin(loan.cold);
    loan.is_brief = s.cold.much_is_pinned();
  }
  s.loans += 1;
  return loan;
}

Lsn Store::recalled() const { return impl_->shard.ring->pins_recalled(); }

void Store::take_back(const Loan& loan) {
  Impl& s = *impl_;
  s.owner.check();
  if (loan.pieces == 0) return;
  s.loans -= 1;
  if (loan.cold != nullptr) return s.cold.unpin(loan.cold);
  s.shard.ring->unpin(loan.memory_from);
}

void Store::advance(ReadCursor& cursor, size_t n) const {
  CHECK(n <= cursor.remaining);
  cursor.remaining -= n;
  if (cursor.cold) {
    cursor.position += n;
    return;
  }
  cursor.skip += n;
  const PartitionLog* log = impl_->find(cursor.log);
  if (log == nullptr || cursor.batch < log->memory_start()) return;
  for (size_t at = log->find(cursor.batch); at < log->batches.size() && cursor.skip >= log->batches[at].bytes; ++at) {
    cursor.skip -= log->batches[at].bytes;
    cursor.batch = log->batches[at].next_offset();
  }
}

// ---------------------------------------------------------------- time and epochs

// Contiguous: a batch that a chunk's end splits is put together.
std::vector<std::byte> Store::Impl::bytes_of(const BatchRef& ref) const {
  std::vector<std::byte> bytes;
  bytes.reserve(ref.bytes);
  std::vector<std::span<const std::byte>> pieces(ref.bytes / (kChunkBytes - kFrameHeaderBytes) + 2);
  pieces.resize(shard.ring->memory().view(ref.at, 0, ref.bytes, pieces));
  for (const auto piece : pieces) bytes.insert(bytes.end(), piece.begin(), piece.end());
  return bytes;
}

TimeFound Store::Impl::find_time(PartitionLog& log, int64_t t) {
  log.evict(shard.ring->memory_floor());
  for (size_t i = 0; i < log.segments.size(); ++i) {
    Segment& segment = log.segments[i];
    const bool below = i + 1 < log.segments.size() && log.segments[i + 1].base <= log.log_start_offset;
    if (below || segment.latest() < t || segment.base >= log.memory_start()) continue;
    const auto found = reader.find_by_time(log, segment, t);
    if (found) return {ReadStatus::kReady, *found};
    if (found.error().code != Errc::kNotFound) return {status_of(found.error().code), std::nullopt};
    // So its bound was too high. Said here, the next call passes it over: with more such segments than the caches have
    // indexes of, none would come to an end.
    if (t > INT64_MIN) segment.latest_to_find = t - 1;
  }
  for (size_t i = log.first_with_time(t); i < log.batches.size(); ++i) {
    const BatchRef& ref = log.batches[i];
    if (ref.next_offset() > log.durable) break;
    if (ref.max_timestamp < t || ref.next_offset() <= log.log_start_offset) continue;
    if (const auto found = first_at_or_after(bytes_of(ref), t, log.log_start_offset))
      return {ReadStatus::kReady, *found};
  }
  return {ReadStatus::kReady, std::nullopt};
}

TimeFound Store::find_by_time(LogId id, int64_t timestamp_ms) {
  PartitionLog* log = impl_->find(id);
  if (log == nullptr) return {ReadStatus::kGone, std::nullopt};
  return impl_->find_time(*log, timestamp_ms);
}

// best, or what segments have that is greater. What a segment is said to have is a bound: it may have been cut off.
Result<int64_t> Store::Impl::greatest_time_in_segments(PartitionLog& log, int64_t best) {
  if (log.log_start_offset >= log.written) return best;
  std::vector<const Segment*> greater;
  for (const Segment& segment : log.segments)
    if (segment.base < log.memory_start() && segment.latest() > best) greater.push_back(&segment);
  std::ranges::sort(greater, std::greater<>(), &Segment::latest);  // most often the first one answers
  for (const Segment* segment : greater) {
    if (segment->latest() <= best) break;
    const auto found = reader.max_timestamp(log, *segment);
    if (!found && found.error().code != Errc::kNotFound) return found;
    if (found) best = std::max(best, *found);
  }
  return best;
}

TimeFound Store::find_max_time(LogId id) {
  PartitionLog* log = impl_->find(id);
  if (log == nullptr) return {ReadStatus::kGone, std::nullopt};
  log->evict(impl_->shard.ring->memory_floor());
  int64_t greatest = INT64_MIN;
  for (const BatchRef& batch : log->batches) {
    if (batch.next_offset() > log->durable) break;
    if (batch.next_offset() <= log->log_start_offset) continue;
    const bool whole = batch.base_offset >= log->log_start_offset;
    greatest = std::max(
        greatest, whole ? batch.max_timestamp : storage::greatest_time(impl_->bytes_of(batch), log->log_start_offset));
  }
  for (;;) {
    const auto in_segments = impl_->greatest_time_in_segments(*log, greatest);
    if (!in_segments) return {status_of(in_segments.error().code), std::nullopt};
    if (*in_segments == INT64_MIN) return {ReadStatus::kReady, std::nullopt};
    const TimeFound found = impl_->find_time(*log, *in_segments);
    // If the log's start passed that record while its segment was read, this has lowered the segment's bound.
    if (found.status != ReadStatus::kReady || found.found || *in_segments == greatest) return found;
  }
}

EpochEnd Store::end_offset_for(LogId id, LeaderEpoch epoch) const {
  const PartitionLog* log = impl_->find(id);
  if (log == nullptr) return {LeaderEpoch{-1}, Offset{-1}};
  return log->epochs.end_offset_for(epoch, log->log_end_offset);
}

LeaderEpoch Store::epoch_at(LogId id, Offset offset) const {
  const PartitionLog* log = impl_->find(id);
  return log == nullptr ? kNoLeaderEpoch : log->epochs.at(offset);
}

// ---------------------------------------------------------------- ends

TrimResult Store::trim(LogId id, Offset to) {
  Impl& s = *impl_;
  s.owner.check();
  PartitionLog* log = s.find(id);
  if (log == nullptr) return {.status = TrimStatus::kUnknownLog};
  if (s.shard.poisoned || s.stopping) return {.status = TrimStatus::kPoisoned};
  if (log->truncate_to) return {.status = TrimStatus::kBusy};
  if (to > log->durable) return {.status = TrimStatus::kOffsetOutOfRange};
  if (to <= log->log_start_offset) return {TrimStatus::kTrimmed, log->log_start_offset, log->start_at};
  const auto end = s.trimmer.trim(*log, to);
  if (!end) return {.status = TrimStatus::kBusy};
  return {TrimStatus::kTrimmed, to, *end};
}

bool Store::truncate(LogId id, Offset to) {
  Impl& s = *impl_;
  s.owner.check();
  PartitionLog* log = s.find(id);
  if (log == nullptr || s.shard.poisoned || s.stopping || log->truncate_to) return false;
  s.truncator.begin(*log, to);
  s.compactor.cancel(id);
  return true;
}

bool Store::truncating(LogId id) const {
  const PartitionLog* log = impl_->find(id);
  return log != nullptr && log->truncate_to.has_value();
}

}  // namespace penstock::storage
