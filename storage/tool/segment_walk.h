// Reads one segment from the drive through SegmentScan, and goes on behind damage where it can: behind the bad batch if
// its header is good, else at the next batch that the sidecar names. Streams; holds a few MiB and the index.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "storage/segment/segment_scan.h"
#include "storage/segment/sidecar.h"
#include "storage/tool/file_reader.h"

namespace penstock::storage {

struct WalkRequest {
  std::string path;
  Offset base;
  uint64_t bytes = 0;          // of whole batches: what is looked at
  bool may_have_gaps = false;  // compaction made it
  uint64_t position = 0;       // where it begins: a batch that starts at offset next
  Offset next{0};
  std::span<const std::byte> head = {};  // known bytes that end at head_end, in place of those on the drive
  uint64_t head_end = 0;
  const SegmentIndex* places = nullptr;  // a whole sidecar's, of all the segment
  // false: enough.
  std::function<bool(const BatchPlace&, const protocol::RecordBatchView&)> on_batch = {};
  std::function<void(uint64_t position)> on_progress = {};  // each GiB
};

// Bytes that are no good batches.
struct BadRange {
  uint64_t from = 0;
  uint64_t to = 0;  // where it could go on; the end of what is looked at if nowhere
  Offset lost_from{0};
  std::optional<Offset> lost_to{};  // nothing: up to the segment's end
  ScanStop why = ScanStop::kRunning;
  std::optional<Error> error{};  // the drive did not give them
  bool beyond_file = false;      // the file is shorter than it should be
};

struct WalkResult {
  uint64_t file_bytes = 0;
  uint64_t batches = 0;
  Offset next{0};  // behind the last good batch
  std::vector<BadRange> bad;
  SegmentIndex index;  // up to the first bad range
  std::vector<EpochEntry> epochs;
};

class SegmentWalk {
 public:
  static constexpr size_t kBufferBytes = 4 * kMiB;
  static constexpr size_t kBadRangesMax = 64;

  explicit SegmentWalk(Disk& disk) : disk_(disk), buffer_(kBufferBytes) {}
  bool has_memory() const { return !buffer_.span().empty(); }

  // The error is that of opening the file.
  Result<WalkResult> run(const WalkRequest& request);
  // CRC-32C of the file's bytes [from, to), from aligned to a block; with the request's head in their place.
  Result<uint32_t> crc_of(const WalkRequest& request, uint64_t from, uint64_t to);

 private:
  struct Stop {
    uint64_t position;           // behind the last good batch
    std::optional<Error> error;  // the drive's, and how far it goes at least
    uint64_t unreadable_to = 0;
  };
  Result<size_t> read(const FileReader& file, const WalkRequest& request, uint64_t at, std::span<std::byte> into);
  Stop scan(const FileReader& file, const WalkRequest& request, SegmentScan& scan);
  std::optional<SegmentIndex::Place> behind_header(const FileReader& file, const WalkRequest& request,
                                                   const SegmentScan& scan, uint64_t limit);
  std::optional<SegmentIndex::Place> behind_stop(const WalkRequest& request, const Stop& stop, uint64_t limit) const;

  Disk& disk_;
  AlignedMemory buffer_;
  bool enough_ = false;
};

}  // namespace penstock::storage
