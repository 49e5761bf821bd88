// IncrementalAlterConfigs (KIP-339) and AlterConfigs: Kafka's checks on the request (kafka.server.ConfigAdminManager),
// then the controller's on each resource.
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "control/controller/topic_name.h"
#include "control/slow_path/config_resource.h"
#include "control/slow_path/handlers.h"

namespace penstock::control {
namespace {

// Of both requests.
struct Asked {
  int8_t type;
  std::string name;
  std::vector<ConfigChange> changes{};
  TopicOutcome bad{};  // the request itself is wrong
};

std::optional<ConfigScope> scope_of(int8_t type) {
  switch (static_cast<ResourceType>(type)) {
    case ResourceType::kTopic: return ConfigScope::kTopic;
    case ResourceType::kBroker: return ConfigScope::kBroker;
    case ResourceType::kClientMetrics: return ConfigScope::kClientMetrics;
    case ResourceType::kGroup: return ConfigScope::kGroup;
    case ResourceType::kBrokerLogger: return std::nullopt;
  }
  return std::nullopt;
}

TopicOutcome check_changes(const std::vector<ConfigChange>& changes) {
  std::set<std::string_view> names;
  for (const ConfigChange& change : changes) {
    if (!names.insert(change.name).second) {
      return refused(ErrorCode::kInvalidRequest, "Error due to duplicate config keys");
    }
    if (change.op < ConfigOp::kSet || change.op > ConfigOp::kSubtract) {
      return refused(ErrorCode::kInvalidRequest,
                     "Unknown operation " + std::to_string(static_cast<int>(change.op)) + ".");
    }
  }
  return {};
}

TopicOutcome alter(Asked& asked, bool replace, bool validate_only, Call& call) {
  if (asked.bad.error != ErrorCode::kNone) return asked.bad;
  if (auto bad = check_changes(asked.changes); bad.error != ErrorCode::kNone) return bad;
  const auto scope = scope_of(asked.type);
  if (!scope) {
    const bool logger = asked.type == static_cast<int8_t>(ResourceType::kBrokerLogger);
    return refused(ErrorCode::kInvalidRequest, logger ? "The log level is a setting: penstock.log.level, at start."
                                                      : "Unexpected resource type " + std::to_string(asked.type) + ".");
  }
  if (*scope == ConfigScope::kBroker && !asked.name.empty()) {
    if (auto wrong = check_broker_name(asked.name, call.controller)) {
      return refused(ErrorCode::kInvalidRequest, *std::move(wrong));
    }
  }
  if (*scope == ConfigScope::kTopic) {
    if (auto wrong = check_topic_name(asked.name)) {
      return refused(ErrorCode::kInvalidTopicException, *std::move(wrong));
    }
  }
  TopicOutcome outcome = call.controller.alter_configs({.scope = *scope,
                                                        .name = asked.name,
                                                        .changes = std::move(asked.changes),
                                                        .replace = replace,
                                                        .validate_only = validate_only});
  if (outcome.error == ErrorCode::kNone && !validate_only) call.counters.add(Metric::configs_altered);
  return outcome;
}

template <class Response>
Response alter_all(std::vector<Asked> resources, bool replace, bool validate_only, Call& call) {
  std::map<std::pair<int8_t, std::string>, int> times;
  for (const Asked& asked : resources) ++times[{asked.type, asked.name}];
  Response response;
  for (Asked& asked : resources) {
    if (times[{asked.type, asked.name}] > 1) {
      asked.bad = refused(ErrorCode::kInvalidRequest, "Each resource must appear at most once.");
    }
    const TopicOutcome outcome = alter(asked, replace, validate_only, call);
    auto& result = response.responses.emplace_back();
    result.resource_type = asked.type;
    result.resource_name = asked.name;
    result.error_code = outcome.error;
    result.error_message.reset();
    if (outcome.error != ErrorCode::kNone) result.error_message = outcome.message;
  }
  return response;
}

TopicOutcome null_value(const std::string& name) {
  return refused(ErrorCode::kInvalidRequest, "Null value not supported for : " + name.substr(0, 100));
}

}  // namespace

protocol::IncrementalAlterConfigsResponse answer(const protocol::IncrementalAlterConfigsRequest& request, Call& call) {
  std::vector<Asked> resources;
  for (const auto& resource : request.resources) {
    Asked& asked = resources.emplace_back(Asked{.type = resource.resource_type, .name = resource.resource_name});
    for (const auto& config : resource.configs) {
      const auto op = static_cast<ConfigOp>(config.config_operation);
      if (!config.value && op != ConfigOp::kDelete) asked.bad = null_value(config.name);
      asked.changes.push_back({.name = config.name, .op = op, .value = config.value.value_or("")});
    }
  }
  return alter_all<protocol::IncrementalAlterConfigsResponse>(std::move(resources), false, request.validate_only, call);
}

protocol::AlterConfigsResponse answer(const protocol::AlterConfigsRequest& request, Call& call) {
  std::vector<Asked> resources;
  for (const auto& resource : request.resources) {
    Asked& asked = resources.emplace_back(Asked{.type = resource.resource_type, .name = resource.resource_name});
    for (const auto& config : resource.configs) {
      if (!config.value) asked.bad = null_value(config.name);
      asked.changes.push_back({.name = config.name, .value = config.value.value_or("")});
    }
  }
  return alter_all<protocol::AlterConfigsResponse>(std::move(resources), true, request.validate_only, call);
}

}  // namespace penstock::control
