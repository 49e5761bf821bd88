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

// Where a batch lies. 48 bytes a batch; the ring holds a batch in no less than 110, so the index is bounded by the
// ring.
struct BatchRef {
  Offset base_offset;
  int64_t max_timestamp;
  Lsn at;  // its first byte; it may go on behind a chunk's end
  uint32_t bytes;
  int32_t last_offset_delta;
  int64_t max_so_far = 0;  // greatest timestamp of this batch and all before it
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
    batches.back().max_so_far =
        batches.size() == 1 ? ref.max_timestamp : std::max(ref.max_timestamp, batches[batches.size() - 2].max_so_far);
    log_end_offset = ref.next_offset();
  }
  // The first durable batch whose greatest timestamp is at least t; nullptr if there is none.
  const BatchRef* first_with_time(int64_t t) const {
    const auto it = std::ranges::partition_point(batches, [&](const BatchRef& b) { return b.max_so_far < t; });
    return it == batches.end() || it->next_offset() > durable ? nullptr : &*it;
  }
  // Place in batches of the one that holds offset; batches.size() if offset is at or behind the end.
  size_t find(Offset offset) const {
    const auto it = std::ranges::partition_point(batches, [&](const BatchRef& b) { return b.next_offset() <= offset; });
    return static_cast<size_t>(it - batches.begin());
  }
};

}  // namespace penstock::storage
