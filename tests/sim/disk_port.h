// DiskPort: one of several users of a SimDisk: each is given back its own ops. So a store and the thread that compacts
// its logs share one simulated drive, as they share a real one through two io_urings.
#pragma once

#include <deque>
#include <map>
#include <memory>

#include "tests/sim/sim_disk.h"

namespace penstock::sim {

// What the ports of a disk share: completions that were polled by another than their owner.
struct DiskPorts {
  explicit DiskPorts(SimDisk& sim_disk) : disk(sim_disk) {}
  SimDisk& disk;
  std::map<storage::DiskOp*, int> owners;
  std::map<storage::FileOp*, int> file_owners;
  std::map<int, std::deque<storage::DiskOp*>> done;
  std::map<int, std::deque<storage::FileOp*>> files_done;

  // Everything that was in flight is forgotten, as the disk forgets it.
  void forget() {
    owners.clear();
    file_owners.clear();
    done.clear();
    files_done.clear();
  }
};

class DiskPort final : public storage::Disk {
 public:
  DiskPort(DiskPorts& ports, int number) : ports_(ports), number_(number) {}

  Result<storage::FileHandle> open(std::string_view path, storage::OpenMode mode) override {
    return ports_.disk.open(path, mode);
  }
  void close(storage::FileHandle file) override { ports_.disk.close(file); }
  Result<uint64_t> size(storage::FileHandle file) override { return ports_.disk.size(file); }
  Result<void> resize(storage::FileHandle file, uint64_t bytes) override { return ports_.disk.resize(file, bytes); }
  Result<void> allocate(storage::FileHandle file, uint64_t bytes) override { return ports_.disk.allocate(file, bytes); }
  Result<void> lock(storage::FileHandle file) override { return ports_.disk.lock(file); }
  Result<void> make_dir(std::string_view path) override { return ports_.disk.make_dir(path); }
  Result<void> remove_dir(std::string_view path) override { return ports_.disk.remove_dir(path); }
  Result<void> rename(std::string_view from, std::string_view to) override { return ports_.disk.rename(from, to); }
  Result<void> unlink(std::string_view path) override { return ports_.disk.unlink(path); }
  Result<void> sync_dir(std::string_view path) override { return ports_.disk.sync_dir(path); }
  Result<std::vector<std::string>> list(std::string_view path) override { return ports_.disk.list(path); }
  Result<void> flush_all(std::string_view path) override { return ports_.disk.flush_all(path); }
  Result<uint64_t> free_bytes(std::string_view path) override { return ports_.disk.free_bytes(path); }
  uint32_t block_bytes() override { return ports_.disk.block_bytes(); }
  void set_durable_method(storage::DurableMethod) override {}
  void register_memory(std::span<std::byte>) override {}
  void wait(Nanos timeout) override {
    // What is due for others is put aside: time would stand still before it.
    sort_out<storage::DiskOp>(ports_.owners, ports_.done);
    sort_out<storage::FileOp>(ports_.file_owners, ports_.files_done);
    if (ports_.done[number_].empty() && ports_.files_done[number_].empty()) ports_.disk.wait(timeout);
  }
  void arm_wakeup(int, bool) override {}

  void submit(storage::DiskOp& op) override {
    ports_.owners[&op] = number_;
    ports_.disk.submit(op);
  }
  void submit(storage::FileOp& op) override {
    ports_.file_owners[&op] = number_;
    ports_.disk.submit(op);
  }
  size_t poll(std::span<storage::DiskOp*> done) override {
    return poll<storage::DiskOp>(done, ports_.owners, ports_.done);
  }
  size_t poll(std::span<storage::FileOp*> done) override {
    return poll<storage::FileOp>(done, ports_.file_owners, ports_.files_done);
  }

 private:
  template <class Op>
  void sort_out(std::map<Op*, int>& owners, std::map<int, std::deque<Op*>>& waiting) {
    Op* op = nullptr;
    while (ports_.disk.poll(std::span<Op*>(&op, 1)) > 0) {
      const auto owner = owners.find(op);
      waiting[owner->second].push_back(op);
      owners.erase(owner);
    }
  }
  template <class Op>
  size_t poll(std::span<Op*> done, std::map<Op*, int>& owners, std::map<int, std::deque<Op*>>& waiting) {
    sort_out<Op>(owners, waiting);
    auto& mine = waiting[number_];
    size_t count = 0;
    for (; count < done.size() && !mine.empty(); mine.pop_front()) done[count++] = mine.front();
    return count;
  }

  DiskPorts& ports_;
  const int number_;
};

}  // namespace penstock::sim
