#include "storage/log/checkpointer.h"

#include <algorithm>
#include <cerrno>

#include "base/assert.h"

namespace penstock::storage {
namespace {

// Logs described in a turn: some 20 us of an lcore.
constexpr size_t kLogsATurn = 64;
constexpr size_t kProducersATurn = 2048;  // of those logs: each is copied
// A slot costs its bytes and a flush: it frees at least this much of the ring for each byte of its own.
constexpr uint64_t kGainFactor = 32;
// Up to so many files are flushed one by one; more, and all the file system's at once.
constexpr size_t kFlushFilesMax = 16;

}  // namespace

Checkpointer::Checkpointer(Shard& shard, Destager& destager, SegmentFiles& files, Files slots, const RingState& last,
                           Durable durable)
    : shard_(shard),
      destager_(destager),
      files_(files),
      slot_files_(slots),
      durable_(std::move(durable)),
      writer_(shard.disk, slots.even, slots.odd),
      encoder_(shard.disk.block_bytes()),
      last_(last) {
  file_op_.owner = this;
}

Checkpointer::~Checkpointer() {
  shard_.disk.close(slot_files_.even.file);
  shard_.disk.close(slot_files_.odd.file);
}

bool Checkpointer::is_due() const {
  if (retry_at_ > 0 && shard_.clock.monotonic() < retry_at_) return false;
  if (wanted_ || (clean_wanted_ && !clean_)) return true;
  const RingWriter& ring = *shard_.ring;
  const Lsn oldest{align_down(destager_.oldest_dirty(ring.durable()).value(), kChunkBytes)};
  if (oldest <= ring.tail()) return false;
  const Lsn wanted = ring.tail_wanted();
  if (wanted > ring.tail() && oldest >= std::min(wanted, Lsn{align_down(ring.durable().value(), kChunkBytes)}))
    return true;
  const uint64_t gain = oldest - ring.tail();
  const uint64_t bytes = ring.memory().bytes();
  if (gain >= std::min(std::max(bytes / 8, last_slot_bytes_ * kGainFactor), bytes / 4)) return true;
  return ring.used_bytes() > bytes / 4 * 3;
}

void Checkpointer::run() {
  if (shard_.poisoned) return;
  if (step_ == Step::kIdle && is_due()) begin();
  if (step_ == Step::kDescribing) describe_some();
  if (step_ == Step::kFlushing) flush_files();
}

void Checkpointer::begin() {
  begun_ += 1;
  wanted_ = false;
  step_ = Step::kDescribing;
  described_ = 0;
  to_describe_.clear();
  to_describe_.reserve(shard_.logs.size());
  for (const auto& [id, log] : shard_.logs) to_describe_.push_back(id);
  std::ranges::sort(to_describe_);  // the order of a hash table would not replay
  const RingWriter& ring = *shard_.ring;
  least_ = ring.durable();
  next_ = last_;
  next_.sequence += 1;
  next_.generation = ring.generation();
  next_.clean_stop = false;
  encoder_.begin();
}

void Checkpointer::describe_some() {
  const size_t end = std::min(described_ + kLogsATurn, to_describe_.size());
  size_t producers = 0;
  for (; described_ < end && producers < kProducersATurn; ++described_) {
    const PartitionLog* log = shard_.find(to_describe_[described_]);
    if (log == nullptr) continue;  // deleted since
    producers += log->producers.size();
    const LogState state = describe(*log);
    least_ = std::min(least_, state.replay_from);
    encoder_.add(state);
  }
  // A truncation that is described counts from this slot on, and its ring entry is not read again: what it made stale
  // must not come back with a crash.
  if (described_ == to_describe_.size() && shard_.stale_sidecars == 0) begin_flush();
}

LogState Checkpointer::describe(const PartitionLog& log) const {
  LogState state{.id = log.id,
                 .log_start_offset = log.log_start_offset,
                 .destaged = log.written,
                 .position = log.open == nullptr ? 0 : log.open->written,
                 .replay_from = log.dirty_at.value_or(shard_.ring->next_entry()),
                 .skip = log.written_skip,
                 .cleaned_to = std::min(log.cleaned_to, log.written)};
  if (log.open != nullptr) {
    state.head_crc = log.open->head_crc;
    state.interval_crc = log.open->written_crc;
  }
  state.segments.reserve(log.segments.size());
  for (const Segment& s : log.segments)
    state.segments.push_back({s.base, s.bytes, s.max_timestamp, s.first_timestamp, s.revision});
  const auto epochs = log.epochs.snapshot(log.written);
  state.epochs.assign(epochs.begin(), epochs.end());
  if (log.producers.size() == 0) return state;
  // What the log remembers of batches that only the ring has, replay brings back.
  ProducerTable written = log.producers;
  written.truncate_from(log.written);
  state.producers = written.snapshot();
  return state;
}

// ---------------------------------------------------------------- flush

void Checkpointer::begin_flush() {
  step_ = Step::kFlushing;
  flushes_.clear();
  cannot_flush_.reset();
  auto& changed = shard_.unflushed;
  if (changed.empty() && !shard_.names_changed) return begin_slot();
  if (changed.size() > kFlushFilesMax || shard_.names_changed) return flush_all();
  for (const auto& file : changed) {
    auto flush = std::make_unique<Flush>();
    flush->owner = this;
    flush->file = file;
    flush->kind = DiskOp::Kind::kFlush;
    flush->on_done = [](DiskOp& op) {
      auto& done = static_cast<Flush&>(op);
      done.owner->files_.release(done.file.first, done.file.second);
      done.owner->flush_done(op.result);
    };
    flushes_.push_back(std::move(flush));
  }
  changed.clear();
  flushes_due_ = flushes_.size();
  flush_files();
}

void Checkpointer::flush_all() {
  shard_.unflushed.clear();
  shard_.names_changed = false;
  flushes_due_ = 1;
  file_op_.kind = FileOp::Kind::kFlushAll;
  file_op_.path = shard_.folder;
  file_op_.on_done = [](FileOp& op) {
    Checkpointer& self = *static_cast<FileStep&>(op).owner;
    if (op.error && op.error->code == Errc::kFull) {
      self.shard_.names_changed = true;  // so that all is flushed, also the files that were named
      self.cannot_flush(*op.error);
    } else {
      self.flush_done(op.error ? -std::max(op.error->os_errno, 1) : 0);
    }
  };
  shard_.submit(static_cast<FileOp&>(file_op_));
}

// A file that was closed meanwhile is opened again; one that is gone needs no flush. One that is missing had bytes that
// nobody can make durable any more; one that cannot be opened now keeps them.
void Checkpointer::flush_files() {
  for (const auto& flush : flushes_) {
    if (flush->held || step_ != Step::kFlushing) continue;
    PartitionLog* log = shard_.find(flush->file.first);
    const bool there = log != nullptr && log->find_file(flush->file.second) != nullptr;
    const auto handle = there ? files_.acquire(flush->file.first, flush->file.second, SegmentFiles::Want::kRead)
                              : Result<FileHandle>(fail(Errc::kNotFound));
    if (!handle && handle.error().code == Errc::kWouldBlock) continue;
    flush->held = true;
    if (!handle && there && handle.error().code != Errc::kNotFound) {
      shard_.unflushed.insert(flush->file);
      cannot_flush(handle.error());
      continue;
    }
    if (!handle) {
      flush_done(there ? -ENOENT : 0);
      continue;
    }
    flush->DiskOp::file = *handle;
    shard_.submit(static_cast<DiskOp&>(*flush));
  }
}

void Checkpointer::flush_done(int64_t result) {
  // After a failed flush nobody knows what the drive has, and the next flush would not tell: the ring has all of it.
  if (result < 0) shard_.poison("flushing the segments", result);
  if (--flushes_due_ > 0 || shard_.poisoned) return;
  if (cannot_flush_) return put_off(*cannot_flush_);
  begin_slot();
}

// No flush has failed: what is written and what waits is as it was.
void Checkpointer::cannot_flush(Error error) {
  cannot_flush_ = error;
  const Nanos now = shard_.clock.monotonic();
  if (now >= tell_at_) {
    tell_at_ = now + kTellEvery;
    LOG_WARN("a file of %s that is to be flushed cannot be opened (errno %d): no ring space is freed until it can%s",
             shard_.folder.c_str(), int{error.os_errno},
             error.code == Errc::kFull ? "; the limit of open files (ulimit -n) is too low" : "");
  }
  flush_done(0);
}

// No ring space is freed until it is done, and no file that waits for it.
void Checkpointer::put_off(Error why) {
  step_ = Step::kIdle;
  wanted_ = true;
  put_off_for_ = why;
  retry_at_ = shard_.clock.monotonic() + kRetryAfter;
  shard_.counters.add(Metric::state_write_delays);
}

// ---------------------------------------------------------------- slot

void Checkpointer::begin_slot() {
  const RingWriter& ring = *shard_.ring;
  next_.head = ring.durable();
  next_.previous_crc = ring.durable_crc();
  next_.knows_head = true;
  next_.as_of = next_.tail = std::max(last_.tail, Lsn{align_down(least_.value(), kChunkBytes)});
  if (clean_wanted_ && ring.quiet() && destager_.clean() && least_ >= ring.durable()) {
    next_.clean_stop = true;
    next_.as_of = next_.tail = next_.head;
  }
  slot_ = encoder_.finish(next_);
  last_slot_bytes_ = slot_.size();
  const auto& file = writer_.file_of(next_.sequence);
  if (slot_.size() <= file.capacity) return write_slot();
  step_ = Step::kGrowing;
  file_op_.kind = FileOp::Kind::kAllocate;
  file_op_.file = file.file;
  file_op_.bytes = slot_.size() * 2;
  file_op_.on_done = [](FileOp& op) {
    Checkpointer& self = *static_cast<FileStep&>(op).owner;
    if (op.error) return self.put_off({Errc::kNoSpace});  // for the state
    self.writer_.grown(self.next_.sequence, op.bytes);
    self.write_slot();
  };
  shard_.submit(static_cast<FileOp&>(file_op_));
}

void Checkpointer::write_slot() {
  step_ = Step::kWriting;
  writer_.write(next_, slot_);
}

bool Checkpointer::complete(DiskOp& op) {
  if (!writer_.complete(op)) return false;
  if (writer_.failed()) {
    shard_.poison("writing the state", op.result);
  } else if (!writer_.busy()) {
    finish();
  }
  return true;
}

void Checkpointer::finish() {
  step_ = Step::kIdle;
  retry_at_ = 0;
  last_ = next_;
  clean_ = next_.clean_stop;
  shard_.counters.add(Metric::state_writes);
  shard_.counters.add(Metric::state_bytes_written, slot_.size());
  // A clean stop's tail may stand inside a chunk; it is the last word of this life.
  if (!clean_) shard_.ring->advance_tail(next_.tail);
  durable_(begun_);
}

Result<void> Checkpointer::write_first() {
  begin();
  while (step_ == Step::kDescribing) describe_some();
  while (step_ != Step::kIdle && !shard_.poisoned) {
    DiskOp* done = nullptr;
    FileOp* file_done = nullptr;
    if (shard_.disk.poll({&done, 1}) > 0) {
      CHECK(complete(*done));
    } else if (shard_.disk.poll({&file_done, 1}) > 0) {
      shard_.ops_in_flight -= 1;
      file_done->on_done(*file_done);
    } else {
      shard_.disk.wait(kSecond);
    }
  }
  if (shard_.poisoned)
    return fail(shard_.failure < 0 ? Errc::kIo : Errc::kShort,
                static_cast<int32_t>(-std::min<int64_t>(shard_.failure, 0)));
  if (last_.sequence != next_.sequence) return std::unexpected(put_off_for_);
  return {};
}

}  // namespace penstock::storage
