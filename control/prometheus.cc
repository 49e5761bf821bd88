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

// One family a metric: its head, then a line an lcore.
template <class Metric, class Get>
void add_lcore_metrics(std::string& text, std::span<const MetricInfo> metrics, size_t lcores, Get&& get) {
  for (size_t i = 0; i < metrics.size(); ++i) {
    head(text, metrics[i]);
    for (size_t lcore = 0; lcore < lcores; ++lcore) {
      text += exported_name(metrics[i]) + "{lcore=\"" + std::to_string(lcore) + "\"} ";
      text += std::to_string(get(lcore, static_cast<Metric>(i))) + "\n";
    }
  }
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

std::string prometheus_text(const ControlCounters& control, std::span<const LcoreCounters> lcores) {
  std::string text;
  for (size_t i = 0; i < control_metrics().size(); ++i) {
    head(text, kControl[i]);
    text += exported_name(kControl[i]) + " " + std::to_string(control.get(static_cast<Metric>(i))) + "\n";
  }
  add_lcore_metrics<storage::Metric>(text, kStorage, lcores.size(), [&](size_t lcore, storage::Metric metric) {
    return lcores[lcore].storage.get(metric);
  });
  add_lcore_metrics<dataplane::Metric>(text, kDataplane, lcores.size(), [&](size_t lcore, dataplane::Metric metric) {
    return lcores[lcore].dataplane.get(metric);
  });
  return text;
}

}  // namespace penstock::control
