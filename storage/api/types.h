// The nouns of storage that other layers may see.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

#include "base/counters.h"
#include "base/strong.h"
#include "protocol/types.h"

namespace penstock::storage {

using LogId = Id<struct LogIdTag, uint64_t>;    // a partition's log; never reused: a name made again gets a new one
using Lsn = Position<struct LsnTag, uint64_t>;  // byte place in the infinite log that the ring is a window of

using RingId = std::array<uint8_t, 16>;  // random, made with the ring

// What a ring is known by: its id, and how often a broker has started with it. A ring that was made by itself has
// another id; a copy of before the last start has not come as far. One that was made since that start looks the same.
struct RingLife {
  RingId ring_id{};
  uint64_t generation = 0;
  friend bool operator==(const RingLife&, const RingLife&) = default;
};

// log_start_offset <= durable <= log_end_offset. On a single node high_watermark is durable.
struct LogOffsets {
  Offset log_start_offset;
  Offset durable;
  Offset log_end_offset;
};

// What of a topic's settings touches its log; by Kafka's names. A period of -1 never ends, a size of -1 has no bound.
struct LogConfig {
  uint64_t segment_bytes = 1 << 30;
  int64_t segment_ms = 7LL * 24 * 3600 * 1000;
  int64_t retention_ms = 7LL * 24 * 3600 * 1000;
  int64_t retention_bytes = -1;
  bool delete_old = true;  // cleanup.policy names delete
  // cleanup.policy names compact, and what else of it a cleaning goes by.
  bool compact = false;
  int64_t delete_retention_ms = 24LL * 3600 * 1000;  // of tombstones, from the first cleaning that kept them on
  int64_t min_compaction_lag_ms = 0;                 // so long a record is left alone
  int64_t max_compaction_lag_ms = INT64_MAX;         // after so long it is cleaned, however little there is to clean
  double min_cleanable_dirty_ratio = 0.5;            // of uncleaned bytes to all: below it nothing is cleaned
  int64_t file_delete_delay_ms = 60'000;             // how long what a cleaning replaced is kept for who reads it
  bool append_time = false;                          // message.timestamp.type is LogAppendTime
  // Else how far a record's timestamp may lie from the broker's clock.
  int64_t timestamp_before_max_ms = INT64_MAX;
  int64_t timestamp_after_max_ms = INT64_MAX;
  // The longest that a segment stays open.
  int64_t segment_ms_most() const { return compact ? std::min(segment_ms, max_compaction_lag_ms) : segment_ms; }
  friend bool operator==(const LogConfig&, const LogConfig&) = default;
};

struct LogToOpen {
  LogId id;
  LogConfig config{};
};

enum class Metric : uint16_t {
#define METRIC(id, kind, help) id,
#include "storage/api/metrics.def"
#undef METRIC
  kCount
};
using StorageCounters = Counters<Metric>;

struct StorageOptions {
#define OPTION_INT(id, name, default_value, min, max, unit, help) int64_t id = default_value;
#define OPTION_BOOL(id, name, default_value, help) bool id = default_value;
#define OPTION_TEXT(id, name, default_value, allowed, help) std::string id = default_value;
#include "storage/api/options.def"
#undef OPTION_INT
#undef OPTION_BOOL
#undef OPTION_TEXT
};

}  // namespace penstock::storage
