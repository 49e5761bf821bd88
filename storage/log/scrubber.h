// Scrubber: reads segments at a bounded rate and checks every interval, so that bytes which rot on the drive are known
// before they are needed: the one that grows too, as far as it is written. One read at a time;
// penstock.scrub.bytes.per.second, this ring's share of it, is the bound, 0 is never. Owned by one lcore.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "storage/log/index_loader.h"
#include "storage/log/segment_files.h"
#include "storage/log/shard.h"

namespace penstock::storage {

class Scrubber {
 public:
  static constexpr uint64_t kReadBytes = 256 * kKiB;

  // memory: kReadBytes, aligned.
  Scrubber(Shard& shard, SegmentFiles& files, IndexLoader& indexes, std::span<std::byte> memory);

  // Once a turn.
  void run();
  // When to run again though nothing completes.
  Nanos next_deadline() const { return per_second_ == 0 ? INT64_MAX : next_at_; }

 private:
  struct Read : DiskOp {
    Scrubber* owner;
    LogId log;
    SegmentId segment;
    uint64_t bytes;
    Lsn truncated_at;  // of the log when it began
    SegmentIndex::Sums<kReadBytes / SegmentIndex::kIntervalBytes> sums;
  };
  bool next_segment();
  static uint64_t end_of(const PartitionLog& log, const Segment& segment);
  Result<const SegmentIndex*> index_of(PartitionLog& log, const Segment& segment);
  void leave_segment();
  bool begin_read();
  void check();

  Shard& shard_;
  SegmentFiles& files_;
  IndexLoader& indexes_;
  const uint64_t per_second_;
  const std::span<std::byte> memory_;
  Read read_;
  bool reading_ = false;  // it is the disk's, until check()
  Nanos next_at_ = 0;
  std::vector<LogId> round_;          // logs still to do in this round
  std::optional<SegmentId> segment_;  // of round_.back(), under way
  Offset behind_{-1};                 // segments of it up to here are done
  uint64_t position_ = 0;
  std::optional<uint64_t> rebuilds_;  // when its index was asked for
  bool again_ = false;  // what lies at position_ was bad once: a transfer may fail where the drive holds the bytes
};

}  // namespace penstock::storage
