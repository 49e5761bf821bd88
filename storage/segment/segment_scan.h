// Two ways to read a segment's batches. SegmentScan believes nothing: every byte of every batch is checked; it rebuilds
// an index, verifies a log, finds rot. walk() finds one batch in bytes that are known to be good, by the headers alone.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "protocol/record_batch.h"
#include "storage/segment/log_facts.h"
#include "storage/segment/segment_index.h"

namespace penstock::storage {

struct BatchPlace {
  uint64_t position;  // of its first byte in the segment
  uint32_t bytes;     // header and all
  Offset base;
  Offset next;  // the offset behind its last
  friend bool operator==(const BatchPlace&, const BatchPlace&) = default;
};

// Why a scan stands where it does.
enum class ScanStop : uint8_t {
  kRunning,    // it does not: feed it more
  kEnd,        // a batch ends at the limit, or where the input does
  kTorn,       // the limit, or the input's end, lies inside a batch
  kZeros,      // where a batch should begin are zeros, 61 or as many as there are: behind a growing segment's end
  kNotABatch,  // a header that cannot be: its magic, length, or offsets beyond what a segment holds
  kGap,        // a batch that does not begin at the offset behind the last one (or lies before it)
  kBadCrc,     // a batch whose bytes are not those that its producer sent
};
std::string_view to_string(ScanStop stop);

class SegmentScan {
 public:
  struct Options {
    Offset base;                                            // of the segment
    uint64_t position = 0;                                  // where the scan begins: the start of a batch
    Offset next;                                            // that batch's offset
    uint32_t running_crc = 0;                               // of position's interval up to it (SegmentIndex)
    uint64_t limit = std::numeric_limits<uint64_t>::max();  // of the file's bytes
    bool may_have_gaps = false;                             // a compaction took batches out of it
    // Called for each whole, good batch, in order. The view is good during the call.
    std::function<void(const BatchPlace&, const protocol::RecordBatchView&)> on_batch;
    // Called for a bad batch whose length can be right: it would be all in [position, position + bytes). True: go on
    // behind it. The index has its bytes then, and no batch there. Not set: the scan ends at the first bad one.
    std::function<bool(uint64_t position, uint64_t bytes)> on_bad = {};
  };
  explicit SegmentScan(Options options);

  // The next bytes of the file, in pieces of any size; what lies behind the end of the scan is ignored. Nothing is kept
  // of them but one batch header.
  ScanStop feed(std::span<const std::byte> bytes);
  // There are no more: kTorn inside a batch, else kEnd; what it was if it had stopped.
  ScanStop finish();

  ScanStop stop() const { return stop_; }
  uint64_t position() const { return position_; }  // behind the last good batch: where a bad one begins, if one does
  Offset next() const { return next_; }            // the offset behind it
  uint64_t fed_to() const { return fed_to_; }      // place in the file of the byte to feed next
  uint64_t batches() const { return batches_; }

  // Of the good batches, up to position(): complete once the scan has stopped; while it runs the index may have bytes
  // of the batch that is being read.
  const SegmentIndex& index() const { return index_; }
  SegmentIndex take_index() { return std::move(index_); }  // of a scan that has stopped
  // First batch of each leader epoch that the scan met, rising.
  const std::vector<EpochEntry>& epochs() const { return epochs_; }

 private:
  std::span<const std::byte> take(std::span<const std::byte>& bytes, size_t most);
  void take_header(std::span<const std::byte>& bytes);
  ScanStop check_header() const;
  void take_body(std::span<const std::byte>& bytes);
  void finish_batch();
  bool skips(ScanStop why);
  void step_over(Offset next);
  ScanStop halt(ScanStop stop);
  protocol::RecordBatchView header() const { return protocol::RecordBatchView(header_); }

  Options options_;
  SegmentIndex index_;
  std::vector<EpochEntry> epochs_;
  uint64_t position_;
  uint64_t fed_to_;
  Offset next_;
  uint64_t batches_ = 0;
  uint32_t crc_at_position_;
  ScanStop stop_ = ScanStop::kRunning;
  // The batch that is being read.
  std::array<std::byte, protocol::kBatchHeaderBytes> header_{};
  size_t header_bytes_ = 0;  // of it that are here
  uint64_t body_left_ = 0;
  uint32_t crc_ = 0;
  bool skipping_ = false;  // it is a bad one
};

struct NeedMore {
  uint64_t position;  // the batch that starts here is the first whose header is not whole in the bytes
  friend bool operator==(const NeedMore&, const NeedMore&) = default;
};
struct Damaged {
  uint64_t position;  // what stands here is no batch, or does not come behind the one before
  friend bool operator==(const Damaged&, const Damaged&) = default;
};
using Walked = std::variant<BatchPlace, NeedMore, Damaged>;

// The first batch that ends behind wanted: the one that holds it. bytes: verified bytes of the segment from position
// on, where a batch starts, and none from behind the segment's end. The batch found may reach beyond them; its header
// does not.
Walked walk(std::span<const std::byte> bytes, uint64_t position, Offset wanted);
// The first batch whose greatest timestamp is at least t.
Walked walk_to_time(std::span<const std::byte> bytes, uint64_t position, int64_t t);

}  // namespace penstock::storage
