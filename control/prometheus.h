// Counters as Prometheus reads them: https://prometheus.io/docs/instrumenting/exposition_formats/ (text format 0.0.4).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "control/group_samples.h"
#include "control/types.h"
#include "dataplane/api/device_counters.h"
#include "dataplane/api/types.h"
#include "storage/api/types.h"

namespace penstock::control {

// By ring and the lcore that hosts it, which are their labels.
struct RingCounters {
  uint16_t ring = 0;
  uint16_t lcore = 0;
  storage::StorageCounters storage;
};

// By device and lcore, which are their labels.
struct ShownDevice {
  std::string name;
  uint16_t lcore = 0;
  const dataplane::DeviceCounters* counters = nullptr;
};

// Each layer's list, in the order of its metrics.def.
std::span<const MetricInfo> control_metrics();
std::span<const MetricInfo> storage_metrics();
std::span<const MetricInfo> dataplane_metrics();
std::span<const MetricInfo> group_metrics();

// penstock_<name>_total for a counter, penstock_<name> for a gauge.
std::string exported_name(const MetricInfo& metric);

// lcores: by index, which is their label. groups: nullptr: nothing is known of them now, and nothing told.
std::string prometheus_text(const ControlCounters& control, std::span<const RingCounters> rings,
                            std::span<const dataplane::DataplaneCounters> lcores,
                            std::span<const ShownDevice> devices = {}, const GroupSamples* groups = nullptr);

}  // namespace penstock::control
