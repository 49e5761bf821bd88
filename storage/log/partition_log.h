// PartitionLog: one partition's log as its lcore knows it: offsets, where each batch lies, what its producers sent.
// The bytes are in the ring; everything here is rebuilt from them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>

#include "base/assert.h"
#include "storage/api/types.h"
#include "storage/log/producer_table.h"

namespace penstock::storage {

// Where a batch lies. 40 bytes a batch; the ring holds a batch in no less than 110, so the index is bounded by the
// ring.
struct BatchRef {
  Offset base_offset;
  int64_t max_timestamp;
  Lsn at;  // its first byte; it may go on behind a chunk's end
  uint32_t bytes;
  int32_t last_offset_delta;
  Offset next_offset() const { return base_offset + (int64_t{last_offset_delta} + 1); }
};

struct PartitionLog {
  explicit PartitionLog(LogId log) : id(log) {}

  const LogId id;
  bool dropped = false;           // deleted; kept until no pending append names it
  uint32_t pending = 0;           // appends that are not durable yet
  uint64_t advanced_in_poll = 0;  // the poll that last reported it, to report it once
  Offset log_start_offset{0};
  Offset durable{0};
  Offset log_end_offset{0};
  std::deque<BatchRef> batches;  // in offset order, without gaps
  ProducerTable producers;

  void add(const BatchRef& ref) {
    CHECK(ref.base_offset == log_end_offset);
    batches.push_back(ref);
    log_end_offset = ref.next_offset();
  }
  // Place in batches of the one that holds offset; batches.size() if offset is at or behind the end.
  size_t find(Offset offset) const {
    const auto it = std::ranges::partition_point(batches, [&](const BatchRef& b) { return b.next_offset() <= offset; });
    return static_cast<size_t>(it - batches.begin());
  }
};

}  // namespace penstock::storage
