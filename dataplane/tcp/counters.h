// The counters of one stack, over metrics.def.
#pragma once

#include <cstdint>

#include "base/counters.h"

namespace penstock::dataplane::tcp {

enum class Metric : uint8_t {
#define METRIC(id, kind, help) id,
#include "dataplane/tcp/metrics.def"
#undef METRIC
  kCount,
};

using TcpCounters = Counters<Metric>;

inline constexpr MetricInfo kMetrics[] = {
#define METRIC(id, kind, help) {#id, MetricKind::kind, help},
#include "dataplane/tcp/metrics.def"
#undef METRIC
};

}  // namespace penstock::dataplane::tcp
