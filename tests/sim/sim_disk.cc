#include "tests/sim/sim_disk.h"

#include <algorithm>
#include <cerrno>
#include <limits>

#include "base/assert.h"
#include "base/crc32c.h"
#include "storage/io/file_ops.h"

namespace penstock::sim {

using storage::DiskOp;
using storage::FileHandle;

SimDisk::SimDisk(SimClock& clock, uint64_t seed) : clock_(clock), prng_(seed, 0xd15c) {}

void SimDisk::put(std::vector<std::byte>& file, uint64_t at, std::span<const std::byte> bytes) {
  if (file.size() < at + bytes.size()) file.resize(at + bytes.size());
  std::ranges::copy(bytes, file.begin() + static_cast<int64_t>(at));
}

// ---------------------------------------------------------------- names

Result<FileHandle> SimDisk::open(std::string_view path, storage::OpenMode mode) {
  if (off_) return fail(Errc::kIo, EIO);
  const std::string name(path);
  const auto it = names_.find(name);
  if (it != names_.end() && mode.create && mode.exclusive) return fail(Errc::kExists, EEXIST);
  if (it == names_.end()) {
    if (!mode.create) return fail(Errc::kNotFound, ENOENT);
    unsynced_names_.push_back(names_);
    names_[name] = std::make_shared<Inode>();
  }
  const int32_t handle = next_handle_++;
  handles_[handle] = names_[name];
  return FileHandle{handle};
}

void SimDisk::close(FileHandle file) { handles_.erase(file.value()); }

Result<uint64_t> SimDisk::size(FileHandle file) { return handles_.at(file.value())->visible.size(); }

Result<void> SimDisk::resize(FileHandle file, uint64_t bytes) {
  if (off_) return fail(Errc::kIo, EIO);
  Inode& inode = *handles_.at(file.value());
  inode.visible.resize(bytes);
  if (prng_.one_in(2)) inode.durable.resize(bytes);  // the journal may have committed, or not
  return {};
}

Result<void> SimDisk::lock(FileHandle) { return {}; }
Result<void> SimDisk::make_dir(std::string_view) { return {}; }

Result<void> SimDisk::rename(std::string_view from, std::string_view to) {
  if (off_) return fail(Errc::kIo, EIO);
  const auto it = names_.find(std::string(from));
  if (it == names_.end()) return fail(Errc::kNotFound, ENOENT);
  unsynced_names_.push_back(names_);
  names_[std::string(to)] = it->second;
  names_.erase(std::string(from));
  return {};
}

Result<void> SimDisk::unlink(std::string_view path) {
  if (off_) return fail(Errc::kIo, EIO);
  if (!names_.contains(std::string(path))) return fail(Errc::kNotFound, ENOENT);
  unsynced_names_.push_back(names_);
  names_.erase(std::string(path));
  return {};
}

Result<void> SimDisk::sync_dir(std::string_view) {
  if (off_) return fail(Errc::kIo, EIO);
  unsynced_names_.clear();
  return {};
}

Result<std::vector<std::string>> SimDisk::list(std::string_view path) {
  std::vector<std::string> found;
  const std::string prefix = std::string(path) + "/";
  for (const auto& [name, inode] : names_)
    if (name.starts_with(prefix)) found.push_back(name.substr(prefix.size()));
  return found;
}

// ---------------------------------------------------------------- ops

void SimDisk::arm_faults(InFlight& flight) {
  flight.fails = hits(faults_.fail_write_in);
  flight.comes_short = hits(faults_.short_write_in);
  if (flight.op->kind != DiskOp::Kind::kWriteDurable) return;
  flight.lies = hits(faults_.lie_in);
  if (hits(faults_.misdirect_write_in) && flight.inode->visible.size() >= kMiB)
    flight.at = (flight.at + kMiB) % flight.inode->visible.size();
}

void SimDisk::submit(DiskOp& op) {
  CHECK(!op.in_flight);
  if (!off_ && hits(faults_.power_off_in)) lose_power();
  op.in_flight = true;
  op.punted = false;
  InFlight flight{
      .op = &op,
      .inode = off_ ? nullptr : handles_.at(op.file.value()),
      .completes_at = clock_.monotonic() + static_cast<Nanos>(prng_.between(static_cast<uint64_t>(faults_.delay_min),
                                                                            static_cast<uint64_t>(faults_.delay_max))),
      .submitted_order = ++order_,
      .bytes = {},
      .at = op.at,
      .dead = off_};
  note(static_cast<uint64_t>(op.kind) * 31 + op.at + op.memory.size());
  if (!off_ && (op.kind == DiskOp::Kind::kWrite || op.kind == DiskOp::Kind::kWriteDurable)) {
    note(crc32c(0, op.memory));
    flight.bytes.assign(op.memory.begin(), op.memory.end());
    op.punted = prng_.chance(faults_.punt_percent);
    arm_faults(flight);
  }
  in_flight_.push_back(std::move(flight));
}

void SimDisk::complete(InFlight& flight) {
  DiskOp& op = *flight.op;
  op.in_flight = false;
  if (flight.dead) {
    op.result = -EIO;
    return;
  }
  Inode& inode = *flight.inode;
  op.result = static_cast<int64_t>(op.memory.size());
  switch (op.kind) {
    case DiskOp::Kind::kRead: {
      const uint64_t have = inode.visible.size() > op.at ? inode.visible.size() - op.at : 0;
      const uint64_t n = std::min<uint64_t>(op.memory.size(), have);
      std::copy_n(inode.visible.begin() + static_cast<int64_t>(op.at), n, op.memory.begin());
      op.result = static_cast<int64_t>(n);
      return;
    }
    case DiskOp::Kind::kFlush: {
      op.result = 0;
      std::erase_if(inode.unsynced, [&](const Write& write) {
        if (write.completed_order > flight.submitted_order) return false;
        put(inode.durable, write.at, write.bytes);
        return true;
      });
      if (inode.durable.size() < inode.visible.size()) inode.durable.resize(inode.visible.size());
      return;
    }
    case DiskOp::Kind::kWrite:
    case DiskOp::Kind::kWriteDurable: break;
  }
  if (faults_.full && flight.at + flight.bytes.size() > inode.visible.size()) {
    op.result = -ENOSPC;
    return;
  }
  if (flight.comes_short) flight.bytes.resize(flight.bytes.size() / 2);
  put(inode.visible, flight.at, flight.bytes);
  if (op.kind == DiskOp::Kind::kWriteDurable && !flight.lies && !flight.fails)
    put(inode.durable, flight.at, flight.bytes);
  else
    inode.unsynced.push_back({flight.at, std::move(flight.bytes), ++order_});
  if (flight.comes_short) op.result /= 2;
  if (flight.fails) op.result = -EIO;
}

size_t SimDisk::poll(std::span<DiskOp*> done) {
  size_t count = 0;
  while (count < done.size()) {
    const auto next = std::ranges::min_element(in_flight_, {}, &InFlight::completes_at);
    if (next == in_flight_.end() || next->completes_at > clock_.monotonic()) break;
    done[count++] = next->op;
    note(static_cast<uint64_t>(next->completes_at));
    complete(*next);
    in_flight_.erase(next);
  }
  return count;
}

Nanos SimDisk::next_completion() const {
  const auto next = std::ranges::min_element(in_flight_, {}, &InFlight::completes_at);
  return next == in_flight_.end() ? std::numeric_limits<Nanos>::max() : next->completes_at;
}

void SimDisk::wait(Nanos timeout) { clock_.advance_to(std::min(next_completion(), clock_.monotonic() + timeout)); }

Result<void> SimDisk::allocate(FileHandle file, uint64_t bytes) {
  return resize(file, std::max<uint64_t>(bytes, *size(file)));
}
Result<void> SimDisk::remove_dir(std::string_view) { return {}; }
Result<void> SimDisk::flush_all(std::string_view) { return {}; }
Result<uint64_t> SimDisk::free_bytes(std::string_view) { return 1024 * kGiB; }
void SimDisk::submit(storage::FileOp& op) {
  storage::perform(*this, op);
  files_done_.push_back(&op);
}
size_t SimDisk::poll(std::span<storage::FileOp*> done) {
  const size_t count = std::min(done.size(), files_done_.size());
  std::copy_n(files_done_.begin(), count, done.begin());
  files_done_.erase(files_done_.begin(), files_done_.begin() + static_cast<int64_t>(count));
  return count;
}

// ---------------------------------------------------------------- faults

void SimDisk::apply_torn(Inode& inode, const Write& write) {
  constexpr uint64_t kPage = 4096, kSector = 512;
  const uint64_t fate = prng_.below(4);  // a whole write kept or lost is as likely as a torn one
  if (fate == 0) return;
  if (fate == 1) return put(inode.durable, write.at, write.bytes);
  const std::span<const std::byte> bytes(write.bytes);
  for (uint64_t page = 0; page < bytes.size(); page += kPage) {
    const uint64_t end = std::min<uint64_t>(page + kPage, bytes.size());
    const uint64_t page_fate = prng_.below(fate == 2 ? 2 : 3);  // kept, lost, or torn
    if (page_fate == 1) continue;
    for (uint64_t at = page; at < end; at += kSector)
      if (page_fate == 0 || prng_.one_in(2))
        put(inode.durable, write.at + at, bytes.subspan(at, std::min<uint64_t>(kSector, end - at)));
  }
}

void SimDisk::lose_power() {
  if (off_) return;
  off_ = true;
  note(0xc4a5);
  std::map<InodePtr, std::vector<Write>> lost;
  for (const auto& [name, inode] : names_) lost[inode] = inode->unsynced;
  for (InFlight& flight : in_flight_) {
    if (!flight.bytes.empty()) lost[flight.inode].push_back({flight.at, std::move(flight.bytes)});
    flight.dead = true;
  }
  const uint64_t keep = prng_.below(unsynced_names_.size() + 1);  // of the changes of names, a prefix
  if (keep < unsynced_names_.size()) names_ = unsynced_names_[keep];
  unsynced_names_.clear();
  for (const auto& [name, inode] : names_) {  // by name: the order of pointers would not replay
    auto& writes = lost[inode];
    for (size_t i = writes.size(); i > 1; --i) std::swap(writes[i - 1], writes[prng_.below(i)]);
    for (const Write& write : writes) apply_torn(*inode, write);
    writes.clear();
    inode->unsynced.clear();
    inode->visible = inode->durable;
  }
}

void SimDisk::power_on() {
  off_ = false;
  faults_.power_off_in = 0;
  in_flight_.clear();
  handles_.clear();
}

void SimDisk::flip_bit(const std::string& path, uint64_t at, unsigned bit) {
  Inode& inode = *names_.at(path);
  inode.visible.at(at) ^= static_cast<std::byte>(1u << bit);
  inode.durable.at(at) ^= static_cast<std::byte>(1u << bit);
}

std::span<const std::byte> SimDisk::contents(const std::string& path) const { return names_.at(path)->visible; }

}  // namespace penstock::sim
