// The blocking half of the real Disk: files and folders by system calls. UringDisk has one for start-up and the tools;
// its thread has one of its own.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "storage/api/disk.h"

namespace penstock::storage {

// Each function as in storage/api/disk.h.
class PosixFiles {
 public:
  Result<FileHandle> open(std::string_view path, OpenMode mode);
  void close(FileHandle file);
  Result<uint64_t> size(FileHandle file);
  Result<void> resize(FileHandle file, uint64_t bytes);
  Result<void> allocate(FileHandle file, uint64_t bytes);
  Result<void> lock(FileHandle file);
  // Files that this process has locked.
  static std::vector<int>& locked_files();
  Result<void> make_dir(std::string_view path);
  Result<void> remove_dir(std::string_view path);
  Result<void> rename(std::string_view from, std::string_view to);
  Result<void> unlink(std::string_view path);
  Result<void> sync_dir(std::string_view path);
  Result<std::vector<std::string>> list(std::string_view path);
  Result<void> flush_all(std::string_view path);
  Result<uint64_t> free_bytes(std::string_view path);

  // The largest unit of direct I/O of the files opened so far.
  uint32_t block_bytes() const { return block_bytes_; }
  void raise_block_bytes(uint32_t bytes) { block_bytes_ = std::max(block_bytes_, bytes); }

 private:
  uint32_t block_bytes_ = 4096;
};

}  // namespace penstock::storage
