// Nouns of control: its options and counters.
#pragma once

#include <cstdint>
#include <string>

#include "base/counters.h"

namespace penstock::control {

enum class Metric : uint16_t {
#define METRIC(id, kind, help) id,
#include "control/metrics.def"
#undef METRIC
  kCount
};
using ControlCounters = Counters<Metric>;

// Of log.retention.ms and log.retention.minutes: the coarser unit counts.
inline constexpr int64_t kNotSet = -2;

struct BrokerOptions {
#define OPTION_INT(id, name, default_value, min, max, unit, help) int64_t id = default_value;
#define OPTION_BOOL(id, name, default_value, help) bool id = default_value;
#define OPTION_TEXT(id, name, default_value, allowed, help) std::string id = default_value;
#include "control/options.def"
#undef OPTION_INT
#undef OPTION_BOOL
#undef OPTION_TEXT
};

}  // namespace penstock::control
