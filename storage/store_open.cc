// Store::open: make the ring, or recover it. Blocks. The steps are in the order of recover() below; nothing is served
// before what was found is durable and a frame of a new generation vouches for it.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/log.h"
#include "protocol/record_batch.h"
#include "storage/store_impl.h"

namespace penstock::storage {
namespace {

using Failure = std::unexpected<OpenFailure>;

Failure failure(Error error, std::string what) { return Failure(OpenFailure{error, std::move(what)}); }

constexpr size_t kReadsAtOnce = 8;  // one at a time leaves the drive idle between two

// A line for each GiB that a start has to move, so that nobody takes it for stuck.
void tell_progress(const char* what, uint64_t at, uint64_t all) {
  if (at > 0 && at % kGiB == 0)
    LOG_INFO("%llu of %llu GiB %s", static_cast<unsigned long long>(at / kGiB),
             static_cast<unsigned long long>(all / kGiB), what);
}

Failure io_failure(Error error, std::string_view doing, std::string_view path) {
  const std::string hint =
      error.code == Errc::kNoSpace        ? "free some space, or choose a smaller penstock.ring.bytes"
      : error.code == Errc::kUnsupported  ? "choose a data folder on a local file system with direct I/O (ext4, XFS)"
      : error.code == Errc::kNoPermission ? "give the user that runs penstock the right to write there"
                                          : "check the drive and its file system";
  return failure(error, fmt::format("cannot {} {}: {}{}; {}", doing, path, to_string(error.code),
                                    error.os_errno ? fmt::format(" (errno {})", error.os_errno) : "", hint));
}

class Opener {
 public:
  explicit Opener(StoreRequest& request)
      : request_(request),
        disk_(*request.disk),
        ring_path_(fmt::format("{}/ring-{}", request.folder, request.ring_index)),
        making_path_(ring_path_ + ".making"),
        state_paths_{ring_path_ + ".state-0", ring_path_ + ".state-1"},
        old_state_path_(ring_path_ + ".state") {}

  std::expected<std::unique_ptr<Store::Impl>, OpenFailure> open();

 private:
  std::expected<void, OpenFailure> make_ring();
  std::expected<void, OpenFailure> write_new_ring();
  std::expected<void, OpenFailure> write_new_state(uint64_t ring_bytes);
  std::expected<void, OpenFailure> open_files();
  std::expected<void, OpenFailure> open_file(const std::string& path, bool create, FileHandle& file);
  std::expected<void, OpenFailure> read_state();
  std::expected<void, OpenFailure> read_old_state(std::optional<RingState>& newest);
  std::expected<std::span<std::byte>, OpenFailure> read_file(FileHandle file, const std::string& path);
  std::expected<void, OpenFailure> read_ring();
  std::expected<void, OpenFailure> judge(const ScanResult& scan);
  std::expected<void, OpenFailure> replay();
  std::expected<void, OpenFailure> open_generation(const ScanResult& scan);
  std::expected<void, OpenFailure> drop_old_state();
  void replay_batch(const FoundEntry& found);
  std::span<std::byte> aligned_scratch(size_t bytes);

  StoreRequest& request_;
  Disk& disk_;
  const std::string ring_path_;
  const std::string making_path_;
  const std::array<std::string, 2> state_paths_;
  const std::string old_state_path_;  // of format version 1
  std::unique_ptr<Store::Impl> impl_;
  std::vector<std::byte> scratch_;
  std::span<std::byte> memory_;
  ScanResult scan_;
  bool old_state_ = false;
  uint64_t batches_ = 0;
  uint64_t skipped_ = 0;
  uint64_t never_issued_ = 0;
  bool out_of_order_ = false;
};

std::span<std::byte> aligned(std::vector<std::byte>& holder, size_t bytes, size_t block) {
  holder.resize(bytes + block);
  const auto address = reinterpret_cast<uintptr_t>(holder.data());
  return {holder.data() + (align_up(address, block) - address), bytes};
}

std::expected<std::unique_ptr<Store::Impl>, OpenFailure> Opener::open() {
  impl_ = std::make_unique<Store::Impl>(request_);
  if (auto made = make_ring(); !made) return Failure(made.error());
  if (auto done = open_files(); !done) return Failure(done.error());
  if (auto done = read_state(); !done) return Failure(done.error());
  if (auto done = read_ring(); !done) return Failure(done.error());
  if (auto done = replay(); !done) return Failure(done.error());
  if (auto done = open_generation(scan_); !done) return Failure(done.error());
  if (auto done = drop_old_state(); !done) return Failure(done.error());
  impl_->counters.set(Metric::ring_capacity_bytes, memory_.size());
  impl_->update_gauges();
  return std::move(impl_);
}

// The ring bears its name only once it and its state are whole and durable: a crash before that leaves a .making, which
// the next start throws away.
std::expected<void, OpenFailure> Opener::make_ring() {
  const auto names = disk_.list(request_.folder);
  if (!names) return io_failure(names.error(), "read the data folder", request_.folder);
  const auto exists = [&](const std::string& path) {
    return std::ranges::find(*names, path.substr(request_.folder.size() + 1)) != names->end();
  };
  old_state_ = exists(old_state_path_);
  if (exists(ring_path_)) return {};
  if (!request_.live_logs.empty())
    return failure(
        {Errc::kNotFound},
        fmt::format("{} is missing, but the metadata names {} partitions that are kept in it; put the file back "
                    "from the drive that has it, or delete those topics' metadata with the data folder",
                    ring_path_, request_.live_logs.size()));
  if (std::exchange(old_state_, false))  // what a crash left, before its ring had its name
    if (auto done = disk_.unlink(old_state_path_); !done) return io_failure(done.error(), "remove", old_state_path_);
  if (auto done = write_new_ring(); !done) return done;
  if (auto done = disk_.sync_dir(request_.folder); !done) return io_failure(done.error(), "sync", request_.folder);
  if (auto done = disk_.rename(making_path_, ring_path_); !done) return io_failure(done.error(), "name", ring_path_);
  if (auto done = disk_.sync_dir(request_.folder); !done) return io_failure(done.error(), "sync", request_.folder);
  return {};
}

std::expected<void, OpenFailure> Opener::write_new_ring() {
  const uint64_t ring_bytes = align_up(static_cast<uint64_t>(request_.options.ring_bytes), kChunkBytes);
  LOG_INFO("making the write-ahead ring %s: %llu MiB, written full once", ring_path_.c_str(),
           static_cast<unsigned long long>(ring_bytes / kMiB));
  const auto ring = disk_.open(making_path_, {.create = true});
  if (!ring) return io_failure(ring.error(), "make", making_path_);
  if (auto done = disk_.resize(*ring, 0); !done) return io_failure(done.error(), "empty", making_path_);
  const auto zeros = aligned(scratch_, kChunkBytes, disk_.block_bytes());
  for (uint64_t at = 0; at < ring_bytes; at += kChunkBytes) {
    DiskOp write{.kind = DiskOp::Kind::kWrite, .file = *ring, .at = at, .memory = zeros};
    if (auto done = run_to_end(disk_, write); !done) return io_failure(done.error(), "write", making_path_);
    tell_progress("written", at, ring_bytes);
  }
  DiskOp flush{.kind = DiskOp::Kind::kFlush, .file = *ring};
  if (auto done = run_to_end(disk_, flush); !done) return io_failure(done.error(), "flush", making_path_);
  disk_.close(*ring);
  return write_new_state(ring_bytes);
}

std::expected<void, OpenFailure> Opener::write_new_state(uint64_t ring_bytes) {
  RingState first{.ring_bytes = ring_bytes};
  request_.prng->fill(std::as_writable_bytes(std::span(first.ring_id)));
  SlotEncoder encoder(disk_.block_bytes());
  for (; first.sequence < 2; ++first.sequence) {
    const std::string& path = state_paths_[first.sequence];
    const auto state = disk_.open(path, {.create = true});
    if (!state) return io_failure(state.error(), "make", path);
    if (auto done = disk_.resize(*state, kSlotBytesMin); !done) return io_failure(done.error(), "size", path);
    encoder.begin(first);
    DiskOp write{.kind = DiskOp::Kind::kWrite, .file = *state, .memory = encoder.finish()};
    if (auto done = run_to_end(disk_, write); !done) return io_failure(done.error(), "write", path);
    DiskOp flush{.kind = DiskOp::Kind::kFlush, .file = *state};
    if (auto done = run_to_end(disk_, flush); !done) return io_failure(done.error(), "flush", path);
    disk_.close(*state);
  }
  return {};
}

// What was written before may still be in a drive's cache: it is made durable before anything is decided on it.
std::expected<void, OpenFailure> Opener::open_file(const std::string& path, bool create, FileHandle& file) {
  const auto opened = disk_.open(path, {.create = create});
  if (!opened) return io_failure(opened.error(), "open", path);
  file = *opened;
  DiskOp flush{.kind = DiskOp::Kind::kFlush, .file = file};
  if (auto done = run_to_end(disk_, flush); !done) return io_failure(done.error(), "flush", path);
  return {};
}

std::expected<void, OpenFailure> Opener::open_files() {
  if (auto done = open_file(ring_path_, false, impl_->ring_file); !done) return done;
  for (size_t i = 0; i < state_paths_.size(); ++i) {
    StateWriter::File& state = impl_->state_files[i];
    if (auto done = open_file(state_paths_[i], true, state.file); !done) return done;
    const auto size = disk_.size(state.file);
    if (!size) return io_failure(size.error(), "read the size of", state_paths_[i]);
    state.capacity = std::max(*size, kSlotBytesMin);
    if (state.capacity == *size) continue;
    if (auto done = disk_.resize(state.file, state.capacity); !done)
      return io_failure(done.error(), "size", state_paths_[i]);
  }
  if (auto done = disk_.sync_dir(request_.folder); !done) return io_failure(done.error(), "sync", request_.folder);
  return {};
}

// All of a state file, in scratch_.
std::expected<std::span<std::byte>, OpenFailure> Opener::read_file(FileHandle file, const std::string& path) {
  const auto size = disk_.size(file);
  if (!size) return io_failure(size.error(), "read the size of", path);
  const auto memory = aligned(scratch_, align_down(*size, disk_.block_bytes()), disk_.block_bytes());
  DiskOp read{.file = file, .memory = memory};
  if (auto done = run_to_end(disk_, read); !done) return io_failure(done.error(), "read", path);
  return memory;
}

std::expected<void, OpenFailure> Opener::read_old_state(std::optional<RingState>& newest) {
  FileHandle file;
  if (auto done = open_file(old_state_path_, false, file); !done) return done;
  const auto bytes = read_file(file, old_state_path_);
  disk_.close(file);
  if (!bytes) return Failure(bytes.error());
  for (size_t at = 0; at < 2 * kSlot1Bytes && at < bytes->size(); at += kSlot1Bytes) {
    const auto state = decode_slot_v1(bytes->subspan(at));
    if (state && (!newest || state->sequence > newest->sequence)) newest = state;
  }
  return {};
}

std::expected<void, OpenFailure> Opener::read_state() {
  std::optional<RingState> newest;
  if (old_state_)
    if (auto done = read_old_state(newest); !done) return done;
  for (size_t i = 0; i < state_paths_.size(); ++i) {
    const auto bytes = read_file(impl_->state_files[i].file, state_paths_[i]);
    if (!bytes) return Failure(bytes.error());
    const auto slot = decode_slot(*bytes);
    if (slot && (!newest || slot->ring.sequence > newest->sequence)) newest = slot->ring;
  }
  if (!newest)
    return failure({Errc::kCorrupt},
                   fmt::format("both state slots of {} are damaged: where the needed part of the ring "
                               "begins is not known; restore {} and {} from a copy of the drive",
                               ring_path_, state_paths_[0], state_paths_[1]));
  const auto size = disk_.size(impl_->ring_file);
  if (!size) return io_failure(size.error(), "read the size of", ring_path_);
  if (*size != newest->ring_bytes)
    return failure({Errc::kCorrupt},
                   fmt::format("{} has {} bytes, its state says {}; restore the file from a copy of the "
                               "drive",
                               ring_path_, *size, newest->ring_bytes));
  impl_->last_state = *newest;
  if (newest->ring_bytes != align_up(static_cast<uint64_t>(request_.options.ring_bytes), kChunkBytes))
    LOG_INFO("%s keeps its size of %llu MiB; penstock.ring.bytes counts when a ring is made", ring_path_.c_str(),
             static_cast<unsigned long long>(newest->ring_bytes / kMiB));
  return {};
}

std::expected<void, OpenFailure> Opener::read_ring() {
  memory_ = request_.allocate(impl_->last_state.ring_bytes);
  if (memory_.size() != impl_->last_state.ring_bytes)
    return failure({Errc::kNoSpace},
                   fmt::format("no memory for the ring's {} MiB; free some, or make a data folder with a "
                               "smaller penstock.ring.bytes",
                               impl_->last_state.ring_bytes / kMiB));
  disk_.register_memory(memory_);
  for (uint64_t at = 0; at < memory_.size(); at += kReadsAtOnce * kChunkBytes) {
    std::array<DiskOp, kReadsAtOnce> reads;
    size_t count = 0;
    for (uint64_t chunk = at; chunk < memory_.size() && count < kReadsAtOnce; chunk += kChunkBytes)
      reads[count++] = {.file = impl_->ring_file, .at = chunk, .memory = memory_.subspan(chunk, kChunkBytes)};
    if (auto done = run_all_to_end(disk_, std::span(reads).first(count)); !done)
      return io_failure(done.error(), "read", ring_path_);
    tell_progress("read", at, memory_.size());
  }
  return {};
}

std::expected<void, OpenFailure> Opener::replay() {
  for (const LogId log : request_.live_logs) impl_->logs.emplace(log, std::make_unique<PartitionLog>(log));
  const RingState& state = impl_->last_state;
  ScanRequest scan{.memory = RingMemory(memory_),
                   .block_bytes = disk_.block_bytes(),
                   .ring_id = state.ring_id,
                   .tail = state.tail,
                   .generation = state.generation,
                   .accept_loss_at = request_.accept_loss_at};
  if (state.knows_head) scan.known = KnownEnd{state.head, state.previous_crc};
  scan_ = scan_ring(scan, [&](const FoundEntry& found) {
    if (found.kind == EntryKind::kBatch) replay_batch(found);
  });
  for (auto& [id, log] : impl_->logs) {
    log->durable = log->log_end_offset;
    impl_->producers_tracked += log->producers.size();
  }
  return judge(scan_);
}

void Opener::replay_batch(const FoundEntry& found) {
  PartitionLog* log = impl_->find(found.log);
  if (log == nullptr) {
    (found.log < request_.next_log_id ? skipped_ : never_issued_) += 1;
    return;
  }
  const protocol::RecordBatchView batch =
      protocol::view_of(RingMemory(memory_).span(found.at, protocol::kBatchHeaderBytes));
  const Offset base = batch.base_offset();
  if (log->batches.empty() && log->log_end_offset == Offset{0}) log->log_start_offset = log->log_end_offset = base;
  if (base != log->log_end_offset || batch.last_offset_delta() < 0) {
    out_of_order_ = true;
    return;
  }
  log->add({base, batch.max_timestamp(), found.at, found.bytes, batch.last_offset_delta()});
  batches_ += 1;
  if (!batch.has_producer_id()) return;
  log->producers.remember(batch.producer_id(),
                          {batch.producer_epoch(), batch.base_sequence(), batch.last_sequence(), base,
                           RingMemory::advance(found.at, found.bytes)},
                          batch.max_timestamp(), static_cast<size_t>(request_.options.producers_max));
}

std::expected<void, OpenFailure> Opener::judge(const ScanResult& scan) {
  if (!scan.foreign.empty())
    return failure({Errc::kUnsupported},
                   fmt::format("{} holds {}; start the newer penstock that wrote it", ring_path_, scan.foreign));
  if (never_issued_ > 0)
    return failure(
        {Errc::kCorrupt},
        fmt::format("{} holds {} batches of logs that this folder's metadata never issued: ring and metadata are "
                    "not from the same folder; put back the metadata.sqlite that belongs to it",
                    ring_path_, never_issued_));
  if (out_of_order_)
    return failure({Errc::kCorrupt},
                   fmt::format("{}: offsets of a partition do not follow each other; restore the file "
                               "from a copy of the drive",
                               ring_path_));
  if (scan.row->verdict == Verdict::kDamaged && !scan.accepted) {
    std::string ends;
    size_t named = 0;
    for (const auto& [id, log] : impl_->logs)
      if (named++ < 8) ends += fmt::format(" log {} from offset {}", id.value(), log->log_end_offset.value());
    return failure(
        {Errc::kCorrupt},
        fmt::format("{} is damaged at lsn {} ({}); acknowledged records behind it would be lost:{}{}. Restore the "
                    "drive from a copy, or accept the loss with --accept-loss-at {}",
                    ring_path_, scan.head.value(), scan.row->why, ends, named > 8 ? " ..." : "", scan.head.value()));
  }
  LOG_INFO("%s: %llu frames, %llu batches recovered, %llu of deleted logs skipped; end at lsn %llu: %.*s",
           ring_path_.c_str(), static_cast<unsigned long long>(scan.frames), static_cast<unsigned long long>(batches_),
           static_cast<unsigned long long>(skipped_), static_cast<unsigned long long>(scan.head.value()),
           static_cast<int>(scan.row->why.size()), scan.row->why.data());
  return {};
}

// A durable slot of the new generation comes first: it makes the end that was found the end for good. Then a frame of
// it, if there is room for one that is kept for nothing better.
std::expected<void, OpenFailure> Opener::open_generation(const ScanResult& scan) {
  Store::Impl& s = *impl_;
  s.last_state.generation = scan.generation + 1;
  s.last_state.knows_head = true;
  s.last_state.clean_stop = false;
  s.ring = std::make_unique<RingWriter>(
      RingWriter::Parts{.disk = disk_,
                        .file = s.ring_file,
                        .clock = s.clock,
                        .counters = s.counters,
                        .memory = RingMemory(memory_),
                        .seal_after = request_.options.ring_seal_ms * kMillisecond,
                        .unflushed_max = static_cast<uint64_t>(request_.options.unflushed_max_bytes)},
      RingStart{s.last_state.tail, scan.head, scan.previous_crc, scan.generation + 1, s.last_state.ring_id});
  s.encoder = std::make_unique<SlotEncoder>(disk_.block_bytes());
  s.state = std::make_unique<StateWriter>(disk_, s.state_files[0], s.state_files[1]);
  s.write_state();
  const auto wait = [&](auto&& done_when) {
    for (DiskOp* done = nullptr; !done_when();) {
      if (disk_.poll({&done, 1}) == 0)
        disk_.wait(kSecond);
      else
        CHECK(s.state->complete(*done) || s.ring->complete(*done));
    }
  };
  wait([&] { return !s.state->busy(); });
  if (s.state->failed()) return io_failure({Errc::kIo}, "write", state_paths_[s.last_state.sequence % 2]);
  if (!s.ring->room_to_open()) {
    s.ring->open_by_state();
    return {};
  }
  s.ring->open_generation();
  s.ring->submit();
  wait([&] { return s.ring->durable() != scan.head || s.ring->failed(); });
  if (s.ring->failed()) return io_failure({Errc::kIo}, "write", ring_path_);
  return {};
}

// The state is in files of this version now.
std::expected<void, OpenFailure> Opener::drop_old_state() {
  if (!old_state_) return {};
  if (auto done = disk_.unlink(old_state_path_); !done) return io_failure(done.error(), "remove", old_state_path_);
  if (auto done = disk_.sync_dir(request_.folder); !done) return io_failure(done.error(), "sync", request_.folder);
  return {};
}

}  // namespace

std::expected<std::unique_ptr<Store>, OpenFailure> Store::open(StoreRequest request) {
  auto impl = Opener(request).open();
  if (!impl) return std::unexpected(std::move(impl.error()));
  return std::unique_ptr<Store>(new Store(std::move(*impl)));
}

}  // namespace penstock::storage
