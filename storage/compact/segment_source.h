// SegmentSource: a sealed segment's batches, one piece of the file after the other, every byte checked: by the
// sidecar's sums of its intervals where there is one, by each batch's own checksum always. Blocks; not for an lcore.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "storage/api/disk.h"
#include "storage/compact/link.h"
#include "storage/segment/sidecar.h"

namespace penstock::storage {

class SegmentSource {
 public:
  static constexpr uint64_t kPieceBytes = kMiB;

  // memory: kPieceBytes, aligned to the disk's block.
  SegmentSource(Disk& disk, std::span<std::byte> memory) : disk_(disk), memory_(memory) {}
  ~SegmentSource() { close(); }
  SegmentSource(const SegmentSource&) = delete;
  SegmentSource& operator=(const SegmentSource&) = delete;

  Result<void> open(const std::string& folder, LogId log, const CleaningSource& source);
  void close();
  bool at_end() const { return position_ == source_.bytes; }
  uint64_t position() const { return position_; }

  // Reads the next piece and gives each batch that is whole now. false: enough, the rest is not wanted. kCorrupt: these
  // bytes are not those that were written.
  Result<void> next(const std::function<Result<bool>(std::span<const std::byte> batch)>& on_batch);

 private:
  void read_sidecar(const std::string& path);
  Result<size_t> size_of_next(std::span<const std::byte> bytes) const;
  Result<bool> give(std::span<const std::byte> batch,
                    const std::function<Result<bool>(std::span<const std::byte>)>& on_batch);

  Disk& disk_;
  const std::span<std::byte> memory_;
  CleaningSource source_;
  FileHandle file_;
  std::optional<Sidecar> sidecar_;
  uint64_t position_ = 0;
  Offset next_{0};
  std::vector<std::byte> begun_;  // of a batch whose end is in a later piece
};

}  // namespace penstock::storage
