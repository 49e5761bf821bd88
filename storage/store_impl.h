// The body of Store, shared by store.cc (life), store_open.cc (recovery), store_append.cc and store_read.cc.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <unordered_map>
#include <vector>

#include "base/on_lcore.h"
#include "storage/api/store.h"
#include "storage/log/partition_log.h"
#include "storage/ring/recovery.h"
#include "storage/ring/ring_writer.h"
#include "storage/ring/state_slots.h"

namespace penstock::storage {

class Store::Impl {
 public:
  explicit Impl(const StoreRequest& request)
      : disk(*request.disk), clock(*request.clock), counters(*request.counters), options(request.options) {}

  // An append that waits for durable_ to reach end.
  struct Pending {
    Lsn end;
    Offset next_offset;
    PartitionLog* log;
  };

  PartitionLog* find(LogId log) const {
    const auto it = logs.find(log);
    return it == logs.end() ? nullptr : it->second.get();
  }
  AppendResult append(PartitionLog& log, LeaderEpoch epoch, const BufferChain& chain, size_t at, size_t length);
  std::optional<AppendResult> find_repeat(const PartitionLog& log, const BufferChain& chain, size_t at);
  // Frees ring space below the oldest batch that a live log needs, once that is worth a state write.
  void plan_tail(bool at_stop);
  // Gives last_state to the state writer, with the ring's durable end as of now.
  void write_state();
  void settle_pending();
  void settle_op(DiskOp& op);
  void bury(LogId log);
  void update_gauges();

  OnLcore owner;
  Disk& disk;
  Clock& clock;
  StorageCounters& counters;
  const StorageOptions options;
  std::unique_ptr<RingWriter> ring;
  std::unique_ptr<StateWriter> state;
  RingState last_state;  // last one given to the state writer
  std::unique_ptr<SlotEncoder> encoder;
  FileHandle ring_file;
  std::array<StateWriter::File, 2> state_files;

  std::unordered_map<LogId, std::unique_ptr<PartitionLog>> logs;
  std::vector<std::unique_ptr<PartitionLog>> buried;  // dropped, but named by pending appends
  std::deque<Pending> pending;                        // in ring order; bounded by unflushed_max_bytes
  std::vector<LogId> advanced;
  uint64_t polls = 0;
  uint64_t producers_tracked = 0;
  bool poisoned = false;
  bool stopping = false;
  bool stop_state_written = false;
  bool tail_dirty = true;  // a log was dropped since the tail was last planned, or the last start ended in between
};

}  // namespace penstock::storage
