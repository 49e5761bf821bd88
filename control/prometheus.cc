#include "control/prometheus.h"

#include <algorithm>
#include <utility>

#include "base/saturating.h"

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
constexpr MetricInfo kGroups[] = {
#include "control/group_metrics.def"
};
#undef METRIC
enum class GroupMetric : uint8_t {
#define METRIC(id, kind, help) id,
#include "control/group_metrics.def"
#undef METRIC
};

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

// A family of lines of groups.
class GroupFamily {
 public:
  GroupFamily(std::string& text, GroupMetric metric) : text_(text), name_(exported_name(info(metric))) {
    head(text, info(metric));
  }
  void tell(size_t value) { text_.append(name_).append(" ").append(std::to_string(value)) += '\n'; }
  // more: labels behind the group's, with a comma before each.
  void tell(const GroupSamples::Group& group, std::string_view more, int64_t value) {
    text_.append(name_).append("{group=\"").append(group.label).append("\"").append(more).append("} ");
    text_.append(std::to_string(value)) += '\n';
  }

 private:
  static const MetricInfo& info(GroupMetric metric) { return kGroups[std::to_underlying(metric)]; }
  std::string& text_;
  const std::string name_;
};

std::string with_label(std::string_view name, std::string_view value) {
  return std::string(",").append(name).append("=\"").append(value).append("\"");
}

// value: of a commit, or nothing.
void tell_commits(std::string& text, const GroupSamples& samples, GroupMetric metric,
                  int64_t (*value)(const GroupSamples::Commit& commit, int64_t lag)) {
  GroupFamily family(text, metric);
  for (const GroupSamples::Commit& commit : samples.commits) {
    const GroupSamples::Group& group = samples.groups[commit.group];
    const int64_t lag = samples.lag_of(commit);
    if (!group.detailed || lag == GroupSamples::kGone) continue;
    const std::string labels =
        with_label("topic", samples.topics[commit.topic]) + with_label("partition", std::to_string(commit.partition));
    family.tell(group, labels, value(commit, lag));
  }
}

void tell_groups(std::string& text, const GroupSamples& samples) {
  using enum GroupMetric;
  GroupFamily infos(text, consumer_group_info);
  for (const auto& group : samples.groups)
    infos.tell(group, with_label("type", group.type) + with_label("state", group.state), 1);
  GroupFamily members(text, consumer_group_members);
  for (const auto& group : samples.groups) members.tell(group, "", static_cast<int64_t>(group.members));
  // Of a group that has committed nothing there is none.
  GroupFamily lags(text, consumer_group_lag);
  std::vector<int64_t> sums(samples.groups.size(), GroupSamples::kGone);
  for (const auto& commit : samples.commits) {
    const int64_t lag = samples.lag_of(commit);
    int64_t& sum = sums[commit.group];
    if (lag != GroupSamples::kGone) sum = saturating_add(std::max<int64_t>(sum, 0), lag);
  }
  for (size_t i = 0; i < sums.size(); ++i) {
    if (sums[i] != GroupSamples::kGone) lags.tell(samples.groups[i], "", sums[i]);
  }
  tell_commits(text, samples, consumer_group_partition_committed_offset,
               [](const GroupSamples::Commit& commit, int64_t) { return commit.offset; });
  tell_commits(text, samples, consumer_group_partition_lag,
               [](const GroupSamples::Commit&, int64_t lag) { return lag; });
  GroupFamily(text, consumer_groups_left_out).tell(samples.groups_left_out);
  GroupFamily(text, consumer_group_partitions_left_out).tell(samples.partitions_left_out);
}

}  // namespace

std::span<const MetricInfo> control_metrics() { return kControl; }
std::span<const MetricInfo> storage_metrics() { return kStorage; }
std::span<const MetricInfo> dataplane_metrics() { return kDataplane; }
std::span<const MetricInfo> group_metrics() { return kGroups; }

std::string exported_name(const MetricInfo& metric) {
  std::string name("penstock_");
  name += metric.name;
  if (metric.kind == MetricKind::kCounter) name += "_total";
  return name;
}

// One family a metric: its head, then a line a ring or lcore.
std::string prometheus_text(const ControlCounters& control, std::span<const RingCounters> rings,
                            std::span<const dataplane::DataplaneCounters> lcores, std::span<const ShownDevice> devices,
                            const GroupSamples* groups) {
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
  if (groups != nullptr) tell_groups(text, *groups);
  return text;
}

}  // namespace penstock::control
