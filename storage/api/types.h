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
