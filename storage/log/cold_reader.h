// ColdReader: finds batches in segments: by offset for a fetch or a truncation, by time for ListOffsets. An index gives
// a place at or before the batch, and the headers from there on lead to it. Everything it looks at comes out of the
// ColdCache, checked; kWouldBlock means that it is being read. Owned by one lcore.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "storage/api/store.h"
#include "storage/log/cold_cache.h"
#include "storage/log/index_loader.h"
#include "storage/log/shard.h"
#include "storage/segment/segment_scan.h"

namespace penstock::storage {

class ColdReader {
 public:
  ColdReader(ColdCache& cache, IndexLoader& indexes) : cache_(cache), indexes_(indexes) {}

  // The batch of segment that holds offset (or the first behind it). kNotFound: none does.
  Result<BatchPlace> find(PartitionLog& log, const Segment& segment, Offset offset);
  // A cursor for a fetch from offset on, within segment; see Store::plan_read.
  Result<ReadCursor> plan(PartitionLog& log, const Segment& segment, Offset from, uint64_t max_bytes,
                          bool at_least_one);
  // The first record of segment, from the log's start on, whose timestamp is at least t. kNotFound: none is. A part at
  // each call, like max_timestamp(), where many blocks have to be looked at.
  Result<TimeAndOffset> find_by_time(PartitionLog& log, const Segment& segment, int64_t t);
  // The greatest timestamp of segment's records from the log's start on. kNotFound: it has none. Most often the index
  // tells; else all headers are read, a part at each call until it is known.
  Result<int64_t> max_timestamp(PartitionLog& log, const Segment& segment);
  // Copies the segment's bytes [position, position + out.size()).
  Result<void> copy(PartitionLog& log, const Segment& segment, uint64_t position, std::span<std::byte> out);

 private:
  Result<std::vector<std::byte>> batch_or_header(PartitionLog& log, const Segment& segment, const BatchPlace& place);
  Result<TimeAndOffset> walk_to_time(PartitionLog& log, const Segment& segment, uint64_t& from, int64_t t);
  Result<uint64_t> promised(PartitionLog& log, const Segment& segment, const BatchPlace& first);
  using Wanted = std::function<bool(const protocol::RecordBatchView&, uint64_t position)>;
  Result<BatchPlace> walk_from(PartitionLog& log, const Segment& segment, uint64_t position, Offset from,
                               const Wanted& wanted);

  ColdCache& cache_;
  IndexLoader& indexes_;
};

// The first record of a batch, at or behind from, whose timestamp is at least t; nothing if there is none. Compressed,
// with the broker's time, or the header alone: its first.
std::optional<TimeAndOffset> first_at_or_after(std::span<const std::byte> batch, int64_t t, Offset from);
// The greatest timestamp of a batch's records at or behind from, of which there is one; in those cases, of all of them.
int64_t greatest_time(std::span<const std::byte> batch, Offset from);

}  // namespace penstock::storage
