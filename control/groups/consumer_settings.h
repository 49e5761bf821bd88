// What a next-generation group is run by: Kafka's group.consumer.* and, where a group has its own, its group configs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/units.h"

namespace penstock::control::groups {

struct ConsumerGroupSettings {
  int32_t session_timeout_ms = 45'000;     // group.consumer.session.timeout.ms, consumer.session.timeout.ms
  int32_t heartbeat_interval_ms = 5'000;   // group.consumer.heartbeat.interval.ms, consumer.heartbeat.interval.ms
  int32_t assignment_interval_ms = 1'000;  // group.consumer.assignment.interval.ms, consumer.assignment.interval.ms
  int32_t max_size = INT32_MAX;            // group.consumer.max.size
  bool may_upgrade = true;    // group.consumer.migration.policy: a classic group becomes one while it has members
  bool may_downgrade = true;  // and back
  std::vector<std::string> assignors = {"uniform", "range"};  // group.consumer.assignors; the first is the default
};

// A member that waits for partitions is told to ask again after this share of the interval: others let go of them at
// any time, and nothing but a heartbeat's answer can tell it. Kafka lets it wait for the whole interval.
inline constexpr int32_t kWaitingShare = 10;

// After a change of topics a group's patterns are looked at again, but not more often than this.
inline constexpr Nanos kRegexPause = kSecond;

}  // namespace penstock::control::groups
