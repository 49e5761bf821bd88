// The counters of one lcore's share of a device: of its queue, its network layer and its TCP stack. Written by that
// lcore, read by control at any time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/counters.h"
#include "dataplane/net/metrics.h"
#include "dataplane/tcp/counters.h"

namespace penstock::dataplane {

enum class NicMetric : uint16_t {
#define METRIC(id, kind, help) id,
#include "dataplane/net/nic_metrics.def"
#undef METRIC
  kCount
};

struct DeviceCounters {
  Counters<NicMetric> nic;
  net::NetCounters net;
  tcp::TcpCounters tcp;
};

// The three lists, one behind the other.
inline constexpr MetricInfo kDeviceMetrics[] = {
#define METRIC(id, kind, help) {#id, MetricKind::kind, help},
#include "dataplane/net/metrics.def"
#include "dataplane/net/nic_metrics.def"
#include "dataplane/tcp/metrics.def"
#undef METRIC
};

// The value of kDeviceMetrics[index].
inline uint64_t device_metric(const DeviceCounters& counters, size_t index) {
  constexpr auto kNet = static_cast<size_t>(net::NetMetric::kCount);
  constexpr auto kNic = static_cast<size_t>(NicMetric::kCount);
  if (index < kNet) return counters.net.get(static_cast<net::NetMetric>(index));
  if (index < kNet + kNic) return counters.nic.get(static_cast<NicMetric>(index - kNet));
  return counters.tcp.get(static_cast<tcp::Metric>(index - kNet - kNic));
}

}  // namespace penstock::dataplane
