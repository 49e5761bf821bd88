// What the broker's settings, its configs and a group's own say of a next-generation group, and what topics there are.
#include <algorithm>

#include "base/log.h"
#include "control/groups/assignor.h"
#include "control/groups/group_runtime.h"

namespace penstock::control::groups {
namespace {

// The list of topics is made anew no more often than this: many may be made one after the other.
constexpr Nanos kWorldPause = 100 * kMillisecond;

void take(const ConfigMap& configs, std::string_view name, int32_t& value) {
  const auto at = configs.find(name);
  if (at == configs.end()) return;
  if (const auto number = parse_long(at->second)) value = static_cast<int32_t>(*number);
}

std::vector<std::string> assignors_of(const std::string& setting) {
  std::vector<std::string> assignors;
  for (const std::string_view name : list_elements(setting)) {
    if (find_assignor(name) != nullptr) assignors.emplace_back(name);
  }
  return assignors;
}

}  // namespace

std::string problem_with_assignors(const std::string& setting) {
  for (const std::string_view name : list_elements(setting)) {
    if (find_assignor(name) == nullptr) {
      return "group.consumer.assignors: there is no assignor '" + std::string(name) + "'; there are uniform and range";
    }
  }
  return list_elements(setting).empty() ? "group.consumer.assignors names none; there are uniform and range" : "";
}

ConsumerGroupSettings consumer_settings(const BrokerOptions& options) {
  ConsumerGroupSettings settings{
      .session_timeout_ms = static_cast<int32_t>(options.group_consumer_session_timeout_ms),
      .heartbeat_interval_ms = static_cast<int32_t>(options.group_consumer_heartbeat_interval_ms),
      .assignment_interval_ms = static_cast<int32_t>(options.group_consumer_assignment_interval_ms),
      .max_size = static_cast<int32_t>(options.group_consumer_max_size),
      .assignors = assignors_of(options.group_consumer_assignors)};
  const std::string& policy = options.group_consumer_migration_policy;
  settings.may_upgrade = policy == "bidirectional" || policy == "upgrade";
  settings.may_downgrade = policy == "bidirectional" || policy == "downgrade";
  if (settings.assignors.empty()) settings.assignors = {"uniform"};
  return settings;
}

ConsumerGroupSettings GroupRuntime::settings_of(const std::string& group) const {
  ConsumerGroupSettings settings = consumer_defaults_;
  constexpr std::string_view kInterval = "group.consumer.assignment.interval.ms";  // clients may change it
  take(controller_.broker_configs().cluster, kInterval, settings.assignment_interval_ms);
  const ConfigMap& own = controller_.stored_configs(ConfigScope::kGroup, group);
  take(own, "consumer.session.timeout.ms", settings.session_timeout_ms);
  take(own, "consumer.heartbeat.interval.ms", settings.heartbeat_interval_ms);
  take(own, "consumer.assignment.interval.ms", settings.assignment_interval_ms);
  return settings;
}

void GroupRuntime::refresh_world(Now now) {
  const MetadataImage& image = controller_.image();
  if (image.version() == world_.topics.version()) return;
  if (world_made_at_ != 0 && now.monotonic < world_made_at_ + kWorldPause) return;
  world_made_at_ = now.monotonic;
  TopicTable topics(image.version());
  for (const auto& [name, topic] : image.topics()) {
    topics.add(name, {.id = topic->record.id, .partitions = static_cast<int32_t>(topic->record.partitions.size())});
  }
  world_.topics = std::move(topics);
}

}  // namespace penstock::control::groups
