// FileReader: one file of a data folder, read in pieces by a thread that may block. Past the page cache where the file
// system can, so that what is checked is what the drive has.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "storage/api/disk.h"

namespace penstock::storage {

// Memory aligned for direct I/O.
class AlignedMemory {
 public:
  static constexpr size_t kAlignment = 64 * 1024;  // of any drive's block

  AlignedMemory() = default;
  // Empty if there is not so much.
  explicit AlignedMemory(size_t bytes);
  std::span<std::byte> span() const { return {memory_.get(), bytes_}; }

 private:
  struct Freer {
    void operator()(std::byte* memory) const;
  };
  std::unique_ptr<std::byte, Freer> memory_;
  size_t bytes_ = 0;
};

class FileReader {
 public:
  static Result<FileReader> open(Disk& disk, const std::string& path);
  ~FileReader();
  FileReader(FileReader&& other) noexcept
      : disk_(other.disk_), file_(std::exchange(other.file_, FileHandle{})), size_(other.size_) {}
  FileReader& operator=(FileReader&&) = delete;

  uint64_t size() const { return size_; }
  FileHandle file() const { return file_; }
  // Bytes from at on into memory, both aligned to the disk's block: as many as there are, at most memory.size().
  Result<size_t> read(uint64_t at, std::span<std::byte> memory) const;
  // All of it, from an aligned place on, or up to most bytes.
  Result<std::span<std::byte>> read_all(AlignedMemory& holder, uint64_t most) const;

 private:
  FileReader(Disk& disk, FileHandle file, uint64_t size) : disk_(&disk), file_(file), size_(size) {}
  Disk* disk_;
  FileHandle file_;
  uint64_t size_;
};

}  // namespace penstock::storage
