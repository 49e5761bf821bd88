// DescribeConfigs and ListConfigResources: what is set where, and by whom. Kafka's rules (kafka.server.ConfigHelper).
#include <algorithm>
#include <set>

#include "control/controller/topic_name.h"
#include "control/slow_path/config_entries.h"
#include "control/slow_path/config_resource.h"
#include "control/slow_path/handlers.h"

namespace penstock::control {
namespace {

using Request = protocol::DescribeConfigsRequest;
using Response = protocol::DescribeConfigsResponse;

// The one logger that this program has: its level is a setting, read at start.
std::vector<ConfigEntry> logger_entries(const Controller& controller) {
  std::string level = controller.options().log_level;
  std::ranges::transform(level, level.begin(),
                         [](char c) { return 'a' <= c && c <= 'z' ? static_cast<char>(c - 32) : c; });
  ConfigEntry root{.name = "root",
                   .value = level,
                   .read_only = true,
                   .source = ConfigSource::kLogger,
                   .type = ConfigType::kString,
                   .documentation = "The least severe log line that is written."};
  root.synonyms = {{root.name, level, ConfigSource::kLogger}};
  return {root};
}

struct Described {
  ErrorCode error = ErrorCode::kNone;
  std::string message{};
  std::vector<ConfigEntry> entries{};
};

Described describe(int8_t type, const std::string& name, const Call& call) {
  const Controller& controller = call.controller;
  switch (static_cast<ResourceType>(type)) {
    case ResourceType::kTopic: {
      if (auto wrong = check_topic_name(name)) return {ErrorCode::kInvalidTopicException, *std::move(wrong)};
      const TopicPtr topic = controller.image().find(name);
      if (topic == nullptr) return {ErrorCode::kUnknownTopicOrPartition, "This server does not host this topic."};
      return {.entries = topic_entries(controller, topic->record.configs)};
    }
    case ResourceType::kBroker: {
      if (name.empty()) return {.entries = cluster_entries(controller)};
      if (auto wrong = check_broker_name(name, controller)) return {ErrorCode::kInvalidRequest, *std::move(wrong)};
      return {.entries = broker_entries(controller)};
    }
    case ResourceType::kBrokerLogger: {
      if (name.empty()) return {ErrorCode::kInvalidRequest, "Broker id must not be empty."};
      if (auto wrong = check_broker_name(name, controller)) return {ErrorCode::kInvalidRequest, *std::move(wrong)};
      return {.entries = logger_entries(controller)};
    }
    case ResourceType::kClientMetrics:
      if (name.empty()) return {ErrorCode::kInvalidRequest, "Client metrics subscription name must not be empty."};
      return {.entries = client_metrics_entries(controller, name)};
    case ResourceType::kGroup:
      if (name.empty()) return {ErrorCode::kInvalidRequest, "Group name must not be empty."};
      return {.entries = group_entries(controller, name)};
  }
  return {ErrorCode::kInvalidRequest, "Unsupported resource type: " + std::to_string(type)};
}

Response::ResourceResult told(const ConfigEntry& entry, const Request& request) {
  Response::ResourceResult config;
  config.name = entry.name;
  config.value = entry.value;
  config.read_only = entry.read_only;
  config.config_source = static_cast<int8_t>(entry.source);
  config.is_sensitive = entry.sensitive;
  config.config_type = static_cast<int8_t>(entry.type);
  config.documentation.reset();
  if (request.include_documentation && !entry.documentation.empty()) config.documentation = entry.documentation;
  if (!request.include_synonyms) return config;
  for (const ConfigValue& synonym : entry.synonyms) {
    Response::Synonym& also = config.synonyms.emplace_back();
    also.name = synonym.name;
    also.value = entry.sensitive ? std::nullopt : std::optional(synonym.value);
    also.source = static_cast<int8_t>(synonym.source);
  }
  return config;
}

// The names that are asked for; none: all.
std::set<std::string_view> wanted_names(const Request::Resource& asked) {
  if (!asked.configuration_keys) return {};
  return {asked.configuration_keys->begin(), asked.configuration_keys->end()};
}

}  // namespace

protocol::DescribeConfigsResponse answer(const protocol::DescribeConfigsRequest& request, Call& call) {
  Response response;
  // As Kafka: a resource that is named several times is told each time.
  for (const Request::Resource& asked : request.resources) {
    const Described described = describe(asked.resource_type, asked.resource_name, call);
    Response::Result& result = response.results.emplace_back();
    result.resource_type = asked.resource_type;
    result.resource_name = asked.resource_name;
    result.error_code = described.error;
    result.error_message.reset();
    if (described.error != ErrorCode::kNone) result.error_message = described.message;
    const std::set<std::string_view> wanted = wanted_names(asked);
    for (const ConfigEntry& entry : described.entries) {
      if (wanted.empty() || wanted.contains(entry.name)) result.configs.push_back(told(entry, request));
    }
    // Entries count also where none is wanted: to look at them takes as long.
    if (!call.room.take(described.entries.size() * sizeof(ConfigEntry))) return response;
    if (!call.room.take(Response::kInfo, "Results", &result)) return response;
  }
  return response;
}

// Version 0 knows client metrics alone (KIP-1142).
protocol::ListConfigResourcesResponse answer(const protocol::ListConfigResourcesRequest& request, Call& call) {
  const Controller& controller = call.controller;
  protocol::ListConfigResourcesResponse response;
  std::set<int8_t> wanted(request.resource_types.begin(), request.resource_types.end());
  if (call.version == 0) wanted = {static_cast<int8_t>(ResourceType::kClientMetrics)};
  if (wanted.empty()) {
    for (const ResourceType type : kResourceTypes) wanted.insert(static_cast<int8_t>(type));
  }
  const auto add = [&](ResourceType type, std::string name) {
    response.config_resources.push_back({.resource_name = std::move(name), .resource_type = static_cast<int8_t>(type)});
  };
  for (const int8_t type : wanted) {
    switch (static_cast<ResourceType>(type)) {
      case ResourceType::kTopic:
        for (const auto& [name, topic] : controller.image().topics()) add(ResourceType::kTopic, name);
        break;
      case ResourceType::kBroker: add(ResourceType::kBroker, std::to_string(controller.node().value())); break;
      case ResourceType::kBrokerLogger:
        add(ResourceType::kBrokerLogger, std::to_string(controller.node().value()));
        break;
      case ResourceType::kClientMetrics:
        for (auto& name : controller.configured(ConfigScope::kClientMetrics)) add(ResourceType::kClientMetrics, name);
        break;
      case ResourceType::kGroup:
        for (auto& name : controller.configured(ConfigScope::kGroup)) add(ResourceType::kGroup, name);
        break;
      default: response.error_code = ErrorCode::kUnsupportedVersion; break;
    }
  }
  if (response.error_code != ErrorCode::kNone) response.config_resources.clear();
  return response;
}

}  // namespace penstock::control
