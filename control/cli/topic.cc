#include "control/cli/topic.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/system_clock.h"
#include "control/cli/cluster.h"
#include "control/cli/command.h"
#include "control/cli/command_line.h"
#include "control/cli/delete_each.h"
#include "control/cli/error.h"
#include "control/cli/json.h"
#include "control/cli/topic_config.h"
#include "control/controller/uuid_text.h"
#include "protocol/gen/describe_configs.h"

namespace penstock::cli {
namespace {

using protocol::DescribeConfigsRequest;
using protocol::DescribeConfigsResponse;
using protocol::MetadataResponse;

struct TopicOptions {
  BrokerOptions broker;
  TopicWish wish;
  std::vector<std::string> configs;
  std::vector<std::string> names;
  bool json = false;
  bool internal = false;
  bool lenient = false;  // --if-not-exists, --if-exists
};

std::pair<std::string, std::string> parse_config(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == 0 || equals == text.npos) {
    throw UsageError(fmt::format("--config: '{}' has no name and value; write NAME=VALUE", text));
  }
  return {text.substr(0, equals), text.substr(equals + 1)};
}

size_t replicas_of(const MetadataResponse::Topic& topic) {
  return topic.partitions.empty() ? 0 : topic.partitions.front().replica_nodes.size();
}

MetadataResponse::Topic find_topic(Cluster& cluster, const std::string& name) {
  auto response = cluster.metadata(&name);
  if (response.topics.size() != 1) throw CliError(kExitFailed, "the broker's answer does not name topic " + name);
  check_error(response.topics[0].error_code, "topic " + name);
  return std::move(response.topics[0]);
}

using Configs = std::vector<std::pair<std::string, std::string>>;

// The settings that are the topic's own; nullopt if the broker does not serve the question.
std::optional<Configs> topic_configs(Cluster& cluster, const std::string& name) {
  constexpr int8_t kTopicResource = 2;
  constexpr int8_t kSetOnTopic = 1;  // DYNAMIC_TOPIC_CONFIG
  if (!cluster.bootstrap().versions().serves(DescribeConfigsRequest::kApiKey)) return std::nullopt;
  Configs out;
  DescribeConfigsRequest request;
  request.resources.push_back({kTopicResource, name, std::nullopt});
  for (const auto& result : cluster.bootstrap().call<DescribeConfigsResponse>(request).results) {
    check_error(result.error_code, "settings of topic " + name, result.error_message.value_or(""));
    for (const auto& config : result.configs) {
      if (config.config_source == kSetOnTopic) out.emplace_back(config.name, config.value.value_or(""));
    }
  }
  return out;
}

void run_create(const TopicOptions& options) {
  TopicWish wish = options.wish;
  for (const std::string& text : options.configs) wish.configs.push_back(parse_config(text));
  SystemClock clock;
  Cluster cluster(clock, options.broker);
  const bool exists = options.lenient && cluster.topic_exists(wish.name);
  if (!exists) cluster.create(wish);
  const auto topic = find_topic(cluster, wish.name);
  if (options.json) {
    return print(Json{{"name", wish.name},
                      {"topic_id", control::to_text(topic.topic_id)},
                      {"partitions", topic.partitions.size()},
                      {"replication_factor", replicas_of(topic)},
                      {"created", !exists}});
  }
  print(fmt::format("{} {}: {} partition{}, {} replica{} each, id {}\n", exists ? "Found" : "Created", wish.name,
                    topic.partitions.size(), topic.partitions.size() == 1 ? "" : "s", replicas_of(topic),
                    replicas_of(topic) == 1 ? "" : "s", control::to_text(topic.topic_id)));
}

void run_list(const TopicOptions& options) {
  SystemClock clock;
  Cluster cluster(clock, options.broker);
  auto topics = cluster.metadata(nullptr).topics;
  std::erase_if(topics, [&](const auto& topic) { return topic.is_internal && !options.internal; });
  std::ranges::sort(topics, {}, [](const auto& topic) { return topic.name.value_or(""); });
  if (options.json) {
    auto list = Json::array();
    for (const auto& topic : topics) {
      list.push_back({{"name", topic.name.value_or("")},
                      {"topic_id", control::to_text(topic.topic_id)},
                      {"partitions", topic.partitions.size()},
                      {"replication_factor", replicas_of(topic)},
                      {"internal", topic.is_internal}});
    }
    return print(list);
  }
  std::vector<std::vector<std::string>> rows{{"NAME", "PARTITIONS", "REPLICAS", "ID"}};
  for (const auto& topic : topics) {
    rows.push_back({topic.name.value_or(""), std::to_string(topic.partitions.size()),
                    std::to_string(replicas_of(topic)), control::to_text(topic.topic_id)});
  }
  print(topics.empty() ? std::string("no topics; make one with: penstock topic create NAME\n") : table_text(rows));
}

// One end of each partition's log, or nothing where the leader gave none.
std::vector<std::optional<int64_t>> offsets(Cluster& cluster, const Topic& topic, int64_t timestamp) {
  std::vector<std::optional<int64_t>> out;
  for (const Partition& partition : topic.partitions) {
    if (partition.leader < 0) {
      out.emplace_back();
    } else {
      out.emplace_back(cluster.list_offsets({topic.name, topic.id, {partition}}, timestamp).front());
    }
  }
  return out;
}

struct Description {
  MetadataResponse::Topic topic;
  std::optional<Configs> configs;
  std::vector<std::optional<int64_t>> starts;  // by place in topic.partitions
  std::vector<std::optional<int64_t>> ends;
};

Json describe_json(const Description& is) {
  auto partitions = Json::array();
  const auto number = [](const auto& offset) { return offset ? Json(*offset) : Json(); };
  for (size_t i = 0; i < is.topic.partitions.size(); ++i) {
    const auto& partition = is.topic.partitions[i];
    partitions.push_back({{"partition", partition.partition_index},
                          {"leader", partition.leader_id},
                          {"leader_epoch", partition.leader_epoch},
                          {"replicas", partition.replica_nodes},
                          {"isr", partition.isr_nodes},
                          {"start_offset", number(is.starts[i])},
                          {"end_offset", number(is.ends[i])}});
  }
  Json configs;  // null: the broker does not tell
  if (is.configs) configs = Json::object();
  for (const auto& [key, value] : is.configs.value_or(Configs{})) configs[key] = value;
  return {{"name", is.topic.name.value_or("")},
          {"topic_id", control::to_text(is.topic.topic_id)},
          {"internal", is.topic.is_internal},
          {"configs", configs},
          {"partitions", partitions}};
}

std::string list_text(const std::vector<int32_t>& numbers) {
  std::string out;
  for (const int32_t number : numbers) out += (out.empty() ? "" : ",") + std::to_string(number);
  return out;
}

std::string describe_text(const Description& is) {
  std::string out = fmt::format("{}  id {}{}\n", is.topic.name.value_or(""), control::to_text(is.topic.topic_id),
                                is.topic.is_internal ? "  internal" : "");
  for (const auto& [key, value] : is.configs.value_or(Configs{})) out += fmt::format("{}={}\n", key, value);
  if (!is.configs) out += "settings: this broker does not tell them\n";
  std::vector<std::vector<std::string>> rows{{"PARTITION", "LEADER", "EPOCH", "REPLICAS", "ISR", "START", "END"}};
  const auto number = [](const auto& offset) { return offset ? std::to_string(*offset) : std::string("-"); };
  for (size_t i = 0; i < is.topic.partitions.size(); ++i) {
    const auto& partition = is.topic.partitions[i];
    rows.push_back({std::to_string(partition.partition_index), std::to_string(partition.leader_id),
                    std::to_string(partition.leader_epoch), list_text(partition.replica_nodes),
                    list_text(partition.isr_nodes), number(is.starts[i]), number(is.ends[i])});
  }
  return out + table_text(rows);
}

void run_describe(const TopicOptions& options) {
  SystemClock clock;
  Cluster cluster(clock, options.broker);
  Description is{find_topic(cluster, options.wish.name), topic_configs(cluster, options.wish.name), {}, {}};
  std::ranges::sort(is.topic.partitions, {}, &MetadataResponse::Partition::partition_index);
  Topic topic{options.wish.name, is.topic.topic_id, {}};
  for (const auto& partition : is.topic.partitions) {
    topic.partitions.push_back({partition.partition_index, partition.leader_id});
  }
  is.starts = offsets(cluster, topic, kEarliest);
  is.ends = offsets(cluster, topic, kLatest);
  options.json ? print(describe_json(is)) : print(describe_text(is));
}

void run_delete(const TopicOptions& options) {
  SystemClock clock;
  Cluster cluster(clock, options.broker);
  delete_each(options.names, options.json, [&](const std::string& name) {
    if (options.lenient && !cluster.topic_exists(name)) return false;
    cluster.remove(name);
    return true;
  });
}

// A subcommand of topic with the options that all have; options lives as long as the parsed command line.
Command& add(Command& topic, const std::shared_ptr<TopicOptions>& options, const std::string& name,
             const std::string& help, void (*run)(const TopicOptions&)) {
  Command& command = topic.command(name, help);
  add_broker_options(command, options->broker);
  command.flag("--json", options->json, "print JSON");
  command.action([options, run] { run(*options); });
  return command;
}

}  // namespace

void add_topic_command(Command& root) {
  Command& topic = root.command("topic", "create, list, describe, configure and delete topics");
  const auto options = std::make_shared<TopicOptions>();
  Command& create = add(topic, options, "create", "create a topic", run_create);
  create.option("name", options->wish.name, "the topic's name").required();
  create.option("--partitions", options->wish.partitions, "how many (default: the broker's num.partitions)")
      .at_least(1);
  create.option("--replication-factor", options->wish.replication_factor, "copies (default: the broker's)").at_least(1);
  create.option("--config", options->configs, "a topic setting, NAME=VALUE; may be given again");
  create.flag("--if-not-exists", options->lenient, "be content with a topic of that name");
  Command& list = add(topic, options, "list", "list the topics", run_list);
  list.flag("--internal", options->internal, "also the broker's own topics");
  Command& describe = add(topic, options, "describe", "partitions, leaders, offsets and settings", run_describe);
  describe.option("name", options->wish.name, "the topic's name").required().complete(Completes::kTopics);
  Command& remove = add(topic, options, "delete", "delete topics and all their records", run_delete);
  remove.option("name", options->names, "the topics' names").required().complete(Completes::kTopics);
  remove.flag("--if-exists", options->lenient, "be content when there is no such topic");
  add_topic_config_command(topic);
}

}  // namespace penstock::cli
