// The body of Store, shared by store.cc (life), store_open.cc and store_replay.cc (recovery), store_append.cc and
// store_read.cc. The parts are in storage/log; a turn calls each once.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <vector>

#include "base/mapped_memory.h"
#include "base/on_lcore.h"
#include "storage/api/store.h"
#include "storage/log/checkpointer.h"
#include "storage/log/cold_cache.h"
#include "storage/log/cold_reader.h"
#include "storage/log/compactor.h"
#include "storage/log/destager.h"
#include "storage/log/index_loader.h"
#include "storage/log/janitor.h"
#include "storage/log/scrubber.h"
#include "storage/log/sealer.h"
#include "storage/log/segment_files.h"
#include "storage/log/shard.h"
#include "storage/log/space.h"
#include "storage/log/trimmer.h"
#include "storage/log/truncator.h"

namespace penstock::storage {

// Memory aligned for direct I/O; empty if there is none.
class AlignedMemory {
 public:
  AlignedMemory(size_t bytes, size_t align) : memory_(static_cast<std::byte*>(std::aligned_alloc(align, bytes))) {
    if (memory_ != nullptr) span_ = {memory_.get(), bytes};
  }
  std::span<std::byte> span() const { return span_; }

 private:
  struct Freer {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  std::unique_ptr<std::byte, Freer> memory_;
  std::span<std::byte> span_;
};

class Store::Impl {
 public:
  // Whatever of it is empty there is no memory for.
  struct Buffers {
    explicit Buffers(const StoreRequest& request);
    MappedMemory staging;
    AlignedMemory scrub;
    MappedMemory own_cold;      // unless the request gives it
    std::span<std::byte> cold;  // what the cache of cold reads is made of
  };
  Impl(const StoreRequest& request, Buffers taken);
  ~Impl();

  // An append that waits for durable_ to reach end.
  struct Pending {
    Lsn end;
    Offset next_offset;
    uint64_t bytes;
    PartitionLog* log;
  };

  PartitionLog* find(LogId log) const { return shard.find(log); }
  PartitionLog& make_log(LogId log, const LogConfig& config);
  AppendResult append(PartitionLog& log, LeaderEpoch epoch, const BufferChain& chain, size_t at, size_t length,
                      const std::optional<RecordTimes>& times);
  std::optional<AppendResult> find_repeat(const PartitionLog& log, const BufferChain& chain, size_t at);

  // A segment is not in its log's list any more: nothing of it is read, and its files go in time.
  void drop_segment(PartitionLog& log, SegmentId id);
  void seal_segment(PartitionLog& log, const Segment& segment, std::unique_ptr<OpenSegment> open);
  void write_sidecar(LogId log, SegmentId id, SegmentIndex index, bool sealed);

  void run_parts();
  void settle_pending();
  void settle_buried();
  void bury(LogId log);
  void update_gauges();
  void go_on_stopping();

  // ---- reading (store_read.cc)
  struct Located {
    const Segment* segment = nullptr;  // on the drive, or
    uint64_t position = 0;
    size_t batch = 0;  // in memory, and bytes of it to skip
    uint64_t skip = 0;
  };
  Result<Located> locate(PartitionLog& log, const ReadCursor& cursor);
  Result<Located> locate_cold(PartitionLog& log, const ReadCursor& cursor);
  Located locate_in_memory(const PartitionLog& log, uint64_t skip) const;
  Result<size_t> view_memory(const PartitionLog& log, const Located& from, uint64_t bytes,
                             std::span<std::span<const std::byte>> pieces) const;
  TimeFound find_time(PartitionLog& log, int64_t t);
  Result<int64_t> greatest_time_in_segments(PartitionLog& log, int64_t best);
  std::vector<std::byte> bytes_of(const BatchRef& ref) const;

  OnLcore owner;
  Shard shard;
  FileHandle ring_file;
  Buffers buffers;
  SegmentFiles files;
  IndexLoader indexes;
  ColdCache cold;
  ColdReader reader;
  Destager destager;
  Sealer sealer;
  Janitor janitor;
  Trimmer trimmer;
  Truncator truncator;
  Compactor compactor;
  Scrubber scrubber;
  Space space;
  std::unique_ptr<Checkpointer> checkpointer;  // once the state is read

  std::vector<std::unique_ptr<PartitionLog>> buried;  // dropped, but named by pending appends or writes
  std::deque<Pending> pending;                        // in ring order; bounded by unflushed_max_bytes
  uint64_t loans = 0;                                 // that were not taken back
  std::vector<LogId> advanced;
  std::vector<LogId> readable;  // as of the last poll
  uint64_t polls = 0;
  uint64_t slots_durable = 0;  // the number of the newest
  bool stopping = false;
  bool open_segments_cut = false;
  bool last_slot_wanted = false;
  Nanos stop_began_at = 0;
  mutable uint64_t damage_seen = 0;  // of health(): when it last looked
  mutable size_t logs_seen = 0;
  mutable uint64_t damaged_logs = 0;
};

}  // namespace penstock::storage
