// What Store::open finds in state slot and ring becomes logs again. Each log begins as the slot describes it, and the
// ring's entries behind its replay_from are taken in order, whatever they are: so a truncation, what came before it and
// what came after it end as they did.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/crc32c.h"
#include "base/log.h"
#include "protocol/record_batch.h"
#include "storage/segment/segment_path.h"
#include "storage/store_opener.h"

namespace penstock::storage {

void Opener::restore_logs() {
  for (const LogToOpen& log : request_.live_logs) impl_->make_log(log.id, log.config);
  for (LogState& state : log_states_) {
    PartitionLog* log = impl_->find(state.id);
    if (log == nullptr) {
      if (state.id >= request_.next_log_id)
        never_issued_logs_ += 1;
      else if (is_elsewhere(state.id))
        elsewhere_logs_ += 1;
      continue;  // deleted
    }
    replay_from_[state.id] = state.replay_from;
    log->log_start_offset = state.log_start_offset;
    log->written = log->staged = log->durable = log->log_end_offset = state.destaged;
    log->written_skip = log->staged_skip = state.skip;
    log->cleaned_to = state.cleaned_to;
    log->epochs.restore(state.epochs);
    log->producers.restore(state.producers);
    for (const SegmentState& s : state.segments)
      log->segments.push_back({s.base, s.bytes, s.first_timestamp, s.max_timestamp, s.revision});
    if (log->segments.empty()) continue;
    log->open =
        std::make_unique<OpenSegment>(log->segments.back().base, state.position, state.interval_crc, state.head_crc);
  }
}

Opener::Step Opener::replay() {
  restore_logs();
  if (clean_) {
    scan_ = {.head = state_.head, .generation = state_.generation, .previous_crc = state_.previous_crc};
    if (auto done = refuse_other_life(); !done) return done;
    if (auto done = refuse_other_logs(); !done) return done;
    LOG_INFO("%s: stopped cleanly at lsn %llu: nothing to recover", ring_path_.c_str(),
             static_cast<unsigned long long>(state_.head.value()));
  } else {
    ScanRequest scan{.memory = RingMemory(memory_),
                     .block_bytes = disk_.block_bytes(),
                     .ring_id = state_.ring_id,
                     .tail = state_.tail,
                     .generation = state_.generation,
                     .accept_loss_at = request_.accept_loss_at};
    if (state_.knows_head) scan.known = KnownEnd{state_.head, state_.previous_crc};
    scan_ = scan_ring(scan, [&](const FoundEntry& found) { replay_entry(found); });
    if (auto done = refuse_other_life(); !done)
      return done;  // before what else is wrong with it: this loss is the larger
    if (auto done = judge(scan_); !done) return done;
  }
  for (auto& [id, log] : impl_->shard.logs) {
    log->durable = log->log_end_offset;
    log->log_start_offset = std::min(log->log_start_offset, log->log_end_offset);
    log->epochs.trim_to(log->log_start_offset);  // a slot may know a later start than the batches that were replayed
    impl_->shard.count_producers(0, log->producers.size());
    if (log->open != nullptr && !log->open->head.empty()) to_mend_.push_back(log.get());
  }
  return {};
}

PartitionLog* Opener::log_of(const FoundEntry& found) {
  PartitionLog* log = impl_->find(found.log);
  if (log == nullptr)
    (found.log >= request_.next_log_id ? never_issued_ : is_elsewhere(found.log) ? elsewhere_ : skipped_) += 1;
  return log;
}

void Opener::replay_entry(const FoundEntry& found) {
  PartitionLog* log = log_of(found);
  if (log == nullptr) return;
  const auto from = replay_from_.find(found.log);
  // The slot speaks of its own life: what a later one wrote to a place that this one had not come to is not in it.
  if (from != replay_from_.end() && found.at < from->second && found.generation <= state_.generation) return;
  if (found.kind == EntryKind::kBatch) return replay_batch(*log, found);
  const std::span<const std::byte> payload = RingMemory(memory_).span(found.at, found.bytes);
  switch (found.kind) {
    case EntryKind::kTruncate: return replay_truncate(*log, payload);
    case EntryKind::kStartOffset: return replay_start_offset(*log, payload);
    case EntryKind::kRelog: return replay_relog(*log, payload);
    default: contradiction_ = "it holds an entry of a kind that this version does not write"; return;
  }
}

void Opener::replay_batch(PartitionLog& log, const FoundEntry& found) {
  const protocol::RecordBatchView batch =
      protocol::view_of(RingMemory(memory_).span(found.at, protocol::kBatchHeaderBytes));
  const Offset base = batch.base_offset();
  // The first of a log that no slot describes: what it held before was deleted with the ring space that it took.
  if (log.log_end_offset == Offset{0} && log.batches.empty() && !replay_from_.contains(log.id))
    log.log_start_offset = log.log_end_offset = log.written = log.staged = base;
  if (base != log.log_end_offset || batch.last_offset_delta() < 0) {
    contradiction_ = "offsets of a partition do not follow each other";
    return;
  }
  log.add({base, batch.max_timestamp(), found.at, found.bytes, batch.last_offset_delta()});
  log.epochs.assign(batch.partition_leader_epoch(), base);
  batches_ += 1;
  if (!batch.has_producer_id()) return;
  log.producers.remember(batch.producer_id(),
                         {batch.producer_epoch(), batch.base_sequence(), batch.last_sequence(), base,
                          RingMemory::advance(found.at, found.bytes)},
                         batch.max_timestamp(), static_cast<size_t>(request_.options.producers_max));
}

void Opener::replay_truncate(PartitionLog& log, std::span<const std::byte> payload) {
  const auto entry = decode_truncate(payload);
  if (!entry) {
    contradiction_ = "a truncation in it is malformed";
    return;
  }
  if (entry->offset >= log.log_end_offset) return;
  while (!log.batches.empty() && log.batches.back().base_offset >= entry->offset) log.batches.pop_back();
  log.log_end_offset = entry->offset;
  log.log_start_offset = std::min(log.log_start_offset, entry->offset);
  log.cleaned_to = std::min(log.cleaned_to, entry->offset);
  log.epochs.truncate_from(entry->offset);
  log.producers.truncate_from(entry->offset);
  if (entry->offset > log.written || (entry->offset == log.written && log.written_skip == 0)) return;
  // The crash may have brought back sidecars that tell of what was cut off: the truncation's own removal of them counts
  // only with the slot behind it.
  for (; !log.segments.empty() && log.segments.back().base > entry->segment; log.segments.pop_back())
    stale_sidecars_.emplace_back(log.id, log.segments.back().id());
  if (log.segments.empty() || log.segments.back().base != entry->segment ||
      log.segments.back().bytes < entry->position) {
    contradiction_ = "a truncation in it names a segment that the state does not";
    return;
  }
  stale_sidecars_.emplace_back(log.id, log.segments.back().id());
  log.segments.back().bytes = entry->position;
  log.written = log.staged = entry->offset;
  log.written_skip = log.staged_skip = 0;
  // Its checksums at that place are found when the segment is mended.
  log.open = std::make_unique<OpenSegment>(entry->segment, entry->position, 0, 0);
  unsummed_.insert(log.id);
  if (std::ranges::find(to_mend_, &log) == to_mend_.end()) to_mend_.push_back(&log);
}

void Opener::replay_start_offset(PartitionLog& log, std::span<const std::byte> payload) {
  const auto entry = decode_start_offset(payload);
  if (!entry) {
    contradiction_ = "a start offset in it is malformed";
    return;
  }
  log.log_start_offset = std::max(log.log_start_offset, entry->offset);
  log.epochs.trim_to(log.log_start_offset);
}

// The head of the block that a write was about to go over: it counts if it is of the block where the log stands.
void Opener::replay_relog(PartitionLog& log, std::span<const std::byte> payload) {
  const auto entry = decode_relog(payload);
  if (!entry) {
    contradiction_ = "a relogged block in it is malformed";
    return;
  }
  if (log.open == nullptr || log.open->segment() != entry->segment ||
      entry->position + entry->bytes.size() != log.open->written)
    return;
  log.open->head.assign(entry->bytes.begin(), entry->bytes.end());
}

// ---------------------------------------------------------------- segments

// Before a slot says that the truncation is done: no later start would know that they are not to be trusted.
Opener::Step Opener::remove_stale_sidecars() {
  for (const auto& [log, segment] : stale_sidecars_) {
    const std::string path = sidecar_path(request_.folder, log, segment);
    const auto gone = disk_.unlink(path);
    if (!gone && gone.error().code == Errc::kNotFound) continue;
    if (!gone) return io_failure(gone.error(), "delete", path);
    const std::string folder = log_path(request_.folder, log);
    if (auto done = disk_.sync_dir(folder); !done) return io_failure(done.error(), "flush", folder);
  }
  return {};
}

// Blocks that a write may have torn get their heads back, before anything reads them.
Opener::Step Opener::mend_segments() {
  std::ranges::sort(to_mend_, {}, &PartitionLog::id);
  to_mend_.erase(std::ranges::unique(to_mend_).begin(), to_mend_.end());
  for (PartitionLog* log : to_mend_)
    if (auto done = mend(*log); !done) return done;
  if (to_mend_.empty()) return {};
  if (auto done = disk_.flush_all(request_.folder); !done) return io_failure(done.error(), "flush", request_.folder);
  LOG_INFO("%s: the last blocks of %zu segments made whole from the ring", ring_path_.c_str(), to_mend_.size());
  return {};
}

Opener::Step Opener::mend(PartitionLog& log) {
  OpenSegment& open = *log.open;
  const uint32_t block = disk_.block_bytes();
  const std::string path = segment_path(request_.folder, log.id, log.segments.back().id());
  const auto file = disk_.open(path, {});
  if (!file) return io_failure(file.error(), "open", path);
  const uint64_t interval = align_down(open.written, SegmentIndex::kIntervalBytes);
  const auto memory = aligned(scratch_, SegmentIndex::kIntervalBytes, block);
  const uint64_t bytes = open.written - interval;
  if (bytes > 0) {
    DiskOp read{.file = *file, .at = interval, .memory = memory.first(align_up(bytes, block))};
    if (auto done = run_to_end(disk_, read); !done && read.result < static_cast<int64_t>(bytes)) {
      disk_.close(*file);
      return io_failure(done.error(), "read", path);
    }
  }
  const uint64_t head_at = align_down(bytes, block);
  if (!open.head.empty() && open.head.size() == bytes - head_at) {
    const auto whole = memory.subspan(head_at, block);
    std::ranges::fill(whole, std::byte{0});
    std::ranges::copy(open.head, whole.begin());
    DiskOp write{.kind = DiskOp::Kind::kWrite, .file = *file, .at = interval + head_at, .memory = whole};
    if (auto done = run_to_end(disk_, write); !done) {
      disk_.close(*file);
      return io_failure(done.error(), "mend", path);
    }
  }
  disk_.close(*file);
  // What the slot says of these bytes counts: a checksum of what is there would be one of whatever rotted meanwhile.
  if (!unsummed_.contains(log.id)) return {};
  const std::vector<std::byte> head = std::move(open.head);
  log.open = std::make_unique<OpenSegment>(open.segment(), open.written, crc32c(0, memory.first(bytes)),
                                           crc32c(0, memory.subspan(head_at, bytes - head_at)));
  log.open->head = head;
  return {};
}

// ---------------------------------------------------------------- the new life

// A durable slot of the new generation comes first: it makes the end that was found the end for good. Then a frame of
// it, if there is room for one that is kept for nothing better.
Opener::Step Opener::begin_life() {
  Store::Impl& s = *impl_;
  Shard& shard = s.shard;
  shard.ring = std::make_unique<RingWriter>(
      RingWriter::Parts{.disk = disk_,
                        .file = s.ring_file,
                        .clock = shard.clock,
                        .counters = shard.counters,
                        .memory = RingMemory(memory_),
                        .seal_after = request_.options.ring_seal_ms * kMillisecond,
                        .unflushed_max = static_cast<uint64_t>(request_.options.unflushed_max_bytes)},
      RingStart{.tail = state_.tail,
                .head = scan_.head,
                .previous_crc = scan_.previous_crc,
                .generation = scan_.generation + 1,
                .ring_id = state_.ring_id,
                .memory_from = clean_ ? scan_.head : state_.tail});
  const auto free_bytes = disk_.free_bytes(request_.folder);
  if (!free_bytes) return io_failure(free_bytes.error(), "ask for the free space of", request_.folder);
  s.space.begin(*free_bytes);
  if (auto done = disk_.make_dir(logs_path(request_.folder)); !done)
    return io_failure(done.error(), "make", logs_path(request_.folder));
  for (auto& [id, log] : shard.logs) s.destager.look_again(*log);
  s.checkpointer = std::make_unique<Checkpointer>(
      shard, s.destager, s.files, Checkpointer::Files{state_files_[0], state_files_[1]}, state_, [&s](uint64_t number) {
        s.slots_durable = number;
        s.janitor.slot_durable(number);
      });
  if (auto done = remove_stale_sidecars(); !done) return done;
  begun_ = true;
  for (auto& [id, log] : shard.logs) s.trimmer.drop_below_start(*log);
  if (auto done = s.checkpointer->write_first(); !done)
    return io_failure(done.error(), "write", state_paths_[(state_.sequence + 1) % 2]);
  if (auto done = forget_other_ring(); !done) return done;
  // What is issued from now on is another ring's, if it is not this one's: it may be there before the sweep is.
  s.janitor.sweep([next = request_.next_log_id, is_foreign = request_.is_foreign](
                      LogId log) { return log >= next || (is_foreign && is_foreign(log)); },
                  shard.ring->generation());
  if (!shard.ring->room_to_open()) {
    // The other slot too: were this start's alone to rot, the ring would look as of the start before. It is no reason
    // to stand still that the drive is full and its file had to grow.
    const std::string& other = state_paths_[state_.sequence % 2];
    if (auto done = s.checkpointer->write_first(); !done && done.error().code != Errc::kNoSpace)
      return io_failure(done.error(), "write", other);
    else if (!done)
      LOG_WARN("there is no room for %s: this start's state is in one file alone", other.c_str());
    shard.ring->open_by_state();
    return {};
  }
  shard.ring->open_generation();
  shard.ring->submit();
  while (shard.ring->durable() == scan_.head && !shard.ring->failed()) {
    DiskOp* done = nullptr;
    if (disk_.poll({&done, 1}) == 0) {
      disk_.wait(kSecond);
    } else {
      CHECK(shard.ring->complete(*done));
      if (shard.ring->failed()) return io_failure(error_of(done->result), "write", ring_path_);
    }
  }
  return {};
}

// The operator has accepted that the ring is another's. Once the slot says that this one ends here, frames of the other
// go: a walk that comes to one in a later lap's place would be refused again.
Opener::Step Opener::forget_other_ring() {
  if (scan_.here != Here::kForeign) return {};
  const RingMemory ring(memory_);
  for (Lsn chunk{0}; chunk < Lsn{ring.bytes()}; chunk += kChunkBytes) {
    if (!is_of_another_ring(ring, chunk, state_.ring_id)) continue;
    const auto block = memory_.subspan(chunk.value(), disk_.block_bytes());
    std::ranges::fill(block, std::byte{0});
    DiskOp write{.kind = DiskOp::Kind::kWriteDurable, .file = impl_->ring_file, .at = chunk.value(), .memory = block};
    if (auto done = run_to_end(disk_, write); !done) return io_failure(done.error(), "write", ring_path_);
  }
  return {};
}

// Deleted is skipped; never issued, or living in another ring, is refused: the slot that this start would write would
// forget those logs. A log stays in the ring that its topic was made in.
Opener::Step Opener::refuse_other_logs() {
  const auto what = [](uint64_t logs, uint64_t batches) {
    return logs > 0 ? fmt::format("the state of {} logs", logs) : fmt::format("{} batches of logs", batches);
  };
  if (never_issued_logs_ > 0 || never_issued_ > 0)
    return open_failure(
        {Errc::kCorrupt},
        fmt::format("{} holds {} that this folder's metadata never issued: ring and metadata are not from the same "
                    "folder; put back the metadata.sqlite that belongs to it",
                    ring_path_, what(never_issued_logs_, never_issued_)));
  if (elsewhere_logs_ > 0 || elsewhere_ > 0)
    return open_failure(
        {Errc::kCorrupt},
        fmt::format("{} holds {} that live in another ring: files of two rings were mixed, or the metadata is not "
                    "theirs; put back the ring and the two state files that belong to this name",
                    ring_path_, what(elsewhere_logs_, elsewhere_)));
  return {};
}

// All three files of a ring may have been replaced by those of another folder or an earlier time: they agree with each
// other, and say nothing of the segments written since, which this start would remove.
Opener::Step Opener::refuse_other_life() {
  if (!request_.known_life || request_.live_logs.empty()) return {};
  const auto unlike = life_unlike(*request_.known_life, {state_.ring_id, scan_.generation});
  if (!unlike || request_.accept_loss_at == scan_.head.value()) return {};
  return open_failure(
      {Errc::kCorrupt},
      fmt::format("{} and its state {}: what its {} logs hold would be lost, segments too. Put back the "
                  "ring and the two state files that belong to this folder's metadata.sqlite, or accept "
                  "the loss with --accept-loss-at {}",
                  ring_path_, *unlike, request_.live_logs.size(), scan_.head.value()));
}

Opener::Step Opener::judge(const ScanResult& scan) {
  if (!scan.foreign.empty())
    return open_failure({Errc::kUnsupported},
                        fmt::format("{} holds {}; start the newer penstock that wrote it", ring_path_, scan.foreign));
  if (auto done = refuse_other_logs(); !done) return done;
  if (!contradiction_.empty())
    return open_failure({Errc::kCorrupt}, fmt::format("{}: {}; restore the data folder from a copy of the drive",
                                                      ring_path_, contradiction_));
  if (scan.row->verdict == Verdict::kDamaged && !scan.accepted) {
    std::string ends;
    size_t named = 0;
    for (const auto& [id, log] : impl_->shard.logs)
      if (named++ < 8) ends += fmt::format(" log {} from offset {}", id.value(), log->log_end_offset.value());
    return open_failure(
        {Errc::kCorrupt},
        fmt::format("{} is damaged at lsn {} ({}); acknowledged records behind it would be lost:{}{}. {}, or accept "
                    "the loss with --accept-loss-at {}",
                    ring_path_, scan.head.value(), scan.row->why, ends, named > 8 ? " ..." : "",
                    scan.here == Here::kForeign ? "Put back the ring and the two state files that belong together"
                                                : "Restore the drive from a copy",
                    scan.head.value()));
  }
  LOG_INFO("%s: %llu frames, %llu batches recovered, %llu of deleted logs skipped; end at lsn %llu: %.*s",
           ring_path_.c_str(), static_cast<unsigned long long>(scan.frames), static_cast<unsigned long long>(batches_),
           static_cast<unsigned long long>(skipped_), static_cast<unsigned long long>(scan.head.value()),
           static_cast<int>(scan.row->why.size()), scan.row->why.data());
  return {};
}

}  // namespace penstock::storage
