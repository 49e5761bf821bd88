// PartitionLog: one partition's log as its lcore knows it: offsets, segments, which batches are in the ring's memory,
// what its producers sent. Everything here is rebuilt from state slot, ring and segments.
//
//   log_start_offset      written        durable     log_end_offset
//   |  segments  ...........|               |               |
//                   |  batches: in the ring's memory .......|
//
// written <= durable: whole batches whose writes into segments have completed. What is not written is in the ring and
// in memory; what is written stays in memory, as a cache, until the ring's writer comes round to it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "base/assert.h"
#include "base/units.h"
#include "protocol/record_batch.h"
#include "storage/api/types.h"
#include "storage/log/epoch_cache.h"
#include "storage/log/producer_table.h"
#include "storage/log/time_scans.h"
#include "storage/segment/bad_places.h"
#include "storage/segment/segment_index.h"
#include "storage/segment/segment_path.h"

namespace penstock::storage {

// Where a batch lies. 48 bytes a batch; the ring holds a batch in no less than 110, so the index is bounded by the
// ring.
struct BatchRef {
  Offset base_offset;
  int64_t max_timestamp;
  Lsn at;  // its first byte; it may go on behind a chunk's end
  uint32_t bytes;
  int32_t last_offset_delta;
  int64_t max_so_far = 0;  // greatest timestamp of this batch and all before it in memory
  Offset next_offset() const { return base_offset + (int64_t{last_offset_delta} + 1); }
};

// One file of the log. The last one is open: destage writes behind its end.
struct Segment {
  Offset base;
  uint64_t bytes = 0;  // of whole batches, written
  int64_t first_timestamp = protocol::kNoTimestamp;
  int64_t max_timestamp = protocol::kNoTimestamp;
  uint64_t revision = 0;               // of its file: what a compaction made, if not 0
  bool damaged = false;                // some of it failed its checksums; told once
  BadIntervals bad{};                  // as of when they were read last
  Holes holes{};                       // as of when its index was made by a scan
  int64_t written_ms = 0;              // wall time of this process' last write
  int64_t latest_to_find = INT64_MAX;  // searches by time found nothing later; not for retention, which goes by all
  SegmentId id() const { return {base, revision}; }
  // No record from the log's start on is later: what max_timestamp is of may be cut off, or lie below the start.
  int64_t latest() const { return std::min(max_timestamp, latest_to_find); }
};

// A segment that a compaction has replaced. Answers that were promised of it are read on from it, for a while.
struct RetiredSegment {
  Segment segment;
  Offset end;  // where the next one began
  Nanos until = 0;
  uint64_t slot = 0;  // says that it was replaced: until that is on the drive, an older slot may still need its flush
};

// How far destage has come in the last segment. Both positions may stand inside a batch.
struct OpenSegment {
  explicit OpenSegment(Offset base) : index(base) {}
  OpenSegment(Offset base, uint64_t position, uint32_t interval_crc, uint32_t block_crc)
      : index(base, position, interval_crc),
        staged(position),
        written(position),
        written_crc(interval_crc),
        head_crc(block_crc) {}

  Offset segment() const { return index.base(); }

  SegmentIndex index;             // of [known_from, staged); what an unclean stop left unknown, a scan joins in front
  uint64_t staged = 0;            // bytes handed to writes
  uint64_t written = 0;           // of them, whose writes have completed
  uint32_t written_crc = 0;       // running CRC-32C of the interval that written stands in
  uint32_t head_crc = 0;          // CRC-32C of the block that written stands in, up to written
  std::vector<std::byte> head{};  // those bytes, where recovery found them in the ring
};

struct DestageJob;

// How far the search for a segment's greatest timestamp has come, where its index cannot tell.
struct MaxScan {
  Offset segment;
  uint64_t position = 0;
  int64_t best = INT64_MIN;
};

struct PartitionLog {
  explicit PartitionLog(LogId log) : id(log) {}

  const LogId id;
  LogConfig config{};
  bool dropped = false;           // deleted; kept until nothing names it any more
  uint32_t pending = 0;           // appends that are not durable yet
  uint64_t pending_bytes = 0;     // of them
  uint64_t advanced_in_poll = 0;  // the poll that last reported it, to report it once
  Offset log_start_offset{0};
  Lsn start_at{0};  // behind the ring entry that moved log_start_offset last
  Offset durable{0};
  int64_t append_time_ms = protocol::kNoTimestamp;  // the newest that this process gave
  int64_t untimed_at_ms = 0;  // wall time of this process' last append of records without a timestamp
  Offset log_end_offset{0};
  std::deque<BatchRef> batches;  // in the ring's memory, in offset order, without gaps
  ProducerTable producers;
  EpochCache epochs;

  // ---- segments
  std::vector<Segment> segments;  // by base; the last is open, if open is there
  std::unique_ptr<OpenSegment> open;
  Offset written{0};          // whole batches below it are in segments
  uint32_t written_skip = 0;  // bytes of the batch at written that are in the segment too
  Offset staged{0};           // the same of what was handed to writes
  uint32_t staged_skip = 0;
  uint64_t unstaged_bytes = 0;      // of batches in memory, not handed to writes
  std::optional<Lsn> dirty_at;      // where the first batch that is not written lies: it holds the ring's tail
  DestageJob* first_job = nullptr;  // writes in flight, in order of position
  DestageJob* last_job = nullptr;
  uint32_t jobs = 0;
  Nanos retry_at = 0;                  // a write, or an open for one, failed: not before this
  std::optional<Nanos> failing_since;  // of those, the first behind the last that worked
  bool stuck = false;                  // for so long that the operator has to do something
  bool queued = false;                 // in the destager's queue
  uint32_t stale_sidecars = 0;         // to be deleted before anything is written: they tell of what was cut off
  bool rewinding = false;              // a write failed: wait for the others, then stage again from written
  std::optional<Offset> truncate_to;   // takes no appends until it is done
  Lsn truncated_at{0};  // behind the ring's entry of the newest truncation: not before that is durable its file is cut
  std::optional<MaxScan> max_scan{};
  TimeScans time_scans{};

  // ---- compaction
  Offset cleaned_to{0};    // what lies below was cleaned: of each key, its last record below is there
  uint64_t swap_slot = 0;  // the slot of this number has the newest swap; truncations wait for it
  std::vector<RetiredSegment> retired;
  std::optional<Offset> roll_at;  // the open segment is wanted sealed, once all below is in it

  void add(const BatchRef& ref) {
    CHECK(ref.base_offset == log_end_offset);
    batches.push_back(ref);
    batches.back().max_so_far =
        batches.size() == 1 ? ref.max_timestamp : std::max(ref.max_timestamp, batches[batches.size() - 2].max_so_far);
    log_end_offset = ref.next_offset();
  }
  void newest_is_pending() {
    pending += 1;
    pending_bytes += batches.back().bytes;
  }
  // Forgets what the ring's writer has come round to.
  void evict(Lsn memory_floor) {
    while (!batches.empty() && batches.front().at < memory_floor) {
      CHECK(batches.front().next_offset() <= written);
      batches.pop_front();
    }
  }
  // First offset that memory has; log_end_offset if it has none.
  Offset memory_start() const { return batches.empty() ? log_end_offset : batches.front().base_offset; }
  // Place in batches of the first that can have a timestamp of at least t: those before have none. (Those that memory
  // has let go count in max_so_far too, so that one need not have.)
  size_t first_with_time(int64_t t) const {
    const auto it = std::ranges::partition_point(batches, [&](const BatchRef& b) { return b.max_so_far < t; });
    return static_cast<size_t>(it - batches.begin());
  }
  // Place in batches of the one that holds offset; batches.size() if offset is at or behind the end.
  size_t find(Offset offset) const {
    const auto it = std::ranges::partition_point(batches, [&](const BatchRef& b) { return b.next_offset() <= offset; });
    return static_cast<size_t>(it - batches.begin());
  }
  // The segment that holds offset; nullptr if none does.
  const Segment* segment_of(Offset offset) const {
    const auto behind = std::ranges::partition_point(segments, [&](const Segment& s) { return s.base <= offset; });
    return behind == segments.begin() ? nullptr : &*std::prev(behind);
  }
  Segment* find_segment(Offset base) {
    const auto it = std::ranges::lower_bound(segments, base, {}, &Segment::base);
    return it == segments.end() || it->base != base ? nullptr : &*it;
  }
  // The file, also of a segment that was replaced and is still read; nullptr if it is neither.
  Segment* find_file(SegmentId file) {
    Segment* segment = find_segment(file.base);
    if (segment != nullptr && segment->revision == file.revision) return segment;
    for (RetiredSegment& old : retired)
      if (old.segment.id() == file) return &old.segment;
    return nullptr;
  }
  bool is_open(const Segment& segment) const { return open != nullptr && &segment == &segments.back(); }
};

}  // namespace penstock::storage
