// penstock group against a broker in memory: what it prints, what it sends, and how it fails.
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "protocol/gen/consumer_group_describe.h"
#include "protocol/gen/delete_groups.h"
#include "protocol/gen/describe_groups.h"
#include "protocol/gen/embedded.h"
#include "protocol/gen/find_coordinator.h"
#include "protocol/gen/list_groups.h"
#include "protocol/gen/offset_commit.h"
#include "protocol/gen/offset_fetch.h"
#include "tests/cli_fake_broker.h"
#include "tests/cli_run.h"

namespace penstock {
namespace {

using namespace protocol;

// A broker with one group, "readers", of topic "t" with two partitions of 30 records in all.
class CliGroup : public testing::Test {
 protected:
  CliGroup() {
    broker.on<FindCoordinatorRequest, FindCoordinatorResponse>([this](auto& request, auto& response) {
      const ErrorCode error = busy > 0 ? ErrorCode::kCoordinatorNotAvailable : ErrorCode::kNone;
      busy -= busy > 0 ? 1 : 0;
      if (request.coordinator_keys.empty()) {
        response.error_code = error;
        response.host = "127.0.0.1";
        response.port = broker.port();
      }
      for (const std::string& key : request.coordinator_keys) {
        response.coordinators.push_back(
            {.key = key, .node_id = 1, .host = "127.0.0.1", .port = broker.port(), .error_code = error});
      }
    });
    broker.on<ListGroupsRequest, ListGroupsResponse>([this](auto&, auto& response) {
      if (!exists) return;
      response.groups.push_back(
          {.group_id = "readers", .protocol_type = "consumer", .group_state = "Stable", .group_type = type});
      response.groups.push_back({.group_id = another, .protocol_type = "", .group_state = "Empty", .group_type = ""});
    });
    describe_by_both();
    keep_offsets();
    broker.on<DeleteGroupsRequest, DeleteGroupsResponse>([this](auto& request, auto& response) {
      for (const std::string& id : request.groups_names) {
        const bool is_it = exists && id == "readers";
        response.results.push_back({.group_id = id,
                                    .error_code = !is_it        ? ErrorCode::kGroupIdNotFound
                                                  : has_members ? ErrorCode::kNonEmptyGroup
                                                                : ErrorCode::kNone});
        if (is_it && !has_members) exists = false;
      }
    });
    EXPECT_EQ(run_command({"bench", "produce", "--topic", "t", "--partitions", "2", "--connections", "2", "--count",
                           "30", "--batch-records", "5", "--bootstrap", broker.address(), "--quiet"})
                  .exit_code,
              0);
    end = {broker.end_offset("t", 0), broker.end_offset("t", 1)};
  }

  CommandResult group(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "group");
    arguments.insert(arguments.end(), {"--bootstrap", broker.address()});
    return run_command(std::move(arguments));
  }
  nlohmann::json group_json(std::vector<std::string> arguments) {
    arguments.push_back("--json");
    const CommandResult result = group(std::move(arguments));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return nlohmann::json::parse(result.out);
  }

  FakeBroker broker;
  bool exists = true;
  bool has_members = true;
  std::string another = "another";  // a group beside it
  std::string type = "consumer";
  int busy = 0;  // times that there is no coordinator
  ErrorCode commit_error = ErrorCode::kNone;
  std::map<std::pair<std::string, int32_t>, int64_t> committed;
  std::pair<int64_t, int64_t> end;  // of the topic's partitions

 private:
  void describe_by_both() {
    broker.on<ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse>([this](auto& request, auto& response) {
      auto& told = response.groups.emplace_back();
      told.group_id = request.group_ids.at(0);
      told.error_code = exists && type == "consumer" ? ErrorCode::kNone : ErrorCode::kGroupIdNotFound;
      if (told.error_code != ErrorCode::kNone) return;
      told.group_state = "Stable";
      told.group_epoch = 7;
      told.assignor_name = "uniform";
      if (!has_members) return;
      auto& member = told.members.emplace_back();
      member.member_id = "m-1";
      member.member_epoch = 7;
      member.client_id = "app";
      member.client_host = "/10.0.0.1";
      member.assignment.topic_partitions = {{.topic_id = {}, .topic_name = "t", .partitions = {0, 1}}};
    });
    broker.on<DescribeGroupsRequest, DescribeGroupsResponse>([this](auto& request, auto& response) {
      auto& told = response.groups.emplace_back();
      told.group_id = request.groups.at(0);
      told.group_state = exists && type == "classic" ? "Stable" : "Dead";
      if (told.group_state == "Dead") return;
      told.protocol_type = "consumer";
      told.protocol_data = "range";
      auto& member = told.members.emplace_back();
      member.member_id = "c-1";
      member.group_instance_id = "box";
      const ConsumerProtocolAssignment assignment{.assigned_partitions = {{.topic = "t", .partitions = {1}}}};
      member.member_assignment.resize(2);
      store_be<int16_t>(member.member_assignment.data(), 0);
      EXPECT_TRUE(encode(assignment, 0, member.member_assignment));
    });
  }

  void keep_offsets() {
    broker.on<OffsetFetchRequest, OffsetFetchResponse>([this](auto& request, auto& response) {
      const auto tell = [this](auto& topics) {
        for (const auto& [at, offset] : committed) {
          if (topics.empty() || topics.back().name != at.first) topics.emplace_back().name = at.first;
          auto& partition = topics.back().partitions.emplace_back();
          partition.partition_index = at.second;
          partition.committed_offset = offset;
        }
      };
      if (request.groups.empty()) return tell(response.topics);
      auto& told = response.groups.emplace_back();
      told.group_id = request.groups[0].group_id;
      tell(told.topics);
    });
    broker.on<OffsetCommitRequest, OffsetCommitResponse>([this](auto& request, auto& response) {
      const ErrorCode error = has_members ? ErrorCode::kUnknownMemberId : commit_error;
      for (const auto& topic : request.topics) {
        auto& told = response.topics.emplace_back();
        told.name = topic.name;
        for (const auto& partition : topic.partitions) {
          told.partitions.push_back({.partition_index = partition.partition_index, .error_code = error});
          if (error == ErrorCode::kNone) {
            committed[{topic.name, partition.partition_index}] = partition.committed_offset;
          }
        }
      }
    });
  }
};

TEST_F(CliGroup, list_is_sorted_and_says_what_the_broker_does_not) {
  EXPECT_EQ(group({"list"}).out,
            "GROUP    TYPE      STATE   PROTOCOL\n"
            "another  -         Empty   -\n"
            "readers  consumer  Stable  consumer\n");
  const auto list = group_json({"list"});
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[1]["group"], "readers");
  EXPECT_EQ(list[1]["type"], "consumer");
  exists = false;
  EXPECT_EQ(group({"list"}).out, "no groups\n");
}

// Any client chooses such names; a terminal must not take them for orders, nor a reader for lines of the table.
TEST_F(CliGroup, control_characters_are_written_out) {
  another = "a\x1b[2J\nb\x7f\xc2\x9b";
  EXPECT_EQ(group({"list"}).out,
            "GROUP                  TYPE      STATE   PROTOCOL\n"
            "a\\x1b[2J\\x0ab\\x7f\\x9b  -         Empty   -\n"
            "readers                consumer  Stable  consumer\n");
  EXPECT_EQ(group_json({"list"})[0]["group"], another);
}

TEST_F(CliGroup, describe_tells_members_and_lag) {
  committed[{"t", 0}] = end.first - 4;
  const auto result = group({"describe", "readers"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out.substr(0, result.out.find("TOPIC")),
            "readers  consumer  Stable  assignor uniform  epoch 7\n"
            "MEMBER  INSTANCE  CLIENT  HOST       EPOCH  PARTITIONS\n"
            "m-1     -         app     /10.0.0.1  7      2\n");
  const auto json = group_json({"describe", "readers"});
  EXPECT_EQ(json["epoch"], 7);
  EXPECT_EQ(json["members"][0]["assignment"][0]["partitions"], nlohmann::json::array({0, 1}));
  ASSERT_EQ(json["offsets"].size(), 2u);
  EXPECT_EQ(json["offsets"][0]["lag"], 4);
  EXPECT_EQ(json["offsets"][0]["member"], "m-1");
  EXPECT_EQ(json["offsets"][1]["committed"], nullptr) << "nothing is committed there";
  EXPECT_EQ(json["offsets"][1]["lag"], nullptr);
  EXPECT_EQ(json["offsets"][1]["end"], end.second);
}

TEST_F(CliGroup, describe_reads_a_classic_members_assignment) {
  type = "classic";
  const auto json = group_json({"describe", "readers"});
  EXPECT_EQ(json["type"], "classic");
  EXPECT_EQ(json["assignor"], "range");
  EXPECT_EQ(json["epoch"], nullptr);
  EXPECT_EQ(json["members"][0]["instance"], "box");
  EXPECT_EQ(json["members"][0]["assignment"][0]["topic"], "t");
  EXPECT_EQ(json["members"][0]["assignment"][0]["partitions"], nlohmann::json::array({1}));
}

TEST_F(CliGroup, offsets_of_a_topic_that_is_gone_have_no_end) {
  committed[{"gone", 3}] = 5;
  const auto json = group_json({"describe", "readers"});
  EXPECT_EQ(json["offsets"][0]["topic"], "gone");
  EXPECT_EQ(json["offsets"][0]["committed"], 5);
  EXPECT_EQ(json["offsets"][0]["end"], nullptr);
  EXPECT_EQ(json["offsets"][0]["lag"], nullptr);
}

TEST_F(CliGroup, a_group_that_is_not_there_is_an_error) {
  exists = false;
  const auto result = group({"describe", "readers"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.err, "penstock: group readers: GROUP_ID_NOT_FOUND\n");
}

TEST_F(CliGroup, reset_sets_what_was_committed) {
  has_members = false;
  committed[{"t", 0}] = 1;
  EXPECT_EQ(group({"reset", "readers", "--to", "end", "--dry-run"}).exit_code, 0);
  EXPECT_EQ((committed[{"t", 0}]), 1) << "--dry-run";
  const auto json = group_json({"reset", "readers", "--to", "end"});
  EXPECT_EQ(json["reset"], true);
  ASSERT_EQ(json["offsets"].size(), 2u) << "all partitions of each topic";
  EXPECT_EQ(json["offsets"][0]["before"], 1);
  EXPECT_EQ(json["offsets"][0]["now"], end.first);
  EXPECT_EQ(json["offsets"][1]["before"], nullptr);
  EXPECT_EQ((committed[{"t", 0}]), end.first);
  EXPECT_EQ((committed[{"t", 1}]), end.second);
}

TEST_F(CliGroup, reset_of_one_partition_and_within_the_log) {
  has_members = false;
  EXPECT_EQ(group({"reset", "readers", "--topic", "t", "--partition", "1", "--to", "1000000"}).exit_code, 0);
  EXPECT_EQ(committed.size(), 1u);
  EXPECT_EQ((committed[{"t", 1}]), end.second) << "no further than its end";
  EXPECT_EQ(group({"reset", "readers", "--topic", "t", "--to", "-3"}).exit_code, 0);
  EXPECT_EQ((committed[{"t", 0}]), end.first - 3);
  EXPECT_EQ(group({"reset", "readers", "--topic", "t", "--to", "beginning"}).exit_code, 0);
  EXPECT_EQ((committed[{"t", 0}]), 0);
  EXPECT_EQ(group_json({"reset", "readers", "--topic", "t", "--topic", "t", "--to", "end"})["offsets"].size(), 2u);
}

TEST_F(CliGroup, reset_says_why_it_cannot) {
  const auto result = [this](std::vector<std::string> more) {
    std::vector<std::string> arguments{"reset", "readers"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return group(std::move(arguments));
  };
  EXPECT_EQ(result({"--topic", "t", "--to", "end"}).err,
            "penstock: cannot set t 0 of group readers: UNKNOWN_MEMBER_ID: the group has members; stop its consumers "
            "first\n");
  has_members = false;
  commit_error = ErrorCode::kTopicAuthorizationFailed;
  EXPECT_EQ(result({"--topic", "t", "--to", "end"}).err,
            "penstock: cannot set t 0 of group readers: TOPIC_AUTHORIZATION_FAILED\n");
  EXPECT_EQ(result({"--to", "end"}).err,
            "penstock: group readers has committed nothing; name its topics with --topic\n");
  EXPECT_EQ(result({"--topic", "t", "--partition", "9", "--to", "end"}).err, "penstock: there is no such partition\n");
  EXPECT_GE(result({"--topic", "t", "--to", "nowhere"}).exit_code, 100);
  EXPECT_TRUE(committed.empty());
}

TEST_F(CliGroup, delete_takes_groups_without_members) {
  const auto refused = group({"delete", "readers"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_EQ(
      refused.err,
      "penstock: cannot delete group readers: NON_EMPTY_GROUP: the group has members; stop its consumers first\n");
  has_members = false;
  EXPECT_EQ(group({"delete", "readers"}).out, "Deleted readers\n");
  EXPECT_FALSE(exists);
  EXPECT_EQ(group({"delete", "readers"}).err, "penstock: cannot delete group readers: GROUP_ID_NOT_FOUND\n");
}

TEST_F(CliGroup, delete_goes_on_behind_a_group_that_it_cannot_delete) {
  has_members = false;
  const auto result = group({"delete", "nobody", "readers", "nothing", "--json"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(
      result.err,
      "penstock: cannot delete group nobody: GROUP_ID_NOT_FOUND; cannot delete group nothing: GROUP_ID_NOT_FOUND\n");
  EXPECT_FALSE(exists);
  const auto told = nlohmann::json::parse(result.out);
  EXPECT_EQ(told["deleted"], nlohmann::json::array({"readers"}));
  ASSERT_EQ(told["failed"].size(), 2u);
  EXPECT_EQ(told["failed"][1]["name"], "nothing");
  EXPECT_EQ(told["failed"][1]["error"], "cannot delete group nothing: GROUP_ID_NOT_FOUND");
}

// As after a start: the groups' topic is made, and its partitions are read.
TEST_F(CliGroup, a_coordinator_that_is_not_there_yet_is_waited_for) {
  busy = 2;
  has_members = false;
  EXPECT_EQ(group_json({"delete", "readers"})["deleted"], nlohmann::json::array({"readers"}));
  EXPECT_EQ(busy, 0);
}

TEST_F(CliGroup, an_older_broker_is_asked_in_its_versions) {
  broker.serve(FindCoordinatorRequest::kApiKey, {0, 3});
  broker.serve(OffsetFetchRequest::kApiKey, {1, 7});
  broker.serve(ConsumerGroupDescribeRequest::kApiKey, {1, 0});
  type = "classic";
  committed[{"t", 0}] = end.first;
  const auto json = group_json({"describe", "readers"});
  EXPECT_EQ(json["type"], "classic");
  EXPECT_EQ(json["offsets"][0]["lag"], 0);
}

}  // namespace
}  // namespace penstock
