// The simulated disk's names, sizes and FileOps.
#include <algorithm>
#include <cerrno>

#include "base/assert.h"
#include "base/crc32c.h"
#include "storage/io/file_ops.h"
#include "tests/sim/sim_disk.h"

namespace penstock::sim {

using storage::FileHandle;
using storage::FileOp;

namespace {

constexpr uint64_t kNoLimit = 1024 * kGiB;  // what a disk without a limit says is free

uint32_t crc_of(const std::string& text) { return crc32c(0, std::as_bytes(std::span(text))); }

}  // namespace

// ---------------------------------------------------------------- blocking forms

Result<FileHandle> SimDisk::open(std::string_view path, storage::OpenMode mode) {
  CHECK(!mode.read_only || !mode.create);
  if (off_) return fail(Errc::kIo, EIO);
  if (faults_.no_descriptors) return fail(Errc::kFull, EMFILE);
  if (!faults_.fail_opens_under.empty() && path.starts_with(faults_.fail_opens_under))
    return fail(Errc::kNoPermission, EACCES);
  auto file = names_.find(path);
  if (file && mode.create && mode.exclusive) return fail(Errc::kExists, EEXIST);
  if (!file && file.error().code == Errc::kNotFound && mode.create) file = names_.add_file(path, ++order_);
  const int32_t handle = next_handle_++;
  handles_[handle] = {TRY(std::move(file)), mode.direct, mode.read_only};
  return FileHandle{handle};
}

void SimDisk::close(FileHandle file) { handles_.erase(file.value()); }

Result<uint64_t> SimDisk::size(FileHandle file) {
  if (off_) return fail(Errc::kIo, EIO);
  return file_of(file)->size();
}

Result<void> SimDisk::resize(FileHandle file, uint64_t bytes) {
  if (off_) return fail(Errc::kIo, EIO);
  CHECK(!handles_.at(file.value()).read_only);
  if (!may_grow(*file_of(file), bytes)) return fail(Errc::kNoSpace, ENOSPC);
  file_of(file)->resize(bytes, ++order_);
  return {};
}

Result<void> SimDisk::allocate(FileHandle file, uint64_t bytes) {
  return resize(file, std::max(bytes, TRY(size(file))));
}

Result<void> SimDisk::lock(FileHandle) { return {}; }

Result<void> SimDisk::make_dir(std::string_view path) {
  if (off_) return fail(Errc::kIo, EIO);
  return names_.add_folder(path, ++order_);
}

void SimDisk::make_durable_dir(std::string_view path) {
  make_dir(path).value();
  sync_dir(path.substr(0, path.find('/') == path.npos ? 0 : path.rfind('/'))).value();
}

Result<void> SimDisk::remove_dir(std::string_view path) {
  if (off_) return fail(Errc::kIo, EIO);
  return names_.remove_folder(path, ++order_);
}

Result<void> SimDisk::rename(std::string_view from, std::string_view to) {
  if (off_) return fail(Errc::kIo, EIO);
  return names_.rename_file(from, to, ++order_);
}

Result<void> SimDisk::unlink(std::string_view path) {
  if (off_) return fail(Errc::kIo, EIO);
  return names_.remove_file(path, ++order_);
}

Result<void> SimDisk::sync_dir(std::string_view path) {
  if (off_) return fail(Errc::kIo, EIO);
  return names_.sync(path);
}

Result<std::vector<std::string>> SimDisk::list(std::string_view path) {
  if (off_) return fail(Errc::kIo, EIO);
  return names_.list(path);
}

Result<void> SimDisk::flush_all(std::string_view path) {
  if (off_) return fail(Errc::kIo, EIO);
  if (faults_.no_descriptors) return fail(Errc::kFull, EMFILE);
  if (!names_.is_folder(path)) return fail(Errc::kNotFound, ENOENT);
  return flush_all_until(order_, next_flush_fate());
}

Result<void> SimDisk::flush_all_until(Order until, FlushFate fate) {
  names_.each_file([&](const SimFilePtr& file) { flush(*file, until, fate); });
  if (fate == FlushFate::kFails) return fail(Errc::kIo, EIO);
  if (fate == FlushFate::kDone)
    names_.sync_all(until);
  else
    names_.promise_all(until);
  return {};
}

Result<uint64_t> SimDisk::free_bytes(std::string_view path) {
  if (off_) return fail(Errc::kIo, EIO);
  if (!names_.is_folder(path)) return fail(Errc::kNotFound, ENOENT);
  if (faults_.capacity_bytes == 0) return kNoLimit;
  return faults_.capacity_bytes - std::min(faults_.capacity_bytes, allocated_bytes());
}

// ---------------------------------------------------------------- FileOps

void SimDisk::submit(FileOp& op) {
  CHECK(!op.in_flight);
  CHECK(files_in_flight_.size() < kFileOpsInFlightMax);
  submitted_ += 1;
  const bool power_goes = !off_ && hits(faults_.power_off_in);
  if (power_goes && !faults_.power_off_behind) lose_power();
  // A number that is closed is given again: what is still on its way would go to another file.
  if (op.kind == FileOp::Kind::kClose)
    CHECK(std::ranges::none_of(in_flight_, [&](auto& flight) { return !flight.dead && flight.op->file == op.file; }));
  op.in_flight = true;
  Nanos begins_at = clock_.monotonic();
  if (!files_in_flight_.empty()) begins_at = std::max(begins_at, files_in_flight_.back().completes_at);
  FileInFlight flight{.op = &op,
                      .asked = op,
                      .completes_at = begins_at + random_delay() * (faults_.slow_under.empty() ? faults_.slow_disk : 1),
                      .submitted = ++order_,
                      .flush = {},
                      .dead = off_};
  note(static_cast<uint64_t>(op.kind) * 37 + crc_of(op.path) + crc_of(op.to) + op.bytes);
  if (!off_ && op.kind == FileOp::Kind::kFlushAll) flight.flush = next_flush_fate();
  files_in_flight_.push_back(std::move(flight));
  if (power_goes) lose_power();
}

size_t SimDisk::poll(std::span<FileOp*> done) {
  size_t count = 0;
  for (; count < done.size() && !files_in_flight_.empty(); files_in_flight_.pop_front()) {
    const FileInFlight& flight = files_in_flight_.front();
    if (flight.completes_at > clock_.monotonic()) break;
    FileOp& op = *flight.op;
    note(static_cast<uint64_t>(flight.completes_at));
    if (flight.dead)
      op.error = Error{Errc::kIo, EIO};
    else
      perform(op, flight);
    op.in_flight = false;
    done[count++] = &op;
  }
  return count;
}

void SimDisk::perform(FileOp& op, const FileInFlight& flight) {
  // What completed while it was on its way is not promised.
  if (op.kind != FileOp::Kind::kFlushAll || !names_.is_folder(op.path)) return storage::perform(*this, op);
  op.error.reset();
  if (faults_.no_descriptors) {
    op.error = Error{Errc::kFull, EMFILE};
    return;
  }
  if (auto done = flush_all_until(flight.submitted, flight.flush); !done) op.error = done.error();
}

}  // namespace penstock::sim
