// Metadata: brokers, topics, who leads what. A topic that a client names and that does not exist is made here if the
// broker and the client both allow it. Kafka makes it in the background and says UNKNOWN_TOPIC_OR_PARTITION until then;
// ours is there when the answer leaves, so the first answer has it.
#include <algorithm>
#include <set>

#include "control/controller/topic_name.h"
#include "control/controller/uuid_text.h"
#include "control/groups/group_runtime.h"
#include "control/slow_path/handlers.h"

namespace penstock::control {
namespace {

using Request = protocol::MetadataRequest;
using Response = protocol::MetadataResponse;

Response::Partition describe(const PartitionRecord& record, int32_t index, const Call& call) {
  Response::Partition partition;
  partition.partition_index = index;
  partition.leader_id = record.leader.value();
  partition.leader_epoch = record.leader_epoch.value();
  for (const BrokerId id : record.replicas) partition.replica_nodes.push_back(id.value());
  for (const BrokerId id : record.in_sync) partition.isr_nodes.push_back(id.value());
  if (call.controller.is_offline(record)) {
    partition.error_code = ErrorCode::kLeaderNotAvailable;
    partition.leader_id = -1;
    partition.offline_replicas = {call.controller.node().value()};
  }
  return partition;
}

Response::Topic describe(const Topic& topic, const Request& request, const Call& call) {
  Response::Topic described;
  described.name = topic.name;
  described.topic_id = topic.record.id;
  described.is_internal = topic.route->is_internal;
  described.partitions.reserve(topic.record.partitions.size());
  for (const PartitionRecord& partition : topic.record.partitions) {
    described.partitions.push_back(describe(partition, static_cast<int32_t>(described.partitions.size()), call));
  }
  if (request.include_topic_authorized_operations) described.topic_authorized_operations = kAllTopicOperations;
  return described;
}

Response::Topic absent(ErrorCode error, std::optional<std::string> name, const Uuid& id = {}) {
  Response::Topic topic;
  topic.error_code = error;
  topic.is_internal = name && is_internal_topic(*name);  // Kafka: also of one that is not there
  topic.name = std::move(name);
  topic.topic_id = id;
  return topic;
}

// Topics named by id, as versions 12 and newer may (KIP-516).
void describe_by_id(const Request& request, const Call& call, Response& response) {
  std::set<Uuid> seen;
  for (const auto& wanted : *request.topics) {
    if (wanted.topic_id.is_zero() || !seen.insert(wanted.topic_id).second) continue;
    const TopicPtr topic = call.controller.image().find(wanted.topic_id);
    response.topics.push_back(topic == nullptr ? absent(ErrorCode::kUnknownTopicId, std::nullopt, wanted.topic_id)
                                               : describe(*topic, request, call));
  }
}

// Makes the topics that may be made; why not, for the others.
std::map<std::string, ErrorCode> make_missing(const std::vector<std::string>& names, bool allowed, Call& call) {
  std::map<std::string, ErrorCode> errors;
  std::vector<NewTopic> wanted;
  for (const std::string& name : names) {
    if (check_topic_name(name)) {
      errors[name] = ErrorCode::kInvalidTopicException;
    } else if (!allowed || name == kClusterMetadataTopic) {
      errors[name] = ErrorCode::kUnknownTopicOrPartition;  // as Kafka, whose controller then refuses to make it
    } else if (name == groups::kOffsetsTopic) {
      wanted.push_back(groups::offsets_topic(call.controller.options()));
    } else if (is_internal_topic(name)) {  // nobody writes it yet; whoever does will make it with its own settings
      errors[name] = ErrorCode::kUnknownTopicOrPartition;
    } else {
      wanted.push_back({.name = name});
    }
  }
  const auto outcomes = call.controller.create_topics(wanted, false);
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (outcomes[i].error != ErrorCode::kNone)
      errors[wanted[i].name] = outcomes[i].error;
    else
      call.counters.add(Metric::topics_created_automatically);
  }
  return errors;
}

void describe_by_name(const Request& request, Call& call, Response& response) {
  std::set<std::string> names;
  for (const auto& wanted : *request.topics) names.insert(wanted.name.value_or(""));
  std::vector<std::string> missing;
  for (const std::string& name : names) {
    if (call.controller.image().find(name) == nullptr) missing.push_back(name);
  }
  const bool allowed = request.allow_auto_topic_creation && call.controller.options().auto_create_topics;
  const auto errors = make_missing(missing, allowed, call);
  for (const std::string& name : names) {
    const auto error = errors.find(name);
    const auto topic = call.controller.image().find(name);  // again: a commit of unknown outcome may show only now
    const auto why = error == errors.end() ? ErrorCode::kUnknownTopicOrPartition : error->second;
    response.topics.push_back(topic != nullptr ? describe(*topic, request, call) : absent(why, name));
  }
}

void describe_topics(const Request& request, Call& call, Response& response) {
  const bool all = !request.topics || (call.version == 0 && request.topics->empty());
  if (all) {
    for (const auto& [name, topic] : call.controller.image().topics()) {
      response.topics.push_back(describe(*topic, request, call));
    }
    return;
  }
  const bool by_id = std::ranges::any_of(*request.topics, [](const auto& topic) { return !topic.topic_id.is_zero(); });
  const bool nameless = std::ranges::any_of(*request.topics, [](const auto& topic) { return !topic.name; });
  if (call.version < 12 && (by_id || nameless)) {
    for (const auto& topic : *request.topics) {
      response.topics.push_back(absent(ErrorCode::kInvalidRequest, topic.name.value_or(""), topic.topic_id));
    }
  } else if (by_id) {
    describe_by_id(request, call, response);
  } else {
    describe_by_name(request, call, response);
  }
}

}  // namespace

protocol::MetadataResponse answer(const protocol::MetadataRequest& request, Call& call) {
  protocol::MetadataResponse response;
  const Controller& controller = call.controller;
  response.brokers.push_back(
      {.node_id = controller.node().value(), .host = call.address.host, .port = call.address.port, .rack = {}});
  if (!controller.options().broker_rack.empty()) response.brokers.back().rack = controller.options().broker_rack;
  response.cluster_id = to_text(controller.cluster_id());
  response.controller_id = controller.node().value();
  if (request.include_cluster_authorized_operations) response.cluster_authorized_operations = kAllClusterOperations;
  describe_topics(request, call, response);
  return response;
}

}  // namespace penstock::control
