// Nouns of the dataplane that control may see: its options and counters.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "base/counters.h"
#include "base/strong.h"
#include "base/units.h"

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

// How long an lcore without work polls before it sleeps; with idle.strategy=spin it never does.
struct SpinTimes {
  static constexpr Nanos kForever = INT64_MAX;

  explicit SpinTimes(const DataplaneOptions& options) {
    if (options.idle_strategy == "spin") return;
    idle = options.idle_spin_us * kMicrosecond;
    commit = std::max(options.idle_spin_us, options.commit_spin_us) * kMicrosecond;
  }
  bool forever() const { return idle == kForever; }

  Nanos idle = kForever;
  Nanos commit = kForever;  // while a small commit is at the drive
};

// A connection of one lcore. Never reused while the process lives, so a late answer cannot reach a stranger.
using ConnectionId = Id<struct ConnectionIdTag, uint64_t>;

}  // namespace penstock::dataplane
