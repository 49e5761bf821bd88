// Controller: whether a topic may be made, and as what. Kafka's rules and error codes
// (org.apache.kafka.controller.ReplicationControlManager); the sentences are ours.
#include <algorithm>
#include <set>
#include <utility>

#include "control/controller/controller.h"
#include "control/controller/keys.h"
#include "control/controller/topic_name.h"

namespace penstock::control {

TopicOutcome Controller::plan(const NewTopic& topic, const Claims& planned, RingLogs& ring_logs,
                              TopicRecord& record) const {
  if (TopicOutcome bad = check_name(topic.name, planned); bad.error != ErrorCode::kNone) return bad;
  const bool assigned = !topic.assignments.empty();
  TopicOutcome bad = assigned ? check_assignments(topic) : check_counts(topic);
  if (bad.error != ErrorCode::kNone) return bad;
  if (auto wrong = check_topic_configs(topic.configs, defaults_.configs))
    return refused(ErrorCode::kInvalidConfig, *std::move(wrong));
  record.configs = topic.configs;
  make_canonical(ConfigScope::kTopic, record.configs);
  const auto partitions = topic.partitions == -1 ? settings_.options->num_partitions : topic.partitions;
  assign(record, assigned ? topic.assignments.size() : static_cast<size_t>(partitions), ring_logs);
  return check_size(topic.name, record);
}

// What is too large for the store must be found before it goes there: its refusal would be everybody's in the batch.
TopicOutcome Controller::check_size(const std::string& name, const TopicRecord& record) {
  constexpr size_t kCounterBytes = 256;  // the counter of log ids goes along
  if (transaction_bytes(name, record) <= kTransactionBytesMax - kCounterBytes) return {};
  return refused(ErrorCode::kPolicyViolation,
                 "The configs of topic '" + name + "' are too long: with its partitions they must fit into 1 MiB.");
}

TopicOutcome Controller::check_name(const std::string& name, const Claims& planned) const {
  if (auto wrong = check_topic_name(name)) return refused(ErrorCode::kInvalidTopicException, *std::move(wrong));
  if (name == kClusterMetadataTopic) {
    return refused(ErrorCode::kInvalidRequest, "Creation of internal topic " + name + " is prohibited.");
  }
  if (image_.find(name) != nullptr) {
    return refused(ErrorCode::kTopicAlreadyExists, "Topic '" + name + "' already exists.");
  }
  const std::string claim = keys::topic_claim(name);
  const auto held = claims_.find(claim);
  const auto asked = planned.find(claim);
  if (held == claims_.end() && asked == planned.end()) return {};
  return refused(ErrorCode::kInvalidTopicException, "Topic '" + name + "' collides with existing topic: " +
                                                        (held == claims_.end() ? asked->second : held->second));
}

TopicOutcome Controller::check_counts(const NewTopic& topic) const {
  if (topic.partitions != -1 && topic.partitions <= 0) {
    return refused(ErrorCode::kInvalidPartitions, "Number of partitions was set to an invalid non-positive value.");
  }
  if (topic.partitions > kPartitionsPerRequestMax) {
    return refused(ErrorCode::kInvalidPartitions, "Number of partitions is above 10000.");
  }
  if (topic.replication_factor != -1 && topic.replication_factor <= 0) {
    return refused(ErrorCode::kInvalidReplicationFactor,
                   "Replication factor was set to an invalid non-positive value.");
  }
  const int64_t factor =
      topic.replication_factor == -1 ? settings_.options->default_replication_factor : topic.replication_factor;
  if (factor > 1) {
    return refused(ErrorCode::kInvalidReplicationFactor,
                   "Unable to replicate the partition " + std::to_string(factor) +
                       " time(s): The target replication factor of " + std::to_string(factor) +
                       " cannot be reached because only 1 broker(s) are registered.");
  }
  return {};
}

TopicOutcome Controller::check_assignments(const NewTopic& topic) const {
  if (topic.partitions != -1 || topic.replication_factor != -1) {
    return refused(ErrorCode::kInvalidRequest,
                   "A manual partition assignment was specified, but numPartitions or replicationFactor was not -1.");
  }
  if (topic.assignments.size() > static_cast<size_t>(kPartitionsPerRequestMax)) {
    return refused(ErrorCode::kInvalidPartitions, "Number of partitions is above 10000.");
  }
  std::set<int32_t> seen;
  for (const ReplicaAssignment& assignment : topic.assignments) {
    const bool in_range = assignment.partition >= 0 && std::cmp_less(assignment.partition, topic.assignments.size());
    if (!in_range || !seen.insert(assignment.partition).second) {
      return refused(ErrorCode::kInvalidReplicaAssignment,
                     "partitions should be a consecutive 0-based integer sequence");
    }
    // One broker is there, so one replica on it is all that can be asked.
    if (assignment.brokers != std::vector{defaults_.node.value()}) {
      return refused(ErrorCode::kInvalidReplicaAssignment,
                     "The manual partition assignment must name each replica once, and only brokers that run: " +
                         std::to_string(defaults_.node.value()) + ".");
    }
  }
  return {};
}

// Each log goes to the ring that has the fewest, of those that work if any does.
void Controller::assign(TopicRecord& record, size_t partitions, RingLogs& ring_logs) const {
  record.partitions.reserve(partitions);
  const auto load = [&](const auto& ring) { return std::pair(failed_rings_.contains(ring.first), ring.second); };
  for (size_t i = 0; i < partitions; ++i) {
    const auto emptiest = std::ranges::min_element(ring_logs, {}, load);
    ++emptiest->second;
    record.partitions.push_back({.ring = emptiest->first,
                                 .leader_epoch = LeaderEpoch{0},
                                 .leader = defaults_.node,
                                 .replicas = {defaults_.node},
                                 .in_sync = {defaults_.node}});
  }
}

}  // namespace penstock::control
