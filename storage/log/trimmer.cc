#include "storage/log/trimmer.h"

#include <algorithm>

#include "base/saturating.h"

namespace penstock::storage {
namespace {

constexpr size_t kLogsATurn = 128;

// The youngest record that no segment has.
int64_t newest_in_ring(const PartitionLog& log) {
  int64_t time = protocol::kNoTimestamp;
  for (size_t i = log.find(log.written); i < log.batches.size(); ++i)
    time = std::max(time, log.batches[i].max_timestamp);
  return time;
}

}  // namespace

Trimmer::Trimmer(Shard& shard, Drop drop, Seal seal)
    : shard_(shard), drop_(std::move(drop)), seal_(std::move(seal)), started_ms_(shard.clock.wall_ms()) {
  next_check_at_ = shard.clock.monotonic() + shard.options.retention_check_ms * kMillisecond;
}

std::optional<Lsn> Trimmer::trim(PartitionLog& log, Offset to) {
  CHECK(to >= log.log_start_offset && to <= log.durable);
  if (!shard_.ring->room_for_small(StartOffsetLayout::end)) return std::nullopt;
  const Lsn end = shard_.ring->append(log.id, StartOffsetEntry{to});
  log.log_start_offset = to;
  log.start_at = end;
  log.epochs.trim_to(to);
  drop_below_start(log);
  return end;
}

void Trimmer::drop_below_start(PartitionLog& log) {
  size_t drop = 0;
  while (drop + 1 < log.segments.size() && log.segments[drop + 1].base <= log.log_start_offset) ++drop;
  // The open one goes too if nothing of it is left to read or on its way.
  const bool all = drop + 1 == log.segments.size() && log.jobs == 0 && !log.rewinding && log.written_skip == 0 &&
                   log.staged_skip == 0 && log.written <= log.log_start_offset && log.open != nullptr &&
                   log.open->written > 0;
  if (all) ++drop;
  if (drop == 0) return;
  std::vector<Segment> dropped(log.segments.begin(), log.segments.begin() + static_cast<std::ptrdiff_t>(drop));
  log.segments.erase(log.segments.begin(), log.segments.begin() + static_cast<std::ptrdiff_t>(drop));
  if (all) log.open.reset();
  for (const Segment& segment : dropped) drop_(log, segment.id());
}

void Trimmer::run() {
  if (shard_.poisoned) return;
  if (to_check_.empty()) {
    const Nanos now = shard_.clock.monotonic();
    if (now < next_check_at_) return;
    next_check_at_ = now + shard_.options.retention_check_ms * kMillisecond;
    to_check_.reserve(shard_.logs.size());
    for (const auto& [id, log] : shard_.logs) to_check_.push_back(id);
    std::ranges::sort(to_check_, std::greater<>());
  }
  const int64_t now_ms = shard_.clock.wall_ms();
  for (size_t i = 0; i < kLogsATurn && !to_check_.empty(); ++i) {
    PartitionLog* log = shard_.find(to_check_.back());
    to_check_.pop_back();
    if (log == nullptr || log->truncate_to) continue;
    const size_t producers = log->producers.size();
    log->producers.expire(saturating_subtract(now_ms, shard_.options.producer_expiration_ms));
    shard_.count_producers(producers, log->producers.size());
    drop_below_start(*log);  // what was trimmed before it was in a segment may have come to one since
    if (is_too_long(*log)) seal_(*log);
    const Offset start = start_by_retention(*log, now_ms);
    if (start <= log->log_start_offset) continue;
    if (trim(*log, start)) shard_.counters.add(Metric::retention_trims);
  }
}

// When it was young: the greatest timestamp of what it holds. If its records have none that says something (KIP-32: -1
// is none, and no producer lived before 1970), then when it was written, as Kafka goes by the file's time; of what an
// earlier life wrote, this one knows no better than when it began.
int64_t Trimmer::age_from(const PartitionLog& log, const Segment* segment, bool last, int64_t ring_time) const {
  const int64_t time = std::max(segment != nullptr ? segment->max_timestamp : protocol::kNoTimestamp,
                                last ? ring_time : protocol::kNoTimestamp);
  if (time >= 0) return time;
  return std::max({started_ms_, segment != nullptr ? segment->written_ms : 0, last ? log.untimed_at_ms : 0});
}

// The open segment, with what waits for it, holds more time than a segment may. Destage looks at that too, but a log
// with little to write leaves the ring only when that fills, and all at once: until then young records that come again
// and again would keep the old ones.
bool Trimmer::is_too_long(const PartitionLog& log) {
  if (!log.config.delete_old || log.config.retention_ms < 0) return false;
  int64_t oldest = protocol::kNoTimestamp;
  int64_t newest = newest_in_ring(log);
  if (!log.segments.empty()) {
    oldest = log.segments.back().first_timestamp;
    newest = std::max(newest, log.segments.back().max_timestamp);
  }
  const size_t first = log.find(std::max(log.written, log.log_start_offset));
  if (oldest == protocol::kNoTimestamp && first < log.batches.size()) oldest = log.batches[first].max_timestamp;
  return oldest >= 0 && saturating_subtract(newest, oldest) > log.config.segment_ms_most();
}

// Whole segments only, oldest first. What is only in the ring counts as the open segment's: it goes when all of that is
// over and durable.
Offset Trimmer::start_by_retention(const PartitionLog& log, int64_t now_ms) const {
  const LogConfig& config = log.config;
  if (!config.delete_old || log.log_end_offset == log.log_start_offset) return log.log_start_offset;
  const bool settled = log.durable == log.log_end_offset;
  const int64_t ring_time = newest_in_ring(log);
  uint64_t size = log.unstaged_bytes;
  for (const Segment& segment : log.segments) size += segment.bytes;

  Offset start = log.log_start_offset;
  const size_t count = std::max<size_t>(log.segments.size(), 1);
  for (size_t i = 0; i < count; ++i) {
    const bool last = i + 1 == count;
    const bool there = i < log.segments.size();
    const uint64_t bytes = (there ? log.segments[i].bytes : 0) + (last ? log.unstaged_bytes : 0);
    const Segment* segment = there ? &log.segments[i] : nullptr;
    const int64_t time = age_from(log, segment, last, ring_time);
    const bool old = config.retention_ms >= 0 && saturating_subtract(now_ms, time) > config.retention_ms;
    const bool over =
        config.retention_bytes >= 0 && size - bytes >= static_cast<uint64_t>(config.retention_bytes) && bytes > 0;
    if (!old && !over) break;
    if (last && !settled) break;
    start = std::max(start, last ? log.durable : log.segments[i + 1].base);
    size -= bytes;
  }
  return start;
}

}  // namespace penstock::storage
