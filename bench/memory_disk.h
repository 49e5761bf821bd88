// A Disk in memory that is done at once, so that a Store can be opened on it; once told to forget, it takes writes
// without keeping them: benchmarks of the code above it.
#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "storage/api/disk.h"
#include "storage/io/file_ops.h"

namespace penstock::bench {

class MemoryDisk final : public storage::Disk {
 public:
  void forget_writes() { forgets_ = true; }

  Result<storage::FileHandle> open(std::string_view path, storage::OpenMode mode) override {
    if (!mode.create && !names_.contains(std::string(path))) return fail(Errc::kNotFound);
    const auto [it, made] = names_.try_emplace(std::string(path), static_cast<int32_t>(files_.size()));
    if (made) files_.emplace_back();
    return storage::FileHandle{it->second};
  }
  void close(storage::FileHandle) override {}
  Result<uint64_t> size(storage::FileHandle file) override { return at(file).size(); }
  Result<void> resize(storage::FileHandle file, uint64_t bytes) override {
    at(file).resize(bytes);
    return {};
  }
  Result<void> allocate(storage::FileHandle file, uint64_t bytes) override {
    at(file).resize(std::max<size_t>(at(file).size(), bytes));
    return {};
  }
  Result<void> lock(storage::FileHandle) override { return {}; }
  Result<void> make_dir(std::string_view) override { return {}; }
  Result<void> remove_dir(std::string_view) override { return {}; }
  Result<void> rename(std::string_view from, std::string_view to) override {
    const auto file = names_.find(from);
    if (file == names_.end()) return fail(Errc::kNotFound);
    names_[std::string(to)] = file->second;
    names_.erase(file);
    return {};
  }
  Result<void> unlink(std::string_view path) override {
    names_.erase(std::string(path));
    return {};
  }
  Result<void> sync_dir(std::string_view) override { return {}; }
  Result<std::vector<std::string>> list(std::string_view folder) override {
    std::vector<std::string> found;
    for (const auto& [name, file] : names_) found.push_back(name.substr(folder.size() + 1));
    return found;
  }
  Result<void> flush_all(std::string_view) override { return {}; }
  Result<uint64_t> free_bytes(std::string_view) override { return 1024 * kGiB; }
  uint32_t block_bytes() override { return 4096; }
  void set_durable_method(storage::DurableMethod) override {}
  void register_memory(std::span<std::byte>) override {}
  void submit(storage::DiskOp& op) override {
    const bool writes = op.kind == storage::DiskOp::Kind::kWrite || op.kind == storage::DiskOp::Kind::kWriteDurable;
    auto& file = at(op.file);
    if (writes && !forgets_) {
      file.resize(std::max<size_t>(file.size(), op.at + op.memory.size()));
      std::ranges::copy(op.memory, file.begin() + static_cast<int64_t>(op.at));
    }
    op.result = static_cast<int64_t>(op.memory.size());
    if (op.kind == storage::DiskOp::Kind::kRead) {
      const size_t n = op.at < file.size() ? std::min(op.memory.size(), file.size() - op.at) : 0;
      std::copy_n(file.begin() + static_cast<int64_t>(std::min(op.at, file.size())), n, op.memory.begin());
      op.result = static_cast<int64_t>(n);
    }
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
  std::vector<std::byte>& at(storage::FileHandle file) { return files_[static_cast<size_t>(file.value())]; }

  bool forgets_ = false;
  std::map<std::string, int32_t, std::less<>> names_;
  std::deque<std::vector<std::byte>> files_;
  std::deque<storage::DiskOp*> done_;
  std::deque<storage::FileOp*> files_done_;
};

}  // namespace penstock::bench
