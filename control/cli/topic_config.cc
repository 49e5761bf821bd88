#include "control/cli/topic_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/system_clock.h"
#include "control/cli/cluster.h"
#include "control/cli/command.h"
#include "control/cli/command_line.h"
#include "control/cli/error.h"
#include "control/cli/json.h"
#include "control/cli/text.h"
#include "protocol/gen/describe_configs.h"
#include "protocol/gen/incremental_alter_configs.h"

namespace penstock::cli {
namespace {

using protocol::DescribeConfigsRequest;
using protocol::DescribeConfigsResponse;
using protocol::IncrementalAlterConfigsRequest;
using protocol::IncrementalAlterConfigsResponse;
using Setting = DescribeConfigsResponse::ResourceResult;

constexpr int8_t kTopicResource = 2;
constexpr int8_t kOnTopic = 1;  // DYNAMIC_TOPIC_CONFIG

// KIP-339.
enum class Operation : int8_t { kSet, kDelete, kAppend, kSubtract };

struct Change {
  Operation operation;
  std::string name;
  std::optional<std::string> value;
};

struct ConfigOptions {
  BrokerOptions broker;
  std::string topic;
  std::vector<Change> changes;
  bool own = false;
  bool documentation = false;
  bool dry_run = false;
  bool json = false;
};

// KIP-226; what stands before the settings of the broker itself comes first.
std::string source_name(int8_t source) {
  switch (source) {
    case 1: return "topic";
    case 2: return "broker, changed while it ran";
    case 3: return "cluster, changed while it ran";
    case 4: return "broker";
    case 5: return "default";
    default: return fmt::format("source {}", source);
  }
}

// Kafka's ConfigDef.Type.
std::string type_name(int8_t type) {
  constexpr const char* kNames[] = {"unknown", "boolean", "string", "int",      "short",
                                    "long",    "double",  "list",   "password", "class"};
  const auto at = static_cast<size_t>(type);
  return at < 10 ? kNames[at] : fmt::format("type {}", type);
}

std::string shown_value(const Setting& setting) {
  if (setting.is_sensitive) return "(hidden)";
  return setting.value ? escaped(*setting.value) : "(none)";
}

std::vector<Setting> describe(Cluster& cluster, const ConfigOptions& options) {
  DescribeConfigsRequest request;
  request.resources.push_back({kTopicResource, options.topic, std::nullopt});
  request.include_synonyms = options.json;
  request.include_documentation = options.documentation;
  auto response = cluster.bootstrap().call<DescribeConfigsResponse>(request);
  if (response.results.size() != 1)
    throw CliError(kExitFailed, "the broker's answer does not name topic " + options.topic);
  auto& result = response.results.front();
  check_error(result.error_code, "settings of topic " + options.topic, result.error_message.value_or(""));
  std::ranges::sort(result.configs, {}, &Setting::name);
  if (options.own) std::erase_if(result.configs, [](const Setting& s) { return s.config_source != kOnTopic; });
  return std::move(result.configs);
}

Json json_of(const std::vector<Setting>& settings, bool documentation) {
  Json list = Json::array();
  for (const Setting& setting : settings) {
    Json entry{{"name", setting.name},
               {"value", setting.is_sensitive ? std::nullopt : setting.value},
               {"source", source_name(setting.config_source)},
               {"type", type_name(setting.config_type)},
               {"read_only", setting.read_only},
               {"sensitive", setting.is_sensitive}};
    Json synonyms = Json::array();
    for (const auto& synonym : setting.synonyms)
      synonyms.push_back({{"name", synonym.name}, {"value", synonym.value}, {"source", source_name(synonym.source)}});
    entry["synonyms"] = std::move(synonyms);
    if (documentation) entry["documentation"] = setting.documentation;
    list.push_back(std::move(entry));
  }
  return list;
}

std::string text_of(const std::vector<Setting>& settings, bool documentation) {
  if (settings.empty()) return "no settings of its own\n";
  if (!documentation) {
    std::vector<std::vector<std::string>> rows{{"NAME", "VALUE", "SOURCE"}};
    for (const Setting& setting : settings)
      rows.push_back({setting.name, shown_value(setting), source_name(setting.config_source)});
    return table_text(rows);
  }
  std::string out;
  for (const Setting& setting : settings) {
    out += fmt::format("{}={}  ({}; {})\n", setting.name, shown_value(setting), source_name(setting.config_source),
                       type_name(setting.config_type));
    if (setting.documentation && !setting.documentation->empty())
      out += fmt::format("    {}\n", *setting.documentation);
  }
  return out;
}

void alter(Cluster& cluster, const ConfigOptions& options) {
  IncrementalAlterConfigsRequest request;
  request.validate_only = options.dry_run;
  auto& resource = request.resources.emplace_back();
  resource.resource_type = kTopicResource;
  resource.resource_name = options.topic;
  for (const Change& change : options.changes) {
    auto& config = resource.configs.emplace_back();
    config.name = change.name;
    config.config_operation = std::to_underlying(change.operation);
    config.value = change.value;
  }
  const auto response = cluster.bootstrap().call<IncrementalAlterConfigsResponse>(request);
  if (response.responses.size() != 1)
    throw CliError(kExitFailed, "the broker's answer does not name topic " + options.topic);
  const auto& result = response.responses.front();
  check_error(result.error_code, "cannot change the settings of topic " + options.topic,
              result.error_message.value_or(""));
}

void run_config(const ConfigOptions& options) {
  SystemClock clock;
  Cluster cluster(clock, options.broker);
  if (!options.changes.empty()) alter(cluster, options);
  if (!options.changes.empty() && options.dry_run) {
    if (options.json) return write_output("-", Json{{"topic", options.topic}, {"valid", true}}.dump(2) + "\n");
    return write_output("-", fmt::format("valid; nothing was changed of {}\n", options.topic));
  }
  ConfigOptions shown = options;
  shown.own = options.own || !options.changes.empty();  // what it has now, of its own
  const auto settings = describe(cluster, shown);
  write_output("-", options.json ? json_of(settings, options.documentation).dump(2) + "\n"
                                 : text_of(settings, options.documentation));
}

void add_change(Command& command, ConfigOptions& options, const std::string& name, Operation operation,
                const std::string& help) {
  const bool with_value = operation != Operation::kDelete;
  command
      .option(
          name, Option::Kind::kList,
          [&options, operation, with_value](const std::string& text) {
            const size_t equals = text.find('=');
            if (!with_value) {
              options.changes.push_back({operation, text, std::nullopt});
            } else if (equals == 0 || equals == text.npos) {
              throw UsageError(fmt::format("'{}' has no name and value; write NAME=VALUE", text));
            } else {
              options.changes.push_back({operation, text.substr(0, equals), text.substr(equals + 1)});
            }
          },
          help)
      .value(with_value ? "NAME=VALUE" : "NAME");
}

}  // namespace

void add_topic_config_command(Command& topic) {
  Command& command = topic.command("config", "show a topic's settings and where they come from, or change them");
  const auto options = std::make_shared<ConfigOptions>();
  command.option("name", options->topic, "the topic's name").required().complete(Completes::kTopics);
  add_broker_options(command, options->broker);
  add_change(command, *options, "--set", Operation::kSet, "give the topic this value; may be given again");
  add_change(command, *options, "--unset", Operation::kDelete, "go back to the broker's value; may be given again");
  add_change(command, *options, "--append", Operation::kAppend, "add to a list (cleanup.policy); may be given again");
  add_change(command, *options, "--subtract", Operation::kSubtract, "take out of a list; may be given again");
  command.flag("--own", options->own, "only what the topic has of its own");
  command.flag("--doc", options->documentation, "say what each setting means");
  command.flag("--dry-run", options->dry_run, "only ask whether the change would be taken");
  command.flag("--json", options->json, "print JSON, with what would hold if the topic had nothing of its own");
  command.describe(
      "All changes of one call take effect together, or none. After a change it shows what the topic has of its "
      "own.\n\n"
      "  penstock topic config orders --set retention.ms=86400000 --append cleanup.policy=compact");
  command.action([options] { run_config(*options); });
}

}  // namespace penstock::cli
