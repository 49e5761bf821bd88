// Controller: changes to topics that are there: more partitions, other configs. Kafka's rules and error codes
// (org.apache.kafka.controller.ReplicationControlManager, ConfigurationControlManager); the sentences are ours.
#include <utility>

#include "base/log.h"
#include "control/controller/controller.h"
#include "control/controller/keys.h"

namespace penstock::control {
namespace {

TopicOutcome no_such_topic(const std::string& name) {
  return refused(ErrorCode::kUnknownTopicOrPartition, "The topic '" + name + "' does not exist.");
}

}  // namespace

void Controller::replace(TopicPtr topic) {
  const TopicPtr before = image_.find(topic->name);
  const size_t known = before->record.partitions.size();
  for (size_t i = 0; i < topic->record.partitions.size(); ++i) {
    const PartitionRecord& partition = topic->record.partitions[i];
    PlacedConfig placed{.place = place_of(partition), .config = topic->log_config};
    if (i >= known) {
      change_.opened.push_back(placed);
      if (const auto ring = ring_logs_.find(partition.ring); ring != ring_logs_.end()) ++ring->second;
    } else if (before->log_config != topic->log_config) {
      change_.configured.push_back(placed);
    }
  }
  image_.replace(std::move(topic));
  image_changed_ = true;
}

TopicOutcome Controller::plan_growth(const PartitionGrowth& growth, RingLogs& ring_logs, TopicRecord& record) const {
  const TopicPtr topic = image_.find(growth.topic);
  if (topic == nullptr) return no_such_topic(growth.topic);
  record = topic->record;
  const auto now = static_cast<int32_t>(record.partitions.size());
  if (growth.count == now) {
    return refused(ErrorCode::kInvalidPartitions, "Topic already has " + std::to_string(now) + " partition(s).");
  }
  if (growth.count < now) {
    return refused(ErrorCode::kInvalidPartitions, "The topic " + growth.topic + " currently has " +
                                                      std::to_string(now) + " partition(s); " +
                                                      std::to_string(growth.count) + " would not be an increase.");
  }
  if (growth.count > kPartitionsPerRequestMax) {
    return refused(ErrorCode::kInvalidPartitions, "Number of partitions is above 10000.");
  }
  const auto more = static_cast<size_t>(growth.count - now);
  if (growth.brokers && growth.brokers->size() != more) {
    return refused(ErrorCode::kInvalidReplicaAssignment,
                   "Attempted to add " + std::to_string(more) + " additional partition(s), but only " +
                       std::to_string(growth.brokers->size()) + " assignment(s) were specified.");
  }
  for (const auto& brokers : growth.brokers.value_or(std::vector<std::vector<int32_t>>())) {
    // One broker is there, so one replica on it is all that can be asked.
    if (brokers == std::vector{defaults_.node.value()}) continue;
    return refused(ErrorCode::kInvalidReplicaAssignment,
                   "The manual partition assignment must name each replica once, and only brokers that run: " +
                       std::to_string(defaults_.node.value()) + ".");
  }
  assign(record, more, ring_logs);
  return check_size(growth.topic, record);
}

std::vector<TopicOutcome> Controller::create_partitions(std::span<const PartitionGrowth> growths, bool validate_only) {
  std::vector<TopicOutcome> outcomes(growths.size());
  const bool readable = read_again_if_unsure().has_value();
  RingLogs ring_logs = ring_logs_;
  int64_t asked = 0;
  for (size_t i = 0; i < growths.size(); ++i) {
    if (!readable) {
      outcomes[i] = refused(ErrorCode::kKafkaStorageError, "The metadata store cannot be read.");
      continue;
    }
    TopicRecord record;
    outcomes[i] = plan_growth(growths[i], ring_logs, record);
    if (outcomes[i].error != ErrorCode::kNone) continue;
    const TopicPtr before = image_.find(growths[i].topic);
    const auto more = static_cast<int64_t>(record.partitions.size() - before->record.partitions.size());
    const auto there = static_cast<int64_t>(image_.partition_count()) + (validate_only ? asked : 0);
    if (asked + more > kPartitionsPerRequestMax || there + more > settings_.options->partitions_max) {
      outcomes[i] =
          refused(ErrorCode::kPolicyViolation, "Too many partitions: 10000 a request, and penstock.partitions.max (" +
                                                   std::to_string(settings_.options->partitions_max) + ") in all.");
      continue;
    }
    asked += more;
    if (validate_only) continue;
    uint64_t next = next_log_id_;
    for (size_t at = before->record.partitions.size(); at < record.partitions.size(); ++at) {
      record.partitions[at].log = storage::LogId{next++};
    }
    const Transaction transaction{
        .conditions = {{.key = keys::topic(before->name), .changed = before->changed},
                       {.key = std::string(keys::kNextLogId), .changed = next_log_id_changed_}},
        .writes = {{.key = keys::topic(before->name), .value = encode(record)},
                   {.key = std::string(keys::kNextLogId), .value = std::to_string(next)}}};
    TopicOutcome* outcome = &outcomes[i];
    const auto revision = commit(transaction, std::span(&outcome, 1));
    if (!revision) continue;
    next_log_id_ = next;
    next_log_id_changed_ = *revision;
    replace(make_topic(before->name, std::move(record), *revision, defaults_));
  }
  return outcomes;
}

TopicOutcome Controller::alter_topic(const ConfigAlteration& alteration) {
  const TopicPtr topic = image_.find(alteration.name);
  if (topic == nullptr) return no_such_topic(alteration.name);
  TopicRecord record = topic->record;
  if (alteration.replace) record.configs.clear();
  for (const ConfigChange& asked : alteration.changes) {
    if (auto bad = change(ConfigScope::kTopic, asked, record.configs); bad.error != ErrorCode::kNone) return bad;
  }
  if (auto wrong = check_topic_configs(record.configs, defaults_.configs)) {
    return refused(ErrorCode::kInvalidConfig, *std::move(wrong));
  }
  make_canonical(ConfigScope::kTopic, record.configs);
  if (auto bad = check_size(topic->name, record); bad.error != ErrorCode::kNone) return bad;
  if (alteration.validate_only || record == topic->record) return {};
  const Transaction transaction{.conditions = {{.key = keys::topic(topic->name), .changed = topic->changed}},
                                .writes = {{.key = keys::topic(topic->name), .value = encode(record)}},
                                .from_reserve = true};
  TopicOutcome outcome;
  TopicOutcome* place = &outcome;
  const auto revision = commit(transaction, std::span(&place, 1));
  if (revision) replace(make_topic(topic->name, std::move(record), *revision, defaults_));
  return outcome;
}

}  // namespace penstock::control
