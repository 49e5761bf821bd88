// A Disk that does nothing and is done at once: benchmarks of the code above it.
#pragma once

#include <deque>

#include "storage/api/disk.h"
#include "storage/io/file_ops.h"

namespace penstock::bench {

class NullDisk final : public storage::Disk {
 public:
  Result<storage::FileHandle> open(std::string_view, storage::OpenMode) override { return storage::FileHandle{1}; }
  void close(storage::FileHandle) override {}
  Result<uint64_t> size(storage::FileHandle) override { return 0; }
  Result<void> resize(storage::FileHandle, uint64_t) override { return {}; }
  Result<void> allocate(storage::FileHandle, uint64_t) override { return {}; }
  Result<void> lock(storage::FileHandle) override { return {}; }
  Result<void> make_dir(std::string_view) override { return {}; }
  Result<void> remove_dir(std::string_view) override { return {}; }
  Result<void> rename(std::string_view, std::string_view) override { return {}; }
  Result<void> unlink(std::string_view) override { return {}; }
  Result<void> sync_dir(std::string_view) override { return {}; }
  Result<std::vector<std::string>> list(std::string_view) override { return std::vector<std::string>{}; }
  Result<void> flush_all(std::string_view) override { return {}; }
  Result<uint64_t> free_bytes(std::string_view) override { return 1024 * kGiB; }
  uint32_t block_bytes() override { return 4096; }
  void set_durable_method(storage::DurableMethod) override {}
  void register_memory(std::span<std::byte>) override {}
  void submit(storage::DiskOp& op) override {
    op.result = static_cast<int64_t>(op.memory.size());
    done_.push_back(&op);
  }
  size_t poll(std::span<storage::DiskOp*> done) override {
    size_t count = 0;
    for (; count < done.size() && !done_.empty(); done_.pop_front()) done[count++] = done_.front();
    return count;
  }
  void submit(storage::FileOp& op) override {
    storage::perform(*this, op);
    files_done_.push_back(&op);
  }
  size_t poll(std::span<storage::FileOp*> done) override {
    size_t count = 0;
    for (; count < done.size() && !files_done_.empty(); files_done_.pop_front()) done[count++] = files_done_.front();
    return count;
  }
  void wait(Nanos) override {}
  void arm_wakeup(int, bool) override {}

 private:
  std::deque<storage::DiskOp*> done_;
  std::deque<storage::FileOp*> files_done_;
};

}  // namespace penstock::bench
