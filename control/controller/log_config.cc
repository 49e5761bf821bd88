#include "control/controller/log_config.h"

#include <algorithm>

namespace penstock::control {
namespace {

constexpr int64_t kMinuteMs = 60'000;
constexpr int64_t kHourMs = 60 * kMinuteMs;
constexpr int64_t kNoLimit = -1;

std::string_view value_of(const ConfigMap& own, const ConfigMap& defaults, std::string_view name) {
  if (const auto found = own.find(name); found != own.end()) return found->second;
  if (const auto found = defaults.find(name); found != defaults.end()) return found->second;
  return find_topic_config(name)->default_value;
}

// The finest unit that is set counts, and below zero is no limit (Kafka:
// AbstractKafkaConfig.getLogRetentionTimeMillis).
int64_t retention_ms(const BrokerOptions& options) {
  const bool has_ms = options.log_retention_ms != kNotSet;
  const bool has_minutes = options.log_retention_minutes != kNotSet;
  const int64_t ms = has_ms        ? options.log_retention_ms
                     : has_minutes ? options.log_retention_minutes * kMinuteMs
                                   : options.log_retention_hours * kHourMs;
  return std::max(ms, kNoLimit);
}

int64_t roll_ms(const BrokerOptions& options) {
  return options.log_roll_ms > 0 ? options.log_roll_ms : options.log_roll_hours * kHourMs;
}

}  // namespace

ConfigMap topic_defaults(const BrokerOptions& options, int64_t message_max_bytes) {
  return {{"cleanup.policy", options.log_cleanup_policy},
          {"max.message.bytes", std::to_string(message_max_bytes)},
          {"retention.bytes", std::to_string(options.log_retention_bytes)},
          {"retention.ms", std::to_string(retention_ms(options))},
          {"segment.bytes", std::to_string(options.log_segment_bytes)},
          {"segment.ms", std::to_string(roll_ms(options))}};
}

int64_t long_value(const ConfigMap& own, const ConfigMap& defaults, std::string_view name) {
  return parse_long(value_of(own, defaults, name)).value_or(0);
}

storage::LogConfig log_config(const ConfigMap& own, const ConfigMap& defaults) {
  const auto number = [&](std::string_view name) { return long_value(own, defaults, name); };
  const auto policies = list_elements(value_of(own, defaults, "cleanup.policy"));
  return {.segment_bytes = static_cast<uint64_t>(number("segment.bytes")),
          .segment_ms = number("segment.ms"),
          .retention_ms = std::max(number("retention.ms"), kNoLimit),
          .retention_bytes = std::max(number("retention.bytes"), kNoLimit),
          .delete_old = std::ranges::find(policies, "delete") != policies.end()};
}

}  // namespace penstock::control
