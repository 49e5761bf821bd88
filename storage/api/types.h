// The nouns of storage that other layers may see.
#pragma once

#include <cstdint>
#include <string>

#include "base/counters.h"
#include "base/strong.h"
#include "protocol/types.h"

namespace penstock::storage {

using LogId = Id<struct LogIdTag, uint64_t>;    // a partition's log; never reused: a name made again gets a new one
using Lsn = Position<struct LsnTag, uint64_t>;  // byte place in the infinite log that the ring is a window of

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
  bool delete_old = true;    // cleanup.policy names delete
  bool append_time = false;  // message.timestamp.type is LogAppendTime
  // Else how far a record's timestamp may lie from the broker's clock.
  int64_t timestamp_before_max_ms = INT64_MAX;
  int64_t timestamp_after_max_ms = INT64_MAX;
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
