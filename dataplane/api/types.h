// Nouns of the dataplane that control may see: its options and counters.
#pragma once

#include <cstdint>
#include <string>

#include "base/counters.h"
#include "base/strong.h"

namespace penstock::dataplane {

enum class Metric : uint16_t {
#define METRIC(id, kind, help) id,
#include "dataplane/api/metrics.def"
#undef METRIC
  kCount
};
using DataplaneCounters = Counters<Metric>;

struct DataplaneOptions {
#define OPTION_INT(id, name, default_value, min, max, unit, help) int64_t id = default_value;
#define OPTION_BOOL(id, name, default_value, help) bool id = default_value;
#define OPTION_TEXT(id, name, default_value, allowed, help) std::string id = default_value;
#include "dataplane/api/options.def"
#undef OPTION_INT
#undef OPTION_BOOL
#undef OPTION_TEXT
};

// A connection of one lcore. Never reused while the process lives, so a late answer cannot reach a stranger.
using ConnectionId = Id<struct ConnectionIdTag, uint64_t>;

}  // namespace penstock::dataplane
