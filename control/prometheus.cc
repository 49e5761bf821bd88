#include "control/prometheus.h"

namespace penstock::control {
namespace {

#define METRIC(id, kind, help) {#id, MetricKind::kind, help},
constexpr MetricInfo kControl[] = {
#include "control/metrics.def"
};
constexpr MetricInfo kStorage[] = {
#include "storage/api/metrics.def"
};
constexpr MetricInfo kDataplane[] = {
#include "dataplane/api/metrics.def"
};
#undef METRIC

void head(std::string& text, const MetricInfo& metric) {
  const std::string name = exported_name(metric);
  text.append("# HELP ").append(name).append(" ").append(metric.help).append("\n# TYPE ").append(name);
  text += metric.kind == MetricKind::kCounter ? " counter\n" : " gauge\n";
}

std::string label(std::string_view name, size_t value) {
  return std::string(name) + "=\"" + std::to_string(value) + "\"";
}

void line(std::string& text, const MetricInfo& metric, const std::string& labels, uint64_t value) {
  text += exported_name(metric);
  if (!labels.empty()) text += "{" + labels + "}";
  text += " " + std::to_string(value) + "\n";
}

}  // namespace

std::span<const MetricInfo> control_metrics() { return kControl; }
std::span<const MetricInfo> storage_metrics() { return kStorage; }
std::span<const MetricInfo> dataplane_metrics() { return kDataplane; }

std::string exported_name(const MetricInfo& metric) {
  std::string name("penstock_");
  name += metric.name;
  if (metric.kind == MetricKind::kCounter) name += "_total";
  return name;
}

// One family a metric: its head, then a line a ring or lcore.
std::string prometheus_text(const ControlCounters& control, std::span<const RingCounters> rings,
                            std::span<const dataplane::DataplaneCounters> lcores,
                            std::span<const ShownDevice> devices) {
  std::string text;
  for (size_t i = 0; i < control_metrics().size(); ++i) {
    head(text, kControl[i]);
    line(text, kControl[i], "", control.get(static_cast<Metric>(i)));
  }
  for (size_t i = 0; i < storage_metrics().size(); ++i) {
    head(text, kStorage[i]);
    for (const RingCounters& ring : rings) {
      line(text, kStorage[i], label("lcore", ring.lcore) + "," + label("ring", ring.ring),
           ring.storage.get(static_cast<storage::Metric>(i)));
    }
  }
  for (size_t i = 0; i < dataplane_metrics().size(); ++i) {
    head(text, kDataplane[i]);
    for (size_t lcore = 0; lcore < lcores.size(); ++lcore)
      line(text, kDataplane[i], label("lcore", lcore), lcores[lcore].get(static_cast<dataplane::Metric>(i)));
  }
  for (size_t i = 0; i < std::size(dataplane::kDeviceMetrics) && !devices.empty(); ++i) {
    head(text, dataplane::kDeviceMetrics[i]);
    for (const ShownDevice& device : devices) {
      line(text, dataplane::kDeviceMetrics[i], label("lcore", device.lcore) + ",device=\"" + device.name + "\"",
           dataplane::device_metric(*device.counters, i));
    }
  }
  return text;
}

}  // namespace penstock::control
