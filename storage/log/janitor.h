// Janitor: deletes files that nobody needs any more: segments below a log's start or behind a truncation, once the
// state slot that no longer names them is durable; the folders of deleted logs; and, once after a start, whatever an
// earlier life left behind. Owned by one lcore; nothing here blocks, and a few files at a time are on their way.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "storage/log/shard.h"

namespace penstock::storage {

class Janitor {
 public:
  explicit Janitor(Shard& shard);
  ~Janitor();

  // Both files of a segment that the log's state no longer names, once a slot begun after now is durable.
  void remove_segment(LogId log, SegmentId id, uint64_t slots_begun);
  // The sidecar of a segment whose end was cut off: it would fit one that grows to the same length again. The log
  // writes no segment before it is gone (PartitionLog::stale_sidecars).
  void remove_sidecar(PartitionLog& log, SegmentId id);
  // A deleted log's folder: nothing of it is read or written any more.
  void remove_log(LogId log);
  // Once after a start: deletes folders of logs that do not live, and files that their logs do not name. foreign: a
  // log of another ring of this folder, which is left alone.
  // generation: of this life. What its compactions make is not theirs who came before.
  void sweep(std::function<bool(LogId)> foreign, uint64_t generation);
  // The slot of this number is durable.
  void slot_durable(uint64_t number);

  // Files wait for a state slot.
  bool waits_for_slot() const { return !waiting_.empty(); }
  // Once a turn.
  void run();
  bool idle() const { return queue_.empty() && tasks_.empty(); }

 private:
  struct Task;
  struct Waiting {
    LogId log;
    SegmentId id;
    uint64_t slot;
  };
  enum class What : uint8_t { kUnlink, kUnlinkStale, kListLog, kRemoveDir, kListAll };
  struct Work {
    What what;
    LogId log{};
    std::string path{};
    bool all = false;               // kListLog: everything in it, and then itself
    std::optional<SegmentId> id{};  // kUnlink: of this segment, unless the log has come to it again
  };

  bool is_in_use(const Work& work) const;
  void done(const Work& work, const FileOp& op);
  void listed_all(const FileOp& op);
  void listed_log(const Work& work, const FileOp& op);

  Shard& shard_;
  std::function<bool(LogId)> foreign_;
  uint64_t generation_ = 0;
  std::deque<Waiting> waiting_;
  std::deque<Work> queue_;
  std::list<std::unique_ptr<Task>> tasks_;
};

}  // namespace penstock::storage
