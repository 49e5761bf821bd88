// DiskOps, power and faults. Names, sizes and FileOps: sim_disk_files.cc.
#include "tests/sim/sim_disk.h"

#include <algorithm>
#include <cerrno>
#include <limits>
#include <set>

#include "base/assert.h"
#include "base/crc32c.h"

namespace penstock::sim {

using storage::DiskOp;

SimDisk::SimDisk(SimClock& clock, uint64_t seed) : clock_(clock), prng_(seed, 0xd15c) {}

Nanos SimDisk::random_delay() {
  const auto delay = prng_.between(static_cast<uint64_t>(faults_.delay_min), static_cast<uint64_t>(faults_.delay_max));
  return static_cast<Nanos>(delay);
}

Nanos SimDisk::delay_of(const DiskOp& op) {
  const Nanos delay = random_delay();
  if (faults_.slow_disk == 1 || off_) return delay;
  const std::string& slow = faults_.slow_under;
  return slow.empty() || names_.path_of(file_of(op.file)).starts_with(slow) ? delay * faults_.slow_disk : delay;
}

// ---------------------------------------------------------------- ops

void SimDisk::arm_faults(InFlight& flight) {
  switch (flight.op->kind) {
    case DiskOp::Kind::kRead: flight.fails = hits(faults_.read_eio_in) || is_bad_place(flight); return;
    case DiskOp::Kind::kFlush: flight.flush = next_flush_fate(); return;
    case DiskOp::Kind::kWrite:
    case DiskOp::Kind::kWriteDurable: break;
  }
  const bool counts =
      faults_.write_faults_under.empty() || ((faults_.fail_write_in > 0 || faults_.short_write_in > 0) &&
                                             names_.path_of(flight.file).starts_with(faults_.write_faults_under));
  flight.fails = counts && hits(faults_.fail_write_in);
  if (!faults_.fail_writes_always.empty() && names_.path_of(flight.file).starts_with(faults_.fail_writes_always))
    flight.fails = true;
  flight.comes_short = counts && hits(faults_.short_write_in);
  if (flight.op->kind != DiskOp::Kind::kWriteDurable) return;
  flight.lies = hits(faults_.lie_in);
  if (hits(faults_.misdirect_write_in) && flight.file->size() >= kMiB)
    flight.at = (flight.at + kMiB) % flight.file->size();
}

SimDisk::FlushFate SimDisk::next_flush_fate() {
  const bool fails = hits(faults_.flush_fails_in);
  const bool lies = hits(faults_.flush_lies_in);
  return fails ? FlushFate::kFails : lies ? FlushFate::kLies : FlushFate::kDone;
}

bool SimDisk::is_bad_place(const InFlight& flight) const {
  if (faults_.fail_reads.empty()) return false;
  const std::string path = names_.path_of(flight.file);
  return std::ranges::any_of(faults_.fail_reads, [&](const DiskFaults::BadPlace& bad) {
    return bad.path == path && flight.at < bad.at + bad.bytes && bad.at < flight.at + flight.op->memory.size();
  });
}

void SimDisk::submit(DiskOp& op) {
  CHECK(!op.in_flight);
  CHECK(in_flight_.size() < kOpsInFlightMax);
  submitted_ += 1;
  const bool power_goes = !off_ && hits(faults_.power_off_in);
  if (power_goes && !faults_.power_off_behind) lose_power();
  op.in_flight = true;
  op.punted = false;
  InFlight flight{.op = &op,
                  .file = off_ ? nullptr : file_of(op.file),
                  .completes_at = clock_.monotonic() + delay_of(op),
                  .submitted = ++order_,
                  .bytes = {},
                  .at = op.at,
                  .dead = off_};
  note(static_cast<uint64_t>(op.kind) * 31 + op.at + op.memory.size());
  if (!off_) {
    if (handles_.at(op.file.value()).direct) CHECK(op.at % kBlock == 0 && op.memory.size() % kBlock == 0);
    if (op.kind == DiskOp::Kind::kWrite || op.kind == DiskOp::Kind::kWriteDurable) {
      CHECK(!handles_.at(op.file.value()).read_only);
      note(crc32c(0, op.memory));
      flight.bytes.assign(op.memory.begin(), op.memory.end());
      op.punted = !op.may_block && prng_.chance(faults_.punt_percent);
    }
    arm_faults(flight);
  }
  in_flight_.push_back(std::move(flight));
  if (power_goes) lose_power();
}

void SimDisk::complete(InFlight& flight) {
  DiskOp& op = *flight.op;
  op.in_flight = false;
  op.result = 0;
  if (flight.dead) {
    op.result = -EIO;
    return;
  }
  switch (op.kind) {
    case DiskOp::Kind::kRead: return complete_read(flight);
    case DiskOp::Kind::kFlush:
      flush(*flight.file, flight.submitted, flight.flush);
      if (flight.flush == FlushFate::kFails) op.result = -EIO;
      return;
    case DiskOp::Kind::kWrite:
    case DiskOp::Kind::kWriteDurable: return complete_write(flight);
  }
}

void SimDisk::complete_read(InFlight& flight) {
  DiskOp& op = *flight.op;
  if (flight.fails) {
    op.result = -EIO;
    return;
  }
  const auto have = flight.file->visible();
  const auto bytes = have.subspan(std::min<uint64_t>(op.at, have.size()));
  const size_t n = std::min(op.memory.size(), bytes.size());
  std::copy_n(bytes.begin(), n, op.memory.begin());
  op.result = static_cast<int64_t>(n);
}

void SimDisk::complete_write(InFlight& flight) {
  DiskOp& op = *flight.op;
  SimFile& file = *flight.file;
  if (!may_grow(file, flight.at + flight.bytes.size())) {
    op.result = -ENOSPC;
    return;
  }
  if (flight.comes_short) flight.bytes.resize(flight.bytes.size() / 2);
  op.result = flight.fails ? -EIO : static_cast<int64_t>(flight.bytes.size());
  SimFile::Write write{flight.at, std::move(flight.bytes), ++order_, flight.lies && !flight.fails};
  if (op.kind == DiskOp::Kind::kWriteDurable && !flight.lies && !flight.fails)
    file.write_durable(write);
  else
    file.write(std::move(write));  // of one that failed, any part may get there
}

void SimDisk::flush(SimFile& file, Order until, FlushFate fate) {
  switch (fate) {
    case FlushFate::kDone: return file.flush(until);
    case FlushFate::kFails: return file.lose_flush(until, prng_, faults_.tear_unit);
    case FlushFate::kLies: return file.promise(until);
  }
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
  Nanos next = std::numeric_limits<Nanos>::max();
  for (const InFlight& flight : in_flight_) next = std::min(next, flight.completes_at);
  if (!files_in_flight_.empty()) next = std::min(next, files_in_flight_.front().completes_at);
  return next;
}

void SimDisk::wait(Nanos timeout) { clock_.advance_to(std::min(next_completion(), clock_.monotonic() + timeout)); }

// ---------------------------------------------------------------- space

uint64_t SimDisk::allocated_bytes() const {
  std::set<const SimFile*> files;  // for its sum alone: the order of pointers does not show
  names_.each_file([&](const SimFilePtr& file) { files.insert(file.get()); });
  for (const auto& [number, handle] : handles_) files.insert(handle.file.get());
  uint64_t sum = 0;
  for (const SimFile* file : files) sum += file->size();
  return sum;
}

bool SimDisk::has_room(const SimFile& file, uint64_t to) const {
  if (to <= file.size() || faults_.capacity_bytes == 0) return true;
  return allocated_bytes() + (to - file.size()) <= faults_.capacity_bytes;
}

bool SimDisk::may_grow(const SimFile& file, uint64_t to) {
  if (to <= file.size()) return true;
  if (hits(faults_.enospc_in)) return false;
  return has_room(file, to);
}

// ---------------------------------------------------------------- power

void SimDisk::lose_power() {
  if (off_) return;
  note(0xc4a5);
  if (!files_in_flight_.empty()) {
    const uint64_t done = prng_.below(files_in_flight_.size() + 1);
    for (uint64_t i = 0; i < done; ++i) perform(files_in_flight_[i].asked, files_in_flight_[i]);
  }
  off_ = true;
  for (FileInFlight& flight : files_in_flight_) flight.dead = true;
  std::map<SimFilePtr, std::vector<SimFile::Write>> lost;
  for (InFlight& flight : in_flight_) {
    if (!flight.bytes.empty() && has_room(*flight.file, flight.at + flight.bytes.size()))
      lost[flight.file].push_back({flight.at, std::move(flight.bytes)});
    flight.dead = true;
  }
  names_.lose_power(prng_, faults_.lose_unsynced_names);
  names_.each_file([&](const SimFilePtr& file) {
    file->lose_power(std::move(lost[file]), prng_, faults_.tear_unit);
    lost[file].clear();
  });
}

void SimDisk::power_on() {
  off_ = false;
  faults_.power_off_in = 0;
  faults_.power_off_behind = false;
  forget_ops();
}

void SimDisk::forget_ops() {
  in_flight_.clear();
  files_in_flight_.clear();
  handles_.clear();
}

void SimDisk::kill_process() {
  if (off_) return;
  note(0x9111);
  const uint64_t done = prng_.below(files_in_flight_.size() + 1);
  for (uint64_t i = 0; i < done; ++i) perform(files_in_flight_[i].asked, files_in_flight_[i]);
  for (InFlight& flight : in_flight_) {
    if (flight.bytes.empty() || prng_.one_in(3) || !has_room(*flight.file, flight.at + flight.bytes.size())) continue;
    if (prng_.one_in(2)) flight.bytes.resize(prng_.below(flight.bytes.size() / kBlock + 1) * kBlock);
    SimFile::Write write{flight.at, std::move(flight.bytes), ++order_};
    prng_.one_in(2) ? flight.file->write_durable(write) : flight.file->write(std::move(write));
  }
  forget_ops();
}

bool SimDisk::take_broken_promise() {
  bool broke = names_.take_broken_promise();
  names_.each_file([&](const SimFilePtr& file) { broke = file->take_broken_promise() || broke; });
  return broke;
}

void SimDisk::flip_bit(const std::string& path, uint64_t at, unsigned bit) {
  names_.find(path).value()->flip_bit(at, bit);
}

void SimDisk::replace(const std::string& path, uint64_t at, std::span<const std::byte> bytes) {
  names_.find(path).value()->replace(at, bytes);
}

std::span<const std::byte> SimDisk::contents(const std::string& path) const {
  return names_.find(path).value()->visible();
}

}  // namespace penstock::sim
