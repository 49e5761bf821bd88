// The files of Store::open: the ring and its two state slots, made or found.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/log.h"
#include "storage/segment/segment_path.h"
#include "storage/store_opener.h"

namespace penstock::storage {
namespace {

using Failure = Opener::Failure;

constexpr size_t kReadsAtOnce = 8;  // one at a time leaves the drive idle between two

// A line for each GiB that a start has to move, so that nobody takes it for stuck.
void tell_progress(const char* what, uint64_t at, uint64_t all) {
  if (at > 0 && at % kGiB == 0)
    LOG_INFO("%llu of %llu GiB %s", static_cast<unsigned long long>(at / kGiB),
             static_cast<unsigned long long>(all / kGiB), what);
}

}  // namespace

Error error_of(int64_t result) {
  const auto code = static_cast<int32_t>(-std::min<int64_t>(result, 0));
  return {code == 0 ? Errc::kShort : Errc::kIo, code};
}

Opener::Failure open_failure(Error error, std::string what) { return Failure(OpenFailure{error, std::move(what)}); }

Opener::Failure io_failure(Error error, std::string_view doing, std::string_view path) {
  const std::string_view hint =
      error.code == Errc::kNoSpace        ? "free some space, or choose a smaller penstock.ring.bytes"
      : error.code == Errc::kUnsupported  ? "choose a data folder on a local file system with direct I/O (ext4, XFS)"
      : error.code == Errc::kNoPermission ? hint_to_write(error)
                                          : "check the drive and its file system";
  return open_failure(error, fmt::format("cannot {} {}: {}{}; {}", doing, path, reason_of(error),
                                         error.os_errno ? fmt::format(" (errno {})", error.os_errno) : "", hint));
}

Opener::Failure no_memory(std::string_view setting, uint64_t bytes) {
  return open_failure(
      {Errc::kNoSpace},
      fmt::format("no memory for the {} MiB of {}; free some, or choose a smaller one", bytes / kMiB, setting));
}

Opener::Failure Opener::stopped() const {
  return open_failure({Errc::kWouldBlock}, fmt::format("opening {} was ended by a stop; start again", ring_path_));
}

std::span<std::byte> aligned(std::vector<std::byte>& holder, size_t bytes, size_t block) {
  holder.resize(bytes + block);
  const auto address = reinterpret_cast<uintptr_t>(holder.data());
  return {holder.data() + (align_up(address, block) - address), bytes};
}

Opener::~Opener() {
  if (begun_) return;
  for (const StateWriter::File& state : state_files_)
    if (state.file != FileHandle{}) disk_.close(state.file);
}

Opener::Opener(StoreRequest& request)
    : request_(request),
      disk_(*request.disk),
      ring_path_(fmt::format("{}/ring-{}", request.folder, request.ring_index)),
      making_path_(ring_path_ + ".making"),
      state_paths_{ring_path_ + ".state-0", ring_path_ + ".state-1"},
      old_state_path_(ring_path_ + ".state") {}

std::expected<std::unique_ptr<Store::Impl>, OpenFailure> Opener::open() {
  Store::Impl::Buffers buffers(request_);
  if (buffers.cold.empty())
    return no_memory("penstock.read.cache.bytes", static_cast<uint64_t>(request_.options.read_cache_bytes));
  if (buffers.staging.span().empty() || buffers.scrub.span().empty())
    return open_failure({Errc::kNoSpace}, fmt::format("no memory for {}'s buffers of {} MiB; free some", ring_path_,
                                                      (Destager::memory_bytes() + Scrubber::kReadBytes) / kMiB));
  impl_ = std::make_unique<Store::Impl>(request_, std::move(buffers));
  constexpr Step (Opener::* kSteps[])() = {&Opener::refuse_foreign_segments,
                                           &Opener::make_ring,
                                           &Opener::open_files,
                                           &Opener::read_state,
                                           &Opener::register_ring,
                                           &Opener::read_ring,
                                           &Opener::replay,
                                           &Opener::mend_segments,
                                           &Opener::begin_life,
                                           &Opener::drop_old_state};
  for (const auto step : kSteps) {
    if (!begun_ && is_stopped()) return stopped();
    if (auto done = (this->*step)(); !done) return Failure(done.error());
  }
  impl_->shard.counters.set(Metric::ring_capacity_bytes, memory_.size());
  impl_->update_gauges();
  return std::move(impl_);
}

// The metadata commits a log's id before anything of the log is written. So segments of an id that is still to come are
// of another metadata's log, and the topic that gets this id would be written over them.
Opener::Step Opener::refuse_foreign_segments() {
  const std::string logs = logs_path(request_.folder);
  const auto names = disk_.list(logs);
  if (!names && names.error().code == Errc::kNotFound) return {};
  if (!names) return io_failure(names.error(), "read", logs);
  for (const std::string& name : *names) {
    const auto log = parse_log_name(name);
    if (!log || *log < request_.next_log_id) continue;
    const bool lives = std::ranges::find(request_.live_logs, *log, &LogToOpen::id) != request_.live_logs.end();
    if (lives) continue;
    const std::string path = log_path(request_.folder, *log);
    const auto files = disk_.list(path);
    if (!files) return io_failure(files.error(), "read", path);
    const auto is_segment = [](const std::string& file) { return parse_segment_name(file).has_value(); };
    if (std::ranges::none_of(*files, is_segment)) continue;
    return open_failure({Errc::kCorrupt},
                        fmt::format("{} holds segments of a log that this folder's metadata never issued: segments and "
                                    "metadata are not from the same folder; put back the metadata.sqlite that belongs "
                                    "to them",
                                    path));
  }
  return {};
}

// The ring bears its name only once it and its state are whole and durable: a crash before that leaves a .making, which
// the next start throws away.
Opener::Step Opener::make_ring() {
  const auto names = disk_.list(request_.folder);
  if (!names) return io_failure(names.error(), "read the data folder", request_.folder);
  const auto exists = [&](const std::string& path) {
    return std::ranges::find(*names, path.substr(request_.folder.size() + 1)) != names->end();
  };
  old_state_ = exists(old_state_path_);
  if (exists(ring_path_)) return {};
  if (!request_.live_logs.empty())
    return open_failure(
        {Errc::kNotFound},
        fmt::format("{} is missing, but the metadata names {} partitions that are kept in it; put the file back "
                    "from the drive that has it, or delete those topics' metadata with the data folder",
                    ring_path_, request_.live_logs.size()));
  // A large one takes minutes to write: there is memory for it, or it is not begun.
  const uint64_t ring_bytes = align_up(static_cast<uint64_t>(request_.options.ring_bytes), kChunkBytes);
  if (auto done = take_memory(ring_bytes); !done) return done;
  if (auto done = write_new_ring(ring_bytes); !done) return done;
  if (auto done = disk_.sync_dir(request_.folder); !done) return io_failure(done.error(), "sync", request_.folder);
  if (auto done = disk_.rename(making_path_, ring_path_); !done) return io_failure(done.error(), "name", ring_path_);
  if (auto done = disk_.sync_dir(request_.folder); !done) return io_failure(done.error(), "sync", request_.folder);
  return {};
}

Opener::Step Opener::write_new_ring(uint64_t ring_bytes) {
  LOG_INFO("making the write-ahead ring %s: %llu MiB, written full once", ring_path_.c_str(),
           static_cast<unsigned long long>(ring_bytes / kMiB));
  const auto ring = disk_.open(making_path_, {.create = true});
  if (!ring) return io_failure(ring.error(), "make", making_path_);
  if (auto done = disk_.resize(*ring, 0); !done) return io_failure(done.error(), "empty", making_path_);
  const auto zeros = aligned(scratch_, kChunkBytes, disk_.block_bytes());
  for (uint64_t at = 0; at < ring_bytes; at += kChunkBytes) {
    if (is_stopped()) {
      disk_.close(*ring);
      (void)disk_.unlink(making_path_);  // the next start empties it if it is still there
      return stopped();
    }
    DiskOp write{.kind = DiskOp::Kind::kWrite, .file = *ring, .at = at, .memory = zeros};
    if (auto done = run_to_end(disk_, write); !done) return io_failure(done.error(), "write", making_path_);
    tell_progress("written", at, ring_bytes);
  }
  DiskOp flush{.kind = DiskOp::Kind::kFlush, .file = *ring};
  if (auto done = run_to_end(disk_, flush); !done) return io_failure(done.error(), "flush", making_path_);
  disk_.close(*ring);
  return write_new_state(ring_bytes);
}

Opener::Step Opener::write_new_state(uint64_t ring_bytes) {
  RingState first{.ring_bytes = ring_bytes};
  request_.prng->fill(std::as_writable_bytes(std::span(first.ring_id)));
  SlotEncoder encoder(disk_.block_bytes());
  for (; first.sequence < 2; ++first.sequence) {
    const std::string& path = state_paths_[first.sequence];
    const auto state = disk_.open(path, {.create = true});
    if (!state) return io_failure(state.error(), "make", path);
    if (auto done = disk_.resize(*state, kSlotBytesMin); !done) return io_failure(done.error(), "size", path);
    encoder.begin();
    DiskOp write{.kind = DiskOp::Kind::kWrite, .file = *state, .memory = encoder.finish(first)};
    if (auto done = run_to_end(disk_, write); !done) return io_failure(done.error(), "write", path);
    DiskOp flush{.kind = DiskOp::Kind::kFlush, .file = *state};
    if (auto done = run_to_end(disk_, flush); !done) return io_failure(done.error(), "flush", path);
    disk_.close(*state);
  }
  return {};
}

// What was written before may still be in a drive's cache: it is made durable before anything is decided on it.
Opener::Step Opener::open_file(const std::string& path, bool create, FileHandle& file) {
  const auto opened = disk_.open(path, {.create = create});
  if (!opened) return io_failure(opened.error(), "open", path);
  file = *opened;
  DiskOp flush{.kind = DiskOp::Kind::kFlush, .file = file};
  if (auto done = run_to_end(disk_, flush); !done) return io_failure(done.error(), "flush", path);
  return {};
}

Opener::Step Opener::open_files() {
  if (auto done = open_file(ring_path_, false, impl_->ring_file); !done) return done;
  for (size_t i = 0; i < state_paths_.size(); ++i) {
    StateWriter::File& state = state_files_[i];
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

Opener::Step Opener::read_old_state(std::optional<RingState>& newest) {
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

Opener::Step Opener::read_state() {
  std::optional<RingState> newest;
  if (old_state_)
    if (auto done = read_old_state(newest); !done) return done;
  int whole = 0;
  uint64_t first_sequence = 0;
  RingId first_id{};
  for (size_t i = 0; i < state_paths_.size(); ++i) {
    const auto bytes = read_file(state_files_[i].file, state_paths_[i]);
    if (!bytes) return Failure(bytes.error());
    auto slot = decode_slot(*bytes);
    if (!slot) continue;
    if (whole++ == 0) {
      first_sequence = slot->ring.sequence;
      first_id = slot->ring.ring_id;
    } else if (slot->ring.ring_id != first_id) {
      return open_failure({Errc::kCorrupt},
                          fmt::format("{} and {} are of different rings: files of two rings or folders were mixed; put "
                                      "back those that belong to {}",
                                      state_paths_[0], state_paths_[1], ring_path_));
    }
    both_slots_whole_ =
        whole == 2 && (slot->ring.sequence == first_sequence + 1 || first_sequence == slot->ring.sequence + 1);
    if (newest && slot->ring.sequence <= newest->sequence) continue;
    newest = slot->ring;
    log_states_ = std::move(slot->logs);
  }
  if (!newest)
    return open_failure({Errc::kCorrupt},
                        fmt::format("both state slots of {} are damaged: where the needed part of the ring "
                                    "begins is not known; restore {} and {} from a copy of the drive",
                                    ring_path_, state_paths_[0], state_paths_[1]));
  const auto size = disk_.size(impl_->ring_file);
  if (!size) return io_failure(size.error(), "read the size of", ring_path_);
  if (*size != newest->ring_bytes)
    return open_failure({Errc::kCorrupt},
                        fmt::format("{} has {} bytes, its state says {}; restore the file from a copy of the "
                                    "drive",
                                    ring_path_, *size, newest->ring_bytes));
  state_ = *newest;
  if (newest->ring_bytes != align_up(static_cast<uint64_t>(request_.options.ring_bytes), kChunkBytes))
    LOG_INFO("%s keeps its size of %llu MiB; penstock.ring.bytes counts when a ring is made", ring_path_.c_str(),
             static_cast<unsigned long long>(newest->ring_bytes / kMiB));
  return {};
}

Opener::Step Opener::take_memory(uint64_t ring_bytes) {
  memory_ = request_.allocate(ring_bytes);
  if (memory_.size() == ring_bytes) return {};
  return open_failure({Errc::kNoSpace}, fmt::format("no memory for the ring's {} MiB; free some, or make a data folder "
                                                    "with a smaller penstock.ring.bytes",
                                                    ring_bytes / kMiB));
}

// A ring that was there says itself how large it is; the memory of a new one is there.
Opener::Step Opener::register_ring() {
  if (memory_.empty())
    if (auto done = take_memory(state_.ring_bytes); !done) return done;
  CHECK(memory_.size() == state_.ring_bytes);
  disk_.register_memory(memory_);
  return {};
}

// After a clean stop the ring holds nothing that is needed: two blocks tell whether it still ends where it stopped.
bool Opener::stopped_cleanly() {
  if (!both_slots_whole_ || !state_.clean_stop) return false;
  const uint32_t block = disk_.block_bytes();
  const RingMemory ring(memory_);
  const Lsn before = state_.head == Lsn{0} ? Lsn{0} : Lsn{state_.head.value() - block};
  std::array<DiskOp, 2> reads;
  const std::array places{before, state_.head};
  for (size_t i = 0; i < places.size(); ++i)
    reads[i] = {.file = impl_->ring_file, .at = ring.place(places[i]), .memory = ring.span(places[i], block)};
  if (!run_all_to_end(disk_, reads)) return false;
  return clean_stop_holds(state_, reads[0].memory, reads[1].memory);
}

Opener::Step Opener::read_ring() {
  clean_ = stopped_cleanly();
  if (clean_) return {};
  for (uint64_t at = 0; at < memory_.size(); at += kReadsAtOnce * kChunkBytes) {
    if (is_stopped()) return stopped();
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

// The state is in files of this version now.
Opener::Step Opener::drop_old_state() {
  if (!old_state_) return {};
  if (auto done = disk_.unlink(old_state_path_); !done) return io_failure(done.error(), "remove", old_state_path_);
  if (auto done = disk_.sync_dir(request_.folder); !done) return io_failure(done.error(), "sync", request_.folder);
  return {};
}

std::expected<std::unique_ptr<Store>, OpenFailure> Store::open(StoreRequest request) {
  auto impl = Opener(request).open();
  if (!impl) return std::unexpected(std::move(impl.error()));
  return std::unique_ptr<Store>(new Store(std::move(*impl)));
}

}  // namespace penstock::storage
