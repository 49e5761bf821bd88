// SegmentOutput: a new segment and its sidecar, written beside the others under a name that nothing names yet, and
// durable before anybody is told of it. Blocks; not for an lcore.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/result.h"
#include "storage/api/disk.h"
#include "storage/segment/segment_index.h"
#include "storage/segment/segment_path.h"

namespace penstock::storage {

class SegmentOutput {
 public:
  static constexpr uint64_t kPieceBytes = kMiB;

  // memory: kPieceBytes, aligned to the disk's block.
  SegmentOutput(Disk& disk, std::span<std::byte> memory) : disk_(disk), memory_(memory) {}
  // What was begun stays where it is, unnamed: the next start removes it.
  ~SegmentOutput() {
    if (file_ != FileHandle{}) disk_.close(file_);
  }
  SegmentOutput(const SegmentOutput&) = delete;
  SegmentOutput& operator=(const SegmentOutput&) = delete;

  Result<void> begin(const std::string& folder, LogId log, SegmentId id);
  bool is_open() const { return index_.has_value(); }
  Result<void> add(std::span<const std::byte> batch);
  // Everything is durable, the names too.
  Result<void> finish();
  // What was begun is taken away, if it can be.
  void discard();

  SegmentId id() const { return id_; }
  uint64_t bytes() const { return bytes_; }
  int64_t first_timestamp() const { return first_timestamp_; }
  int64_t max_timestamp() const { return index_ ? index_->max_timestamp() : -1; }
  uint64_t bytes_written() const { return written_ever_; }

 private:
  Result<void> write_piece(uint64_t n);
  Result<void> write_sidecar();

  Disk& disk_;
  const std::span<std::byte> memory_;
  std::string folder_;
  LogId log_;
  SegmentId id_;
  FileHandle file_;
  std::optional<SegmentIndex> index_;  // of a segment that is begun
  uint64_t bytes_ = 0;                 // of batches added
  uint64_t written_ = 0;               // of them, whole pieces
  int64_t first_timestamp_ = -1;
  uint64_t written_ever_ = 0;
};

}  // namespace penstock::storage
