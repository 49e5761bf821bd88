// Sealer: what a segment gets when it will not grow any more: its file cut to its bytes, and a sidecar. At a clean stop
// the open segments get both too. Sidecars are caches with a checksum: one that a crash tears is made again. Owned by
// one lcore; nothing here blocks.
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <vector>

#include "storage/log/segment_files.h"
#include "storage/log/shard.h"
#include "storage/segment/sidecar.h"

namespace penstock::storage {

class Sealer {
 public:
  Sealer(Shard& shard, SegmentFiles& files);
  ~Sealer();

  // Cuts the segment's file to bytes; does nothing about one that is shorter or not there: it lost what it had, and
  // zeros in the place of that would hide it.
  void cut(LogId log, SegmentId id, uint64_t bytes);
  void write_sidecar(LogId log, SegmentId id, Sidecar sidecar);
  // Of a deleted segment: what is not begun is not done.
  void forget(LogId log, SegmentId id);
  // Something of this log is under way: its files may not be written or truncated now.
  bool works_on(LogId log) const;

  // Once a turn.
  void run();
  bool idle() const { return tasks_.empty() && waiting_.empty(); }

 private:
  struct Task;
  void go_on(Task& task);
  void cut_file(Task& task);
  void write(Task& task);

  Shard& shard_;
  SegmentFiles& files_;
  std::deque<std::unique_ptr<Task>> waiting_;
  std::list<std::unique_ptr<Task>> tasks_;  // under way
};

}  // namespace penstock::storage
