// IndexLoader: the indexes of segments that nothing is written to: from their sidecars, or, where one is missing or
// damaged, by a scan of the segment. The scan goes on behind what is bad where it can, and leaves Segment::holes. Holds
// as many as fit into its bound, longest unused forgotten first. Also finds the part of an open segment's index that
// lies before this life. Owned by one lcore; nothing here blocks.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "storage/log/segment_files.h"
#include "storage/log/shard.h"
#include "storage/segment/segment_scan.h"
#include "storage/segment/sidecar.h"

namespace penstock::storage {

class IndexLoader {
 public:
  // rebuilt: told of each index that a scan made of a good segment, so that its sidecar can be written again.
  using Rebuilt = std::function<void(LogId, SegmentId, const SegmentIndex&)>;
  IndexLoader(Shard& shard, SegmentFiles& files, uint64_t bytes_max, Rebuilt rebuilt);
  ~IndexLoader();

  // The index of a segment of the log, of [0, segment.bytes) at least; it has no batches of segment.holes. kWouldBlock:
  // it is being read; the log stands in shard.readable when there is news. kCorrupt: nothing of the segment is there.
  // Any other error: its file could not be opened a moment ago; asked for later, that is tried again. Valid until the
  // next call.
  Result<const SegmentIndex*> get(PartitionLog& log, const Segment& segment);
  // A sealed segment's index, known from having written it.
  void put(LogId log, SegmentId id, SegmentIndex index);
  void forget(LogId log, SegmentId id);
  void forget(LogId log);

  // Once a turn: goes on with what is being read.
  void run();
  bool idle() const { return tasks_.empty(); }

 private:
  static constexpr Nanos kRetryAfter = 200 * kMillisecond;

  using Key = std::pair<LogId, SegmentId>;
  struct Held {
    Key key;
    SegmentIndex index;
  };
  struct Refused {
    Error error;
    Nanos until;
  };
  struct Task;

  // Bytes did not match the index: it is made from the segment itself when it is wanted again.
  void distrust(LogId log, SegmentId id);
  Result<const SegmentIndex*> start(PartitionLog& log, const Segment& segment, uint64_t bytes);
  void go_on(Task& task);
  void sidecar_read(Task& task);
  void begin_scan(Task& task);
  void read_on(Task& task, uint64_t at);
  void scan_more(Task& task);
  void tail_more(Task& task);
  size_t take_read(Task& task);
  void finish(Task& task);
  void give_up(Task& task, Error error);
  void insert(Key key, SegmentIndex index);
  void drop_index(Key key);

  Shard& shard_;
  SegmentFiles& files_;
  const uint64_t bytes_max_;
  const Rebuilt rebuilt_;
  uint64_t bytes_ = 0;
  std::list<Held> held_;  // longest unused first
  std::map<Key, std::list<Held>::iterator> by_key_;
  std::set<Key> damaged_;           // segments of which there is nothing
  std::map<Key, Refused> refused_;  // segments whose files cannot be opened now: lack of descriptors, a failing drive
  std::set<Key> distrusted_;        // segments whose sidecars do not count
  std::list<std::unique_ptr<Task>> tasks_;
  std::set<LogId> waits_;  // logs for which there was no task: told when there is one to have
};

}  // namespace penstock::storage
