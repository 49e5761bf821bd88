#include "storage/log/truncator.h"

#include <algorithm>

#include "base/crc32c.h"

namespace penstock::storage {

void Truncator::begin(PartitionLog& log, Offset to) {
  CHECK(!log.truncate_to);
  log.truncate_to = to;
  waiting_.push_back(log.id);
}

void Truncator::run() {
  if (waiting_.empty() || shard_.poisoned) return;
  std::erase_if(waiting_, [&](LogId id) {
    PartitionLog* log = shard_.find(id);
    return log == nullptr || go_on(*log);
  });
}

// True when it is done.
bool Truncator::go_on(PartitionLog& log) {
  if (log.pending > 0 || log.jobs > 0 || log.rewinding || tell_.busy(log)) return false;
  const Offset to = std::max(*log.truncate_to, log.log_start_offset);
  if (to >= log.log_end_offset) {
    log.truncate_to.reset();
    return true;
  }
  if (!shard_.ring->room_for_small(TruncateLayout::end)) return false;
  if (is_in_memory(log, to)) return cut_memory(log, to);
  const auto done = cut_segments(log, to);
  if (done) return true;
  if (done.error().code == Errc::kWouldBlock) return false;
  LOG_ERROR("log %llu cannot be truncated to offset %lld: what it holds there cannot be read",
            static_cast<unsigned long long>(log.id.value()), static_cast<long long>(to.value()));
  log.truncate_to.reset();
  return true;
}

// Whether the segments have nothing of the batch that the cut falls on, which may begin before to.
bool Truncator::is_in_memory(const PartitionLog& log, Offset to) {
  if (to < log.written) return false;
  return log.written_skip == 0 || log.batches[log.find(to)].base_offset > log.written;
}

// The cut falls on a batch that only the ring has.
bool Truncator::cut_memory(PartitionLog& log, Offset to) {
  const size_t first = log.find(to);
  CHECK(first < log.batches.size());
  const Offset end = log.batches[first].base_offset;
  const bool open = log.open != nullptr;
  log.truncated_at = shard_.ring->append(log.id, TruncateEntry{.offset = end,
                                                               .segment = open ? log.segments.back().base : Offset{0},
                                                               .position = open ? log.open->written : 0,
                                                               .epoch = log.epochs.latest()});
  finish(log, end);
  return true;
}

Result<void> Truncator::cut_segments(PartitionLog& log, Offset to) {
  // A batch that is cut in two by the segment's end is in memory as a whole.
  Offset end = log.written;
  uint64_t position = log.open == nullptr ? 0 : log.segments.back().bytes;
  Offset base = log.segments.back().base;
  if (to < log.written) {
    const Segment* segment = log.segment_of(to);
    if (segment == nullptr) return fail(Errc::kNotFound);
    base = segment->base;
    const auto batch = reader_.find(log, *segment, to);
    if (!batch && batch.error().code != Errc::kNotFound) return std::unexpected(batch.error());
    // In a gap that compaction left, the cut falls where it is asked for.
    end = batch ? std::min(to, batch->base) : to;
    position = batch ? batch->position : segment->bytes;
  }
  const uint64_t interval = align_down(position, SegmentIndex::kIntervalBytes);
  std::vector<std::byte> tail(position - interval);
  if (!tail.empty()) TRY_VOID(reader_.copy(log, *log.find_segment(base), interval, tail));
  const uint64_t block = align_down(position, shard_.disk.block_bytes());
  const std::span<const std::byte> head = std::span<const std::byte>(tail).subspan(block - interval);

  log.truncated_at = shard_.ring->append(
      log.id, TruncateEntry{.offset = end, .segment = base, .position = position, .epoch = log.epochs.latest()});
  while (log.segments.back().base != base) {
    const SegmentId dropped = log.segments.back().id();
    log.segments.pop_back();
    log.open.reset();
    tell_.drop(log, dropped);
  }
  log.segments.back().bytes = position;
  log.segments.back().bad.cut(interval / SegmentIndex::kIntervalBytes);  // what is left of that one was read just now
  log.segments.back().holes.cut(position);
  log.open = std::make_unique<OpenSegment>(base, position, crc32c(0, tail), crc32c(0, head));
  log.open->head.assign(head.begin(), head.end());
  log.written = log.staged = end;
  log.written_skip = log.staged_skip = 0;
  tell_.changed(log, log.segments.back().id());
  finish(log, end);
  return {};
}

void Truncator::finish(PartitionLog& log, Offset end) {
  while (!log.batches.empty() && log.batches.back().base_offset >= end) log.batches.pop_back();
  if (log.staged > end) {
    log.staged = end;
    log.staged_skip = 0;
  }
  log.log_end_offset = log.durable = end;
  log.log_start_offset = std::min(log.log_start_offset, end);  // the batch that was cut off held it
  log.cleaned_to = std::min(log.cleaned_to, end);
  log.epochs.truncate_from(end);
  const size_t producers = log.producers.size();
  log.producers.truncate_from(end);
  shard_.count_producers(producers, log.producers.size());
  destager_.look_again(log);
  log.max_scan.reset();
  log.time_scans.forget();
  log.truncate_to.reset();
  shard_.counters.add(Metric::truncations);
}

}  // namespace penstock::storage
