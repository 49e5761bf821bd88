// CreateTopics: Kafka's checks on the request as a whole, then the controller's on each topic.
#include <algorithm>
#include <map>

#include "control/slow_path/config_entries.h"
#include "control/slow_path/handlers.h"

namespace penstock::control {
namespace {

using Request = protocol::CreateTopicsRequest;
using Response = protocol::CreateTopicsResponse;

Response::CreatableTopicConfigs told(const ConfigEntry& entry, const Call& call) {
  Response::CreatableTopicConfigs config;
  config.name = entry.name;
  config.value = entry.value;
  config.read_only = entry.read_only;
  config.is_sensitive = entry.sensitive;
  // As Kafka's controller, whose answer this is: a coarser config that gives the value counts as its source too.
  const auto inherited = call.controller.broker_configs().default_of(*find_config(ConfigScope::kTopic, entry.name));
  const bool own = entry.source == ConfigSource::kTopic;
  config.config_source = static_cast<int8_t>(own || !inherited ? entry.source : inherited->source);
  return config;
}

Response::CreatableTopicResult describe(const std::string& name, const TopicOutcome& outcome, const Call& call) {
  Response::CreatableTopicResult result;
  result.name = name;
  result.error_code = outcome.error;
  if (outcome.error != ErrorCode::kNone) {
    result.error_message = outcome.message;
    return result;
  }
  const TopicRecord& record = outcome.topic->record;
  result.topic_id = record.id;
  result.error_message.reset();
  result.num_partitions = static_cast<int32_t>(record.partitions.size());
  result.replication_factor = static_cast<int16_t>(record.partitions.front().replicas.size());
  result.configs.emplace();
  for (const ConfigEntry& entry : topic_entries(call.controller, record.configs)) {
    result.configs->push_back(told(entry, call));
  }
  return result;
}

// The request's topic as the controller takes it, or why not.
TopicOutcome translate(const Request::CreatableTopic& asked, NewTopic& topic) {
  topic.name = asked.name;
  topic.partitions = asked.num_partitions;
  topic.replication_factor = asked.replication_factor;
  for (const auto& assignment : asked.assignments) {
    topic.assignments.push_back({.partition = assignment.partition_index, .brokers = assignment.broker_ids});
  }
  for (const auto& config : asked.configs) {
    if (!config.value) {
      return refused(ErrorCode::kInvalidConfig, "Null value not supported for topic configs: " + config.name);
    }
    topic.configs[config.name] = *config.value;
  }
  return {};
}

}  // namespace

protocol::CreateTopicsResponse answer(const protocol::CreateTopicsRequest& request, Call& call) {
  std::map<std::string_view, int> times;
  for (const auto& topic : request.topics) ++times[topic.name];
  protocol::CreateTopicsResponse response;
  std::vector<NewTopic> wanted;
  for (const auto& asked : request.topics) {
    int& count = times[asked.name];
    if (count == 0) continue;  // answered with the first of its name
    NewTopic topic;
    const TopicOutcome bad =
        count > 1 ? refused(ErrorCode::kInvalidRequest, "Duplicate topic name.") : translate(asked, topic);
    count = count > 1 ? 0 : count;
    if (bad.error == ErrorCode::kNone)
      wanted.push_back(std::move(topic));
    else
      response.topics.push_back(describe(asked.name, bad, call));
  }
  const auto outcomes = call.controller.create_topics(wanted, request.validate_only);
  for (size_t i = 0; i < wanted.size(); ++i) response.topics.push_back(describe(wanted[i].name, outcomes[i], call));
  return response;
}

}  // namespace penstock::control
