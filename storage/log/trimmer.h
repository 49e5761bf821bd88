// Trimmer: moves where logs begin: on request (DeleteRecords), and by their retention, by time and by size, as Kafka
// does, with the open segment included when all of it is over. The new beginning goes into the ring; segments that lie
// wholly below it are dropped, and their files deleted once a state slot says so. Owned by one lcore.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "storage/log/destager.h"
#include "storage/log/shard.h"

namespace penstock::storage {

class Trimmer {
 public:
  // drop: a segment of the log is not in its list any more.
  using Drop = std::function<void(PartitionLog&, SegmentId)>;
  // seal: the open segment, and what waits for it, is wanted sealed.
  using Seal = std::function<void(PartitionLog&)>;
  Trimmer(Shard& shard, Drop drop, Seal seal);

  // log.log_start_offset becomes to, which lies between it and log.durable. Returns where in the ring this is durable;
  // nothing if the ring has no room even for that.
  std::optional<Lsn> trim(PartitionLog& log, Offset to);
  // Drops segments that lie below the log's start already.
  void drop_below_start(PartitionLog& log);
  // Once a turn: looks at some logs, each once in an interval.
  void run();
  // Looks at all logs from now on, whatever the interval says.
  void check_now() { next_check_at_ = 0; }
  Nanos next_deadline() const { return to_check_.empty() ? next_check_at_ : 0; }

 private:
  int64_t age_from(const PartitionLog& log, const Segment* segment, bool last, int64_t ring_time) const;
  Offset start_by_retention(const PartitionLog& log, int64_t now_ms) const;
  static bool is_too_long(const PartitionLog& log);

  Shard& shard_;
  const Drop drop_;
  const Seal seal_;
  const int64_t started_ms_;
  Nanos next_check_at_ = 0;
  std::vector<LogId> to_check_;
};

}  // namespace penstock::storage
