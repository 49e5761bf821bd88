// The network layer's counters by name; the list is metrics.def.
#pragma once

#include <cstdint>

#include "base/counters.h"

namespace penstock::dataplane::net {

enum class NetMetric : uint16_t {
#define METRIC(id, kind, help) id,
#include "dataplane/net/metrics.def"
#undef METRIC
  kCount
};

using NetCounters = Counters<NetMetric>;

}  // namespace penstock::dataplane::net
