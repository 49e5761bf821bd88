#include "control/cli/group.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/system_clock.h"
#include "control/cli/cluster.h"
#include "control/cli/command.h"
#include "control/cli/command_line.h"
#include "control/cli/delete_each.h"
#include "control/cli/error.h"
#include "control/cli/group_client.h"
#include "control/cli/json.h"
#include "control/cli/records/start_at.h"
#include "control/cli/visible.h"

namespace penstock::cli {
namespace {

struct GroupOptions {
  BrokerOptions broker;
  std::string group;
  std::vector<std::string> groups;
  std::vector<std::string> topics;
  std::optional<int32_t> partition;
  std::string to;
  bool dry_run = false;
  bool json = false;
};

std::string or_dash(const std::string& text) { return text.empty() ? "-" : text; }

void run_list(const GroupOptions& options) {
  SystemClock clock;
  Cluster cluster(clock, options.broker);
  const std::vector<ListedGroup> groups = list_groups(cluster, clock, options.broker.timeout);
  if (options.json) {
    auto list = Json::array();
    for (const ListedGroup& group : groups) {
      list.push_back(
          {{"group", group.id}, {"type", group.type}, {"state", group.state}, {"protocol_type", group.protocol_type}});
    }
    return print(list);
  }
  std::vector<std::vector<std::string>> rows{{"GROUP", "TYPE", "STATE", "PROTOCOL"}};
  for (const ListedGroup& group : groups) {
    rows.push_back({group.id, or_dash(group.type), or_dash(group.state), or_dash(group.protocol_type)});
  }
  print(groups.empty() ? std::string("no groups\n") : table_text(rows));
}

// What is committed, beside where the log ends and who reads it.
struct Lag {
  CommittedOffset at;
  std::optional<int64_t> end;  // nothing: the topic is gone, or has no leader
  std::string member;
};

std::vector<Lag> lags(Cluster& cluster, const GroupView& view, const std::vector<CommittedOffset>& committed) {
  std::map<std::pair<std::string, int32_t>, Lag> all;
  for (const CommittedOffset& at : committed) all[{at.topic, at.partition}].at = at;
  for (const GroupMemberView& member : view.members) {
    for (const auto& [topic, partitions] : member.partitions) {
      for (const int32_t partition : partitions) {
        Lag& lag = all[{topic, partition}];
        lag.at.topic = topic;
        lag.at.partition = partition;
        lag.member = member.id;
      }
    }
  }
  std::map<std::string, std::map<int32_t, int64_t>> ends;
  std::vector<Lag> out;
  for (auto& [key, lag] : all) {
    if (!ends.contains(key.first)) {
      auto& of = ends[key.first];
      if (cluster.topic_exists(key.first)) {
        const Topic topic = cluster.topic(key.first);
        const std::vector<int64_t> found = cluster.list_offsets(topic, kLatest);
        for (size_t i = 0; i < found.size(); ++i) of[topic.partitions[i].index] = found[i];
      }
    }
    const auto& of = ends[key.first];
    if (const auto end = of.find(key.second); end != of.end()) lag.end = end->second;
    out.push_back(std::move(lag));
  }
  return out;
}

Json describe_json(const GroupView& view, const std::vector<Lag>& lags) {
  auto members = Json::array();
  for (const GroupMemberView& member : view.members) {
    auto partitions = Json::array();
    for (const auto& [topic, numbers] : member.partitions) {
      partitions.push_back({{"topic", topic}, {"partitions", numbers}});
    }
    members.push_back({{"member", member.id},
                       {"instance", member.instance},
                       {"client_id", member.client_id},
                       {"host", member.host},
                       {"epoch", member.epoch ? Json(*member.epoch) : Json()},
                       {"assignment", partitions}});
  }
  auto offsets = Json::array();
  for (const Lag& lag : lags) {
    const bool known = lag.end && lag.at.offset >= 0;
    offsets.push_back({{"topic", lag.at.topic},
                       {"partition", lag.at.partition},
                       {"committed", lag.at.offset >= 0 ? Json(lag.at.offset) : Json()},
                       {"end", lag.end ? Json(*lag.end) : Json()},
                       {"lag", known ? Json(*lag.end - lag.at.offset) : Json()},
                       {"member", lag.member}});
  }
  return {{"group", view.id},
          {"type", view.type},
          {"state", view.state},
          {"assignor", view.assignor},
          {"epoch", view.epoch ? Json(*view.epoch) : Json()},
          {"members", members},
          {"offsets", offsets}};
}

std::string describe_text(const GroupView& view, const std::vector<Lag>& lags) {
  std::string out = fmt::format("{}  {}  {}{}{}\n", visible(view.id), view.type, view.state,
                                view.assignor.empty() ? "" : "  assignor " + visible(view.assignor),
                                view.epoch ? fmt::format("  epoch {}", *view.epoch) : "");
  std::vector<std::vector<std::string>> rows{{"MEMBER", "INSTANCE", "CLIENT", "HOST", "EPOCH", "PARTITIONS"}};
  for (const GroupMemberView& member : view.members) {
    size_t partitions = 0;
    for (const auto& [topic, numbers] : member.partitions) partitions += numbers.size();
    rows.push_back({member.id, or_dash(member.instance), or_dash(member.client_id), or_dash(member.host),
                    member.epoch ? std::to_string(*member.epoch) : "-", std::to_string(partitions)});
  }
  out += rows.size() == 1 ? std::string("no members\n") : table_text(rows);
  rows = {{"TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "MEMBER"}};
  for (const Lag& lag : lags) {
    const bool known = lag.end && lag.at.offset >= 0;
    rows.push_back({lag.at.topic, std::to_string(lag.at.partition),
                    lag.at.offset >= 0 ? std::to_string(lag.at.offset) : "-", lag.end ? std::to_string(*lag.end) : "-",
                    known ? std::to_string(*lag.end - lag.at.offset) : "-", or_dash(lag.member)});
  }
  return out + (rows.size() == 1 ? std::string("nothing committed\n") : table_text(rows));
}

void run_describe(const GroupOptions& options) {
  SystemClock clock;
  Cluster cluster(clock, options.broker);
  GroupClient client(clock, options.broker, cluster, options.group);
  const GroupView view = client.describe();
  const std::vector<Lag> all = lags(cluster, view, client.committed());
  options.json ? print(describe_json(view, all)) : print(describe_text(view, all));
}

// The offset of each of the topic's partitions.
std::vector<int64_t> places(Cluster& cluster, const Topic& topic, const StartAt& to) {
  const std::vector<int64_t> begins = cluster.list_offsets(topic, kEarliest);
  const std::vector<int64_t> ends = cluster.list_offsets(topic, kLatest);
  switch (to.kind) {
    case StartAt::Kind::kBeginning: return begins;
    case StartAt::Kind::kEnd: return ends;
    case StartAt::Kind::kTime: {
      std::vector<int64_t> found = cluster.list_offsets(topic, to.number);
      for (size_t i = 0; i < found.size(); ++i) found[i] = found[i] < 0 ? ends[i] : found[i];  // nothing is that young
      return found;
    }
    case StartAt::Kind::kOffset:
    case StartAt::Kind::kLast: break;
  }
  std::vector<int64_t> found;
  for (size_t i = 0; i < ends.size(); ++i) {
    const int64_t wanted = to.kind == StartAt::Kind::kOffset ? to.number : ends[i] - to.number;
    found.push_back(std::clamp(wanted, begins[i], std::max(begins[i], ends[i])));
  }
  return found;
}

void run_reset(const GroupOptions& options) {
  SystemClock clock;
  StartAt to;
  try {
    to = parse_start(options.to, clock.wall_ms());
  } catch (const std::invalid_argument& problem) {
    throw UsageError(fmt::format("--to: {}", problem.what()));
  }
  Cluster cluster(clock, options.broker);
  GroupClient client(clock, options.broker, cluster, options.group);
  std::map<std::pair<std::string, int32_t>, int64_t> before;
  std::vector<std::string> topics = options.topics;
  for (const CommittedOffset& at : client.committed()) {
    before[{at.topic, at.partition}] = at.offset;
    if (options.topics.empty() && std::ranges::find(topics, at.topic) == topics.end()) topics.push_back(at.topic);
  }
  if (topics.empty()) {
    throw CliError(kExitFailed,
                   fmt::format("group {} has committed nothing; name its topics with --topic", options.group));
  }
  std::vector<CommittedOffset> offsets;
  std::vector<std::vector<std::string>> rows{{"TOPIC", "PARTITION", "BEFORE", "NOW"}};
  auto list = Json::array();
  std::set<std::string> done;  // one may be named twice
  for (const std::string& name : topics) {
    if (!done.insert(name).second) continue;
    const Topic topic = cluster.topic(name);
    const std::vector<int64_t> found = places(cluster, topic, to);
    for (size_t i = 0; i < found.size(); ++i) {
      const int32_t partition = topic.partitions[i].index;
      if (options.partition && *options.partition != partition) continue;
      const auto was = before.find({name, partition});
      offsets.push_back({.topic = name, .partition = partition, .offset = found[i]});
      rows.push_back({name, std::to_string(partition), was == before.end() ? "-" : std::to_string(was->second),
                      std::to_string(found[i])});
      list.push_back({{"topic", name},
                      {"partition", partition},
                      {"before", was == before.end() ? Json() : Json(was->second)},
                      {"now", found[i]}});
    }
  }
  if (offsets.empty()) throw CliError(kExitFailed, "there is no such partition");
  if (!options.dry_run) client.commit(offsets);
  options.json ? print(Json{{"group", options.group}, {"reset", !options.dry_run}, {"offsets", list}})
               : print(table_text(rows) + (options.dry_run ? "nothing was changed: --dry-run\n" : ""));
}

void run_delete(const GroupOptions& options) {
  SystemClock clock;
  Cluster cluster(clock, options.broker);
  delete_each(options.groups, options.json, [&](const std::string& group) {
    GroupClient(clock, options.broker, cluster, group).remove();
    return true;
  });
}

Command& add(Command& group, const std::shared_ptr<GroupOptions>& options, const std::string& name,
             const std::string& help, void (*run)(const GroupOptions&)) {
  Command& command = group.command(name, help);
  add_broker_options(command, options->broker);
  command.flag("--json", options->json, "print JSON");
  command.action([options, run] { run(*options); });
  return command;
}

}  // namespace

void add_group_command(Command& root) {
  Command& group = root.command("group", "list, describe, reset and delete consumer groups");
  const auto options = std::make_shared<GroupOptions>();
  add(group, options, "list", "list the groups", run_list);
  Command& describe = add(group, options, "describe", "members, committed offsets and lag", run_describe);
  describe.option("group", options->group, "the group's id").required();
  Command& reset = add(group, options, "reset", "set where a group without members goes on", run_reset);
  reset.option("group", options->group, "the group's id").required();
  reset
      .option("--to", options->to,
              "beginning, end, an offset, -N (the last N of each partition), or a time: @2026-01-02T03:04:05Z, @-10m")
      .value("WHERE")
      .required();
  reset.option("--topic", options->topics, "a topic (default: all that it has committed); may be given again")
      .complete(Completes::kTopics);
  reset.option("--partition", options->partition, "this one only").at_least(0);
  reset.flag("--dry-run", options->dry_run, "only say what would be");
  Command& remove =
      add(group, options, "delete", "delete groups without members, and what they have committed", run_delete);
  remove.option("group", options->groups, "the groups' ids").required();
}

}  // namespace penstock::cli
