#include "storage/log/destager.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/crc32c.h"
#include "base/saturating.h"
#include "storage/log/damage.h"
#include "storage/segment/segment_path.h"

namespace penstock::storage {

Destager::Destager(Shard& shard, SegmentFiles& files, std::span<std::byte> memory, Sealed sealed)
    : shard_(shard), files_(files), sealed_(std::move(sealed)), block_(shard.disk.block_bytes()), jobs_(kBuffers) {
  CHECK(memory.size() >= memory_bytes());
  for (size_t i = 0; i < jobs_.size(); ++i) {
    jobs_[i].owner = this;
    jobs_[i].buffer = memory.subspan(i * kBufferBytes, kBufferBytes);
    jobs_[i].on_done = done;
  }
}

// ---------------------------------------------------------------- which logs wait

void Destager::appended(PartitionLog& log) {
  log.unstaged_bytes += log.batches.back().bytes;
  unstaged_bytes_ += log.batches.back().bytes;
  if (!log.dirty_at) set_dirty(log);
}

void Destager::settled(PartitionLog& log) {
  if (is_worth_it(log)) enqueue(log);
}

void Destager::enqueue(PartitionLog& log) {
  if (std::exchange(log.queued, true)) return;
  queue_.push_back(log.id);
}

// A log that is stuck is tried again also if nothing presses: nobody would see that it can be written again.
bool Destager::is_worth_it(const PartitionLog& log) {
  return log.unstaged_bytes >= log.pending_bytes + (log.stuck ? 1 : kMuch);
}

void Destager::set_dirty(PartitionLog& log) {
  const size_t first = log.find(log.written);
  std::optional<Lsn> at;
  if (first < log.batches.size() && !log.dropped) at = log.batches[first].at;
  if (at == log.dirty_at) return;
  if (log.dirty_at) dirty_.erase(*log.dirty_at);
  if (at) dirty_.emplace(*at, &log);
  log.dirty_at = at;
}

void Destager::look_again(PartitionLog& log) {
  uint64_t unstaged = 0;
  const size_t end = log.dropped ? 0 : log.batches.size();
  for (size_t i = log.find(log.staged); i < end; ++i) unstaged += log.batches[i].bytes;
  unstaged -= std::min<uint64_t>(unstaged, log.staged_skip);
  unstaged_bytes_ = unstaged_bytes_ - log.unstaged_bytes + unstaged;
  log.unstaged_bytes = unstaged;
  set_dirty(log);
  if (!log.dirty_at) works_again(log);  // what could not be written is cut off
}

void Destager::forget(PartitionLog& log) {
  unstaged_bytes_ -= log.unstaged_bytes;
  log.unstaged_bytes = 0;
  if (log.dirty_at) dirty_.erase(*log.dirty_at);
  log.dirty_at.reset();
  works_again(log);
}

bool Destager::has_room() const { return jobs_busy_ < kBuffers && writing_bytes_ < kWritingBytes; }

// The tail moves by chunks: what holds oldest holds its chunk. A ring that is not half full may have to be emptied too:
// for a batch that was refused.
bool Destager::under_pressure(Lsn oldest) const {
  const RingWriter& ring = *shard_.ring;
  const Lsn chunk{align_down(oldest.value(), kChunkBytes)};
  return write_all_ || ring.head() - chunk > ring.memory().bytes() / 2 || chunk < ring.tail_wanted();
}

// ---------------------------------------------------------------- a turn

void Destager::run() {
  if (shard_.poisoned || halted_) return;
  // Each log that holds the tail may need its block's head kept before it can let go.
  shard_.ring->set_small_reserve(RingWriter::small_bytes(dirty_.size(), block_, block_));
  if (jobs_busy_ > 0) {
    for (DestageJob& job : jobs_) {
      if (job.state == DestageJob::State::kRelogging && shard_.ring->durable() >= job.relog_end) write(job);
    }
  }
  if (failures_waiting_) {
    const bool waits = shard_.clock.monotonic() < retry_at_;
    if (waits && no_space_) return;  // it is all logs' space; other failures are their logs' own
    failures_waiting_ = waits;
  }
  if (queue_.empty() && sealing_.empty() && !under_pressure(oldest_dirty(shard_.ring->head()))) return;
  go_on_sealing();
  begin_from_queue();
  begin_oldest();
}

void Destager::seal_soon(PartitionLog& log) {
  if (log.roll_at || log.durable <= log.log_start_offset) return;
  log.roll_at = log.durable;
  sealing_.push_back(log.id);
}

void Destager::go_on_sealing() {
  for (size_t looks = std::min(sealing_.size(), kLooksATurn); looks > 0; --looks) {
    const LogId id = sealing_.front();
    sealing_.pop_front();
    PartitionLog* log = shard_.find(id);
    if (log != nullptr && !go_on_sealing(*log)) sealing_.push_back(id);
  }
}

// True when it is done.
bool Destager::go_on_sealing(PartitionLog& log) {
  if (log.truncate_to || log.durable < *log.roll_at) {  // it may end before there
    log.roll_at.reset();
    return true;
  }
  if (log.jobs > 0 || log.rewinding || log.truncated_at > shard_.ring->durable()) return false;
  if (log.written < *log.roll_at || log.written_skip > 0) {
    if (has_room()) begin(log, true);
    return false;
  }
  if (log.open != nullptr && log.open->written > 0) roll(log);
  log.roll_at.reset();
  return true;
}

void Destager::begin_from_queue() {
  for (size_t looks = std::min(queue_.size(), kLooksATurn); looks > 0 && has_room(); --looks) {
    const LogId id = queue_.front();
    queue_.pop_front();
    PartitionLog* log = shard_.find(id);
    if (log == nullptr) continue;
    log->queued = false;
    while (is_worth_it(*log) && has_room() && begin(*log, log->unstaged_bytes < kMuch)) {
    }
    if (is_worth_it(*log)) enqueue(*log);
  }
}

// The logs that hold the ring's tail, oldest first. Those whose turn it is not yet (a file is being opened, a write is
// under way) are passed over, but not many of them: the map may hold every log there is.
void Destager::begin_oldest() {
  size_t passed = 0;
  for (auto it = dirty_.begin(); it != dirty_.end() && has_room() && passed < kLooksATurn;) {
    PartitionLog& log = *it->second;
    if (it->first >= shard_.ring->durable() || !under_pressure(it->first)) return;
    ++it;  // begin() may change the place of its log, of no other
    if (log.jobs > 0 || !begin(log, !is_rest_young(log))) ++passed;
  }
}

// Whether whole blocks can be written of what is durable, and what is left behind them is far from the tail. Then it
// waits for more: to the byte, each visit of a log that holds the tail would pad a block, keep that block's head in the
// ring at the next, and write it again.
bool Destager::is_rest_young(const PartitionLog& log) const {
  if (log.unstaged_bytes <= log.pending_bytes) return false;
  const uint64_t durable = log.unstaged_bytes - log.pending_bytes;
  const uint64_t position = log.open == nullptr ? 0 : log.open->staged;
  const uint64_t rest = (position + durable) % block_;
  if (durable <= rest) return false;
  size_t i = log.find(log.durable);
  for (uint64_t bytes = 0; bytes < rest; bytes += log.batches[i].bytes) {
    if (i == 0) return false;
    --i;
  }
  return i < log.batches.size() && !under_pressure(log.batches[i].at);
}

// True if a job was begun.
bool Destager::begin(PartitionLog& log, bool to_the_byte) {
  if (waits(log)) return false;
  if (log.rewinding || log.truncate_to || log.dropped || log.stale_sidecars > 0) return false;
  if (log.truncated_at > shard_.ring->durable()) return false;  // a roll would cut what a crash may bring back
  if (log.segments.empty()) log.segments.push_back({.base = log.staged});
  if (log.open == nullptr) log.open = std::make_unique<OpenSegment>(log.segments.back().base);
  if (!roll_if_full(log)) return false;
  size_t head = log.open->staged % block_;
  if (head > 0 && log.jobs > 0) return false;  // the block before is still under way
  if (head > 0 && !shard_.ring->room_for_small(RelogLayout::end + head)) {
    // What is under way makes room. If nothing is, the head can be kept nowhere: a new segment has none.
    if (jobs_busy_ > 0 || log.staged_skip > 0) return false;
    roll(log);
    head = 0;
  }
  const size_t first = log.find(log.staged);
  if (first >= log.batches.size() || log.batches[first].next_offset() > log.durable) return false;
  const SegmentId id = log.segments.back().id();
  const auto file = files_.acquire(log.id, id, SegmentFiles::Want::kWrite, log.open->staged);
  if (!file) {
    if (file.error().code != Errc::kWouldBlock) not_opened(log, file.error());
    return false;
  }
  DestageJob& job = *std::ranges::find(jobs_, DestageJob::State::kFree, &DestageJob::state);
  jobs_busy_ += 1;
  job.log = &log;
  job.file = *file;
  job.segment = id;
  job.to_the_byte = to_the_byte;
  job.head_bytes = head;
  job.at = log.open->staged - head;
  job.behind = nullptr;
  (log.last_job == nullptr ? log.first_job : log.last_job->behind) = &job;
  log.last_job = &job;
  log.jobs += 1;
  if (head > 0) {
    prepare_head(job);
  } else {
    write(job);
  }
  return job.state != DestageJob::State::kFree;
}

// False: the segment is full, and the next one has to wait until this one's writes are done.
bool Destager::roll_if_full(PartitionLog& log) {
  const size_t first = log.find(log.staged);
  if (log.staged_skip > 0 || first >= log.batches.size()) return true;
  if (!ends_segment(log, log.batches[first], log.open->staged)) return true;
  if (log.jobs > 0) return false;
  roll(log);
  return true;
}

void Destager::roll(PartitionLog& log) {
  sealed_(log, log.segments.back(), std::move(log.open));
  log.segments.push_back({.base = log.staged});
  log.open = std::make_unique<OpenSegment>(log.staged);
  shard_.counters.add(Metric::segments_rolled);
}

// Kafka rolls before a batch that would make the segment too large, too old, or its offsets too far apart.
bool Destager::ends_segment(const PartitionLog& log, const BatchRef& next, uint64_t position) const {
  if (position == 0) return false;
  const Segment& segment = log.segments.back();
  const Offset last = next.base_offset + next.last_offset_delta;
  return position + next.bytes > log.config.segment_bytes || last - segment.base > SegmentIndex::kMostRelativeOffset ||
         (segment.first_timestamp != protocol::kNoTimestamp &&
          saturating_subtract(next.max_timestamp, segment.first_timestamp) > log.config.segment_ms_most());
}

// ---------------------------------------------------------------- the head of a block

void Destager::prepare_head(DestageJob& job) {
  PartitionLog& log = *job.log;
  const auto head = job.buffer.first(job.head_bytes);
  if (log.open->head.size() == head.size()) {
    std::ranges::copy(log.open->head, head.begin());
    return relog(job);
  }
  if (head_from_memory(log, head)) return relog(job);
  job.state = DestageJob::State::kReadingHead;
  job.kind = DiskOp::Kind::kRead;
  job.memory = job.buffer.first(block_);
  shard_.counters.add(Metric::destage_head_reads);
  shard_.submit(job);
}

// The bytes before log.staged, if the batches that they belong to are still in memory.
bool Destager::head_from_memory(const PartitionLog& log, std::span<std::byte> head) const {
  const Lsn floor = shard_.ring->memory_floor();
  size_t i = log.find(log.staged);
  if (log.staged_skip > 0) return false;  // only after a failed write: rare enough to read the block
  for (size_t left = head.size(); left > 0;) {
    if (i == 0 || log.batches[i - 1].at < floor) return false;
    const BatchRef& batch = log.batches[--i];
    const uint64_t n = std::min<uint64_t>(left, batch.bytes);
    std::array<std::span<const std::byte>, 3> pieces;
    const size_t count = shard_.ring->memory().view(batch.at, batch.bytes - n, n, pieces);
    std::byte* to = head.data() + (left - n);
    for (const auto& piece : std::span(pieces).first(count)) {
      std::memcpy(to, piece.data(), piece.size());
      to += piece.size();
    }
    left -= n;
  }
  return true;
}

void Destager::relog(DestageJob& job) {
  PartitionLog& log = *job.log;
  const std::span<const std::byte> head = job.buffer.first(job.head_bytes);
  if (crc32c(0, head) != log.open->head_crc) return leave_block(job);
  if (!shard_.ring->room_for_small(RelogLayout::end + head.size())) return take_back(job);  // again when there is
  job.relog_end = shard_.ring->append(log.id, RelogEntry{job.segment.base, job.at, head});
  shard_.counters.add(Metric::bytes_relogged, head.size());
  job.state = DestageJob::State::kRelogging;
}

// What the block held cannot be told any more, so it is never written again, and the ring is not held by it: what
// follows begins a segment of its own. Whoever reads the old one's end learns what became of it.
void Destager::leave_block(DestageJob& job) {
  PartitionLog& log = *job.log;
  const Offset base = job.segment.base;
  LOG_ERROR(
      "log %llu: the last block of segment %lld does not hold what was written to it (result %lld): a new "
      "segment is begun; see penstock log verify",
      static_cast<unsigned long long>(log.id.value()), static_cast<long long>(base.value()),
      static_cast<long long>(job.result));
  shard_.counters.add(Metric::destage_failures);
  CHECK(log.jobs == 1 && !log.rewinding);
  take_back(job);
  if (!log.dropped) leave_segment(log);
}

// The open segment is written no further; what follows begins one of its own. With nothing but the beginning of a batch
// in it, it is begun again itself.
void Destager::leave_segment(PartitionLog& log) {
  if (log.staged_skip > 0) {
    // The batch that the segment's end cuts in two is in memory as a whole. Of the rest a scan makes the index.
    log.staged_skip = log.written_skip = 0;
    log.open = std::make_unique<OpenSegment>(log.segments.back().base, log.segments.back().bytes, 0, 0);
  }
  if (log.open->written > 0) roll(log);
  look_again(log);
}

// The file to write to is not to be had. If it is gone, or lost its end, that is damage, and no new file of its name,
// and no zeros in the place of what it had, may hide it. If it stays shut, a new one may open: the ring is not held by
// it then. (Where space or descriptors are short, it would not.)
void Destager::not_opened(PartitionLog& log, Error error) {
  CHECK(log.jobs == 0 && !log.rewinding);
  Segment& segment = log.segments.back();
  const bool is_written = log.open->written > 0;
  if (is_written && (error.code == Errc::kNotFound || error.code == Errc::kShort)) {
    shard_.counters.add(Metric::destage_failures);
    // With no whole batch in it nothing is lost: the one that it had the beginning of is written anew.
    if (segment.bytes > 0 && error.code == Errc::kNotFound) {
      tell_unopened(shard_, log.id, segment, error);
    } else if (segment.bytes > 0) {
      const uint64_t from = std::min(files_.bytes_when_opened(log.id, segment.id()), segment.bytes);
      tell_damage(shard_, log.id, segment, from, segment.bytes, "are missing (the file is shorter than it was)");
    }
    return leave_segment(log);
  }
  note_failure(log, segment.id(), error);
  if (!log.stuck || !is_written || error.code == Errc::kNoSpace || error.code == Errc::kFull) return;
  tell_unopened(shard_, log.id, segment, error);
  log.retry_at = 0;
  leave_segment(log);
}

// ---------------------------------------------------------------- what fails

bool Destager::waits(const PartitionLog& log) {
  if (!log.failing_since || shard_.clock.monotonic() >= log.retry_at) [[likely]]
    return false;
  wake_at(log.retry_at);
  return true;
}

void Destager::wake_at(Nanos at) { retry_at_ = std::exchange(failures_waiting_, true) ? std::min(retry_at_, at) : at; }

void Destager::note_failure(PartitionLog& log, SegmentId segment, Error error) {
  shard_.counters.add(Metric::destage_failures);
  const Nanos now = shard_.clock.monotonic();
  const bool is_space = error.code == Errc::kNoSpace;
  const std::string path = segment_path(shard_.folder, log.id, segment);
  const std::string_view why = to_string(error.code);
  no_space_ = no_space_ || is_space;
  log.retry_at = now + kRetryAfter;
  wake_at(log.retry_at);
  if (now >= tell_at_) {
    tell_at_ = now + kTellEvery;
    LOG_WARN("segment %s cannot be written (%.*s, errno %d): what it should get stays in the ring and is tried again%s",
             path.c_str(), static_cast<int>(why.size()), why.data(), error.os_errno,
             no_space_ ? "; the drive is full: free some space" : "");
  }
  if (!log.failing_since) log.failing_since = now;
  if (is_space || now - *log.failing_since < kStuckAfter) return;
  if (!std::exchange(log.stuck, true)) stuck_logs_ += 1;
  enqueue(log);
  if (stuck_told_) return;
  stuck_told_ = log.id;
  stuck_file_ = path + ": " + std::string(why) + " (errno " + std::to_string(error.os_errno) + ")";
}

void Destager::works_again(PartitionLog& log) {
  log.failing_since.reset();
  if (!std::exchange(log.stuck, false)) return;
  stuck_logs_ -= 1;
  if (stuck_told_ != log.id) return;
  stuck_told_.reset();  // the next one that fails again is named
  stuck_file_.clear();
}

// ---------------------------------------------------------------- the write

// How many bytes of batches the job takes: all that is durable and fits, to the segment's end at most; whole blocks
// unless it goes to the byte or to that end.
uint64_t Destager::plan_bytes(DestageJob& job) const {
  const PartitionLog& log = *job.log;
  const uint64_t room = job.buffer.size() - job.head_bytes;
  uint64_t position = log.open->staged;
  uint64_t bytes = 0;
  bool at_end = false;
  uint32_t skip = log.staged_skip;
  for (size_t i = log.find(log.staged); i < log.batches.size() && bytes < room; ++i) {
    const BatchRef& batch = log.batches[i];
    if (batch.next_offset() > log.durable) break;
    at_end = skip == 0 && ends_segment(log, batch, position);
    if (at_end) break;
    bytes += batch.bytes - skip;
    position += batch.bytes - skip;
    skip = 0;
  }
  if (bytes > room || !(job.to_the_byte || at_end)) {
    bytes = std::min(bytes, room);
    bytes -= std::min<uint64_t>(bytes, (job.head_bytes + bytes) % block_);
  }
  return bytes;
}

void Destager::copy_batches(DestageJob& job, uint64_t bytes) {
  PartitionLog& log = *job.log;
  OpenSegment& open = *log.open;
  Segment& segment = log.segments.back();
  std::span<std::byte> to = job.buffer.subspan(job.head_bytes, bytes);
  job.max_timestamp = protocol::kNoTimestamp;  // of its own: others of this segment may be under way
  std::array<std::span<const std::byte>, 4> pieces;
  for (size_t i = log.find(log.staged); !to.empty();) {
    const BatchRef& batch = log.batches[i];
    if (log.staged_skip == 0) {
      open.index.add_batch(open.staged, batch.base_offset, batch.max_timestamp);
      if (segment.first_timestamp == protocol::kNoTimestamp) segment.first_timestamp = batch.max_timestamp;
    }
    const uint64_t n = std::min<uint64_t>(batch.bytes - log.staged_skip, to.size());
    for (uint64_t copied = 0; copied < n;) {
      const size_t count = shard_.ring->memory().view(batch.at, log.staged_skip + copied, n - copied, pieces);
      for (const auto& piece : std::span(pieces).first(count)) {
        open.index.copy_into(to, piece);
        to = to.subspan(piece.size());
        copied += piece.size();
      }
    }
    open.staged += n;
    log.staged_skip += static_cast<uint32_t>(n);
    job.max_timestamp = std::max(job.max_timestamp, batch.max_timestamp);
    if (log.staged_skip < batch.bytes) break;
    log.staged = batch.next_offset();
    log.staged_skip = 0;
    ++i;
  }
  log.unstaged_bytes -= bytes;
  unstaged_bytes_ -= bytes;
  shard_.counters.add(Metric::bytes_staged, bytes);
}

void Destager::write(DestageJob& job) {
  PartitionLog& log = *job.log;
  const uint64_t bytes = log.rewinding || log.dropped ? 0 : plan_bytes(job);
  if (bytes == 0) return take_back(job);
  copy_batches(job, bytes);
  const uint64_t used = job.head_bytes + bytes;
  const uint64_t whole = align_up(used, block_);
  std::memset(job.buffer.data() + used, 0, whole - used);
  job.end = log.open->staged;
  job.next = log.staged;
  job.skip = log.staged_skip;
  job.segment_bytes = job.end - job.skip;
  job.interval_crc = log.open->index.running_crc();
  const uint64_t tail = align_down(used, block_);
  job.head_crc = crc32c(0, job.buffer.subspan(tail, used - tail));
  job.kind = DiskOp::Kind::kWrite;
  job.may_block = true;  // the file may have to grow: that waits for the file system
  job.memory = job.buffer.first(whole);
  job.state = DestageJob::State::kWriting;
  writing_bytes_ += whole;
  shard_.submit(job);
}

// ---------------------------------------------------------------- the end of a job

void Destager::done(DiskOp& op) {
  auto& job = static_cast<DestageJob&>(op);
  Destager& destager = *job.owner;
  if (job.state == DestageJob::State::kReadingHead) {
    if (job.result < static_cast<int64_t>(job.head_bytes)) return destager.leave_block(job);
    return destager.relog(job);
  }
  destager.writing_bytes_ -= job.memory.size();
  if (job.result != static_cast<int64_t>(job.memory.size())) {
    return destager.failed(job);
  }
  destager.no_space_ = false;
  destager.bytes_written_ += job.memory.size();
  destager.shard_.counters.add(Metric::segment_bytes_written, job.memory.size());
  job.state = DestageJob::State::kDone;
  destager.shard_.unflushed.emplace(job.log->id, job.segment);
  destager.settle(*job.log);
}

// A job that found nothing to write after all.
void Destager::take_back(DestageJob& job) {
  PartitionLog& log = *job.log;
  CHECK(log.last_job == &job);
  if (log.first_job == &job) {
    log.first_job = log.last_job = nullptr;
  } else {
    DestageJob* before = log.first_job;
    while (before->behind != &job) before = before->behind;
    before->behind = nullptr;
    log.last_job = before;
  }
  free(job);
  log.jobs -= 1;
  settle(log);
}

void Destager::failed(DestageJob& job) {
  job.state = DestageJob::State::kFailed;
  const bool is_space = job.result == -ENOSPC || job.result == -EDQUOT;
  const Errc code = job.result >= 0 ? Errc::kShort : is_space ? Errc::kNoSpace : Errc::kIo;
  note_failure(*job.log, job.segment, {code, static_cast<int32_t>(-std::min<int64_t>(job.result, 0))});
  job.log->rewinding = true;
  settle(*job.log);
}

// Takes finished jobs off the log's front, in order; after a failure waits for all and begins again from what is sure.
void Destager::settle(PartitionLog& log) {
  using State = DestageJob::State;
  while (log.first_job != nullptr && !log.rewinding && log.first_job->state == State::kDone) {
    DestageJob& job = *log.first_job;
    apply(log, job);
    log.first_job = job.behind;
    if (log.first_job == nullptr) log.last_job = nullptr;
    log.jobs -= 1;
    free(job);
  }
  if (!log.rewinding) return;
  for (const DestageJob* job = log.first_job; job != nullptr; job = job->behind)
    if (job->state == State::kWriting || job->state == State::kReadingHead) return;
  rewind(log);
}

void Destager::apply(PartitionLog& log, const DestageJob& job) {
  OpenSegment& open = *log.open;
  Segment& segment = log.segments.back();
  CHECK(segment.id() == job.segment && job.end >= open.written);
  if (log.failing_since) [[unlikely]]
    works_again(log);
  open.written = job.end;
  open.written_crc = job.interval_crc;
  open.head_crc = job.head_crc;
  open.head = {};
  segment.bytes = job.segment_bytes;
  segment.max_timestamp = std::max(segment.max_timestamp, job.max_timestamp);
  segment.latest_to_find = std::max(segment.latest_to_find, job.max_timestamp);
  segment.written_ms = shard_.clock.wall_ms();
  log.written = job.next;
  log.written_skip = job.skip;
  set_dirty(log);
}

void Destager::rewind(PartitionLog& log) {
  while (log.first_job != nullptr) {
    DestageJob& job = *log.first_job;
    log.first_job = job.behind;
    free(job);
  }
  log.last_job = nullptr;
  log.jobs = 0;
  log.rewinding = false;
  OpenSegment& open = *log.open;
  log.staged = log.written;
  log.staged_skip = log.written_skip;
  if (open.staged > open.written) open.index.cut(open.written, open.written_crc);
  open.staged = open.written;
  look_again(log);
  if (is_worth_it(log)) enqueue(log);
}

void Destager::free(DestageJob& job) {
  files_.release(job.log->id, job.segment);
  job.state = DestageJob::State::kFree;
  job.log = nullptr;
  jobs_busy_ -= 1;
}

}  // namespace penstock::storage
