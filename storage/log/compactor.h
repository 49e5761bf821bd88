// Compactor: a store's side of log compaction. Looks now and then which compacted log needs it most, as Kafka's
// LogCleanerManager does, has its open segment sealed when that is old, sends one job at a time to the drive's Cleaner,
// and puts the segments that come back in the place of those that they were made from. Owned by one lcore.
//
// The swap is a change of the log's list of segments; it counts with the next state slot, as everything about segments
// does. Until then a crash finds the old ones; what was made is swept. What was replaced is kept for
// file.delete.delay.ms, for answers that were promised of it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "storage/compact/link.h"
#include "storage/log/destager.h"
#include "storage/log/shard.h"

namespace penstock::storage {

class Compactor {
 public:
  struct Tell {
    // Something changes the log's files now.
    std::function<bool(const PartitionLog&)> busy;
    // A segment is neither in the log's list nor kept for readers any more.
    std::function<void(PartitionLog&, SegmentId)> drop;
    // Files that no list ever named.
    std::function<void(LogId, SegmentId)> remove;
    // The log's list has changed. Returns the number of the slot that will say so.
    std::function<uint64_t(PartitionLog&)> swapped;
    // The slot of this number is on the drive.
    std::function<bool(uint64_t)> is_durable;
  };
  // link: null: nothing is compacted.
  Compactor(Shard& shard, Destager& destager, CompactionLink* link, Tell tell);

  // Once a turn.
  void run();
  // No more jobs; the one under way is of no use any more.
  void stop();
  // A job of this log is out: its folder may get new files.
  bool works_on(LogId log) const { return job_ && job_->log == log; }
  // The log is deleted or cut: what comes back of it is not wanted.
  void cancel(LogId log);
  // All that was replaced goes now.
  void drop_retired(PartitionLog& log);
  // Logs are looked at from now on, whatever the interval says.
  void check_now() { next_check_at_ = 0; }
  Nanos next_deadline() const;

 private:
  static constexpr Nanos kAskEvery = 10 * kMillisecond;  // for news of the job

  struct Job {
    LogId log;
    bool cancelled = false;
  };
  // What of a log is to be cleaned.
  struct Dirt {
    Offset from{0};
    Offset below{0};
    uint64_t clean_bytes = 0;
    uint64_t dirty_bytes = 0;
    bool overdue = false;  // max.compaction.lag.ms
    double ratio() const {
      return dirty_bytes == 0 ? 0 : static_cast<double>(dirty_bytes) / static_cast<double>(dirty_bytes + clean_bytes);
    }
  };

  void take_news();
  bool take(CleaningNews& news);
  bool swap(PartitionLog& log, CleaningNews& news);
  void end(const CleaningNews& news);
  void expire_retired();
  void look();
  void seal_if_old(PartitionLog& log, int64_t now_ms);
  Dirt dirt_of(const PartitionLog& log, int64_t now_ms) const;
  void begin(PartitionLog& log, const Dirt& dirt);

  Shard& shard_;
  Destager& destager_;
  CompactionLink* const link_;
  const Tell tell_;
  std::optional<Job> job_;
  std::optional<CleaningNews> news_;  // looked at, and waits
  Nanos next_check_at_ = 0;
  Nanos ask_at_ = 0;
  std::vector<LogId> to_look_at_;
  std::optional<LogId> best_;  // of the round under way
  double best_ratio_ = 0;
  double worst_dirt_ = 0;            // of all logs, for the gauge
  std::set<LogId> given_up_;         // a segment of it is damaged
  std::map<LogId, Nanos> retry_at_;  // its last job failed
  std::set<LogId> has_retired_;
  uint64_t revisions_ = 0;  // of this life
  bool stopped_ = false;
};

}  // namespace penstock::storage
