// Truncator: cuts the end off a log, as a follower does whose log has parted from its leader's (KIP-101). The log takes
// no appends meanwhile. It waits for the log's writes into segments, finds the batch that the cut falls on, and tells
// the ring where the log ends and what its last segment holds; everything later in the ring builds on that. Owned by
// one lcore.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "storage/log/cold_reader.h"
#include "storage/log/destager.h"
#include "storage/log/shard.h"

namespace penstock::storage {

class Truncator {
 public:
  // busy: something else changes the log's files now; drop: a segment of the log is not in its list any more; changed:
  // bytes of it that were read may be different now.
  struct Tell {
    std::function<bool(const PartitionLog&)> busy;
    std::function<void(PartitionLog&, SegmentId)> drop;
    std::function<void(PartitionLog&, SegmentId)> changed;
  };
  Truncator(Shard& shard, Destager& destager, ColdReader& reader, Tell tell)
      : shard_(shard), destager_(destager), reader_(reader), tell_(std::move(tell)) {}

  // Cuts log at the beginning of the batch that holds to. Done when log.truncate_to is empty again.
  void begin(PartitionLog& log, Offset to);
  // Once a turn.
  void run();

 private:
  bool go_on(PartitionLog& log);
  static bool is_in_memory(const PartitionLog& log, Offset to);
  bool cut_memory(PartitionLog& log, Offset to);
  Result<void> cut_segments(PartitionLog& log, Offset to);
  void finish(PartitionLog& log, Offset end);

  Shard& shard_;
  Destager& destager_;
  ColdReader& reader_;
  const Tell tell_;
  std::vector<LogId> waiting_;
};

}  // namespace penstock::storage
