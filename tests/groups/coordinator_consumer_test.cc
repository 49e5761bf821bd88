// Next-generation groups among a coordinator's: offsets in members' epochs, lists, deletion, and groups that change
// their kind while they have members. After each step another coordinator reads the log and must be the same.
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <variant>

#include "base/bytes.h"
#include "control/groups/classic_subscription.h"
#include "control/groups/coordinator.h"
#include "protocol/codec.h"

namespace penstock::control::groups {
namespace {

constexpr Uuid kTopic{{1}};

class Rig {
 public:
  Rig() {
    world.topics = TopicTable(1);
    world.topics.add("t", {.id = kTopic, .partitions = 4});
    world.settings_of = [this](const std::string&) { return settings; };
    classic_settings.initial_rebalance_delay_ms = 0;
  }

  ConsumerGroup::Response beat(const std::string& member, int32_t epoch,
                               const std::optional<std::vector<int32_t>>& owned = {}) {
    ConsumerGroup::Request request;
    request.group_id = "g";
    request.member_id = member;
    request.member_epoch = epoch;
    if (epoch == 0) {
      request.rebalance_timeout_ms = 30'000;
      request.subscribed_topic_names.emplace().push_back("t");
      request.topic_partitions.emplace();
    }
    if (owned) request.topic_partitions.emplace().push_back({.topic_id = kTopic, .partitions = *owned});
    Effects effects;
    auto response = coordinator.consumer_heartbeat(request, {.version = 1, .client_id = "c"}, now, effects);
    take(effects);
    return response;
  }
  // The response if it came at once; else what comes later is in `late`.
  protocol::JoinGroupResponse join(const std::string& member, const std::vector<int32_t>& owned = {},
                                   const std::string& assignor = "cooperative-sticky") {
    protocol::JoinGroupRequest request;
    request.group_id = "g";
    request.member_id = member;
    request.session_timeout_ms = 30'000;
    request.rebalance_timeout_ms = 30'000;
    request.protocol_type = "consumer";
    protocol::ConsumerProtocolSubscription wants;
    wants.topics = {"t"};
    if (!owned.empty()) wants.owned_partitions.push_back({.topic = "t", .partitions = owned});
    std::vector<std::byte> bytes(2);
    store_be(bytes.data(), int16_t{1});
    EXPECT_TRUE(protocol::encode(wants, 1, bytes));
    request.protocols.push_back({.name = assignor, .metadata = bytes});
    Effects effects;
    coordinator.join(request, {.ticket = ++ticket, .version = 9, .client_id = "c"}, now, effects);
    take(effects);
    pass(20);  // the delay of an empty group is over soon
    return late.contains(ticket) ? std::get<protocol::JoinGroupResponse>(late[ticket]) : protocol::JoinGroupResponse{};
  }
  protocol::SyncGroupResponse sync(const std::string& member, int32_t generation,
                                   const std::map<std::string, std::vector<int32_t>>& assignments = {}) {
    protocol::SyncGroupRequest request;
    request.group_id = "g";
    request.member_id = member;
    request.generation_id = generation;
    for (const auto& [id, partitions] : assignments) {
      Holding holding;
      for (const int32_t partition : partitions) holding[kTopic][partition] = generation;
      request.assignments.push_back({.member_id = id, .assignment = write_assignment(1, holding, world.topics)});
    }
    Effects effects;
    coordinator.sync(request, {.ticket = ++ticket, .version = 5}, now, effects);
    take(effects);
    return late.contains(ticket) ? std::get<protocol::SyncGroupResponse>(late[ticket]) : protocol::SyncGroupResponse{};
  }
  std::vector<int32_t> partitions(const protocol::SyncGroupResponse& response) const {
    const auto assignment = read_assignment(response.assignment, world.topics);
    if (!assignment || assignment->empty()) return {};
    return {assignment->begin()->second.begin(), assignment->begin()->second.end()};
  }
  ErrorCode classic_beat(const std::string& member, int32_t generation) {
    Effects effects;
    const ErrorCode error =
        coordinator.heartbeat({.group_id = "g", .generation_id = generation, .member_id = member}, now, effects);
    take(effects);
    return error;
  }
  ErrorCode commit(const std::string& member, int32_t epoch, int32_t partition, int64_t offset) {
    protocol::OffsetCommitRequest request;
    request.group_id = "g";
    request.member_id = member;
    request.generation_id_or_member_epoch = epoch;
    auto& topic = request.topics.emplace_back();
    topic.name = "t";
    topic.topic_id = kTopic;
    topic.partitions.push_back({.partition_index = partition, .committed_offset = offset});
    protocol::OffsetCommitResponse response;
    response.topics.emplace_back().partitions.emplace_back().partition_index = partition;
    Effects effects;
    coordinator.commit(request, 9, now, effects, response);
    take(effects);
    return response.topics[0].partitions[0].error_code;
  }
  protocol::OffsetFetchResponse::Group fetch(const std::optional<std::string>& member, int32_t epoch) {
    protocol::OffsetFetchRequest::Group request;
    request.group_id = "g";
    request.member_id = member;
    request.member_epoch = epoch;
    request.topics.reset();
    return coordinator.fetch(request);
  }
  std::string listed() const {
    std::string text;
    for (const auto& group : coordinator.list())
      text += group.group_id + " " + group.group_type + " " + group.group_state;
    return text;
  }
  ErrorCode remove() {
    Effects effects;
    const ErrorCode error = coordinator.delete_group("g", now, effects);
    take(effects);
    return error;
  }
  void pass(int64_t ms) {
    now.monotonic += ms * kMillisecond;
    now.wall_ms += ms;
    Effects effects;
    coordinator.expire(now, effects);
    take(effects);
  }

  void take(Effects& effects) {
    for (const GroupRecord& record : effects.records) log.push_back(encode(record).value());
    for (LateAnswer& answer : effects.answers) late[answer.ticket] = std::move(answer.response);
    check_replay();
  }
  void check_replay() {
    GroupMemory other;
    Coordinator again(classic_settings, prng, other, world);
    for (const EncodedRecord& bytes : log) {
      std::optional<std::span<const std::byte>> value;
      if (bytes.value) value = *bytes.value;
      again.replay(decode_record(bytes.key, value).value());
    }
    EXPECT_EQ(dump(again), dump(coordinator));
  }
  static std::string dump(const Coordinator& coordinator) {
    std::string text;
    for (const auto& [id, group] : coordinator.groups()) {
      const ConsumerGroup* consumer = consumer_of(&group);
      text += id + " " + (consumer != nullptr ? consumer->dump() : "classic\n");
    }
    return text;
  }

  ConsumerWorld world;
  ConsumerGroupSettings settings{.assignment_interval_ms = 0};
  GroupSettings classic_settings;
  Prng prng{1};
  GroupMemory memory;
  Coordinator coordinator{classic_settings, prng, memory, world};
  Now now{.monotonic = kSecond, .wall_ms = 1'000'000};
  Ticket ticket = 0;
  std::map<Ticket, LateResponse> late;
  std::vector<EncodedRecord> log;
};

TEST(CoordinatorConsumer, CommitsAndFetchesInMembersEpochs) {
  Rig rig;
  EXPECT_EQ(rig.beat("a", 1).error_code, ErrorCode::kGroupIdNotFound);
  EXPECT_EQ(rig.beat("a", 0).member_epoch, 1);
  EXPECT_EQ(rig.listed(), "g consumer Stable");
  EXPECT_EQ(rig.memory.members, 1U);
  EXPECT_EQ(rig.commit("a", 1, 0, 7), ErrorCode::kNone);
  EXPECT_EQ(rig.commit("a", 2, 0, 9), ErrorCode::kStaleMemberEpoch);
  EXPECT_EQ(rig.commit("b", 1, 0, 9), ErrorCode::kUnknownMemberId);
  EXPECT_EQ(rig.commit("", -1, 0, 9), ErrorCode::kUnknownMemberId);
  EXPECT_EQ(rig.fetch("a", 1).topics[0].partitions[0].committed_offset, 7);
  EXPECT_EQ(rig.fetch("a", 0).error_code, ErrorCode::kStaleMemberEpoch);
  EXPECT_EQ(rig.fetch(std::nullopt, -1).topics.size(), 1U);
  EXPECT_EQ(rig.remove(), ErrorCode::kNonEmptyGroup);
  EXPECT_EQ(rig.coordinator.describe_consumer("g", rig.now)->members.size(), 1U);
  EXPECT_FALSE(rig.coordinator.describe("g"));
  rig.beat("a", -1);
  EXPECT_EQ(rig.listed(), "g consumer Empty");
  EXPECT_EQ(rig.commit("", -1, 0, 3), ErrorCode::kNone);
  EXPECT_EQ(rig.remove(), ErrorCode::kNone);
  EXPECT_EQ(rig.listed(), "");
  EXPECT_EQ(rig.memory.members, 0U);
  EXPECT_EQ(rig.memory.groups, 0U);
}

TEST(CoordinatorConsumer, SessionsEndByTheCoordinatorsTimers) {
  Rig rig;
  rig.beat("a", 0);
  EXPECT_EQ(rig.coordinator.next_deadline(), rig.now.monotonic + 45 * kSecond);
  rig.pass(45'000);
  EXPECT_EQ(rig.listed(), "g consumer Empty");
}

TEST(CoordinatorConsumer, EmptyGroupsChangeTheirKindFreely) {
  Rig rig;
  const auto needs_id = rig.join("");
  EXPECT_EQ(needs_id.error_code, ErrorCode::kMemberIdRequired);
  const auto joined = rig.join(needs_id.member_id);
  EXPECT_EQ(joined.generation_id, 1);
  rig.sync(joined.member_id, 1, {{joined.member_id, {0, 1, 2, 3}}});
  Effects effects;
  protocol::LeaveGroupRequest leave;
  leave.group_id = "g";
  leave.members.push_back({.member_id = joined.member_id});
  rig.coordinator.leave(leave, 5, rig.now, effects);
  rig.take(effects);
  EXPECT_EQ(rig.listed(), "g classic Empty");
  EXPECT_EQ(rig.beat("a", 0).member_epoch, 1);
  EXPECT_EQ(rig.listed(), "g consumer Stable");
  rig.beat("a", -1);
  const auto again = rig.join("");
  EXPECT_EQ(again.error_code, ErrorCode::kMemberIdRequired);
  rig.join(again.member_id);
  EXPECT_EQ(rig.listed(), "g classic CompletingRebalance");
}

TEST(CoordinatorConsumer, AClassicGroupMovesOverMemberByMember) {
  Rig rig;
  const std::string old = rig.join("").member_id;
  const auto joined = rig.join(old);
  rig.sync(old, joined.generation_id, {{old, {0, 1, 2, 3}}});
  EXPECT_EQ(rig.listed(), "g classic Stable");

  // One of the new protocol comes: the old one keeps what it has until it joins again.
  EXPECT_EQ(rig.beat("new", 0).member_epoch, 2);
  EXPECT_EQ(rig.listed(), "g consumer Reconciling");
  EXPECT_EQ(rig.classic_beat(old, 1), ErrorCode::kRebalanceInProgress);
  EXPECT_EQ(rig.commit(old, 1, 3, 5), ErrorCode::kNone);
  EXPECT_EQ(rig.join(old, {0, 1, 2, 3}).generation_id, 1);
  EXPECT_EQ(rig.partitions(rig.sync(old, 1)).size(), 2U);
  EXPECT_EQ(rig.join(old, {0, 1}).generation_id, 2);
  EXPECT_EQ(rig.beat("new", 2).assignment->topic_partitions[0].partitions.size(), 2U);
  EXPECT_EQ(rig.listed(), "g consumer Stable");

  // And goes: the others find a leader among themselves.
  EXPECT_EQ(rig.beat("new", -1).error_code, ErrorCode::kNone);
  EXPECT_EQ(rig.listed(), "g classic PreparingRebalance");
  EXPECT_EQ(rig.classic_beat(old, 3), ErrorCode::kRebalanceInProgress);
  const auto back = rig.join(old, {0, 1});
  EXPECT_EQ(back.error_code, ErrorCode::kNone);
  EXPECT_EQ(back.leader, old);
  EXPECT_EQ(back.generation_id, 4);
}

TEST(CoordinatorConsumer, AMoveThatIsNotWantedIsRefused) {
  Rig rig;
  rig.settings.may_upgrade = false;
  const std::string old = rig.join("").member_id;
  rig.join(old);
  EXPECT_EQ(rig.beat("new", 0).error_code, ErrorCode::kGroupIdNotFound);
  EXPECT_EQ(rig.listed(), "g classic CompletingRebalance");
}

// Makes a group of one whose assignment says more than partitions; what a member of the new protocol is told by it.
ErrorCode joins_beside(Rig& rig, const std::string& assignor) {
  const std::string old = rig.join("", {}, assignor).member_id;
  const auto joined = rig.join(old, {}, assignor);
  protocol::SyncGroupRequest request;
  request.group_id = "g";
  request.member_id = old;
  request.generation_id = joined.generation_id;
  protocol::ConsumerProtocolAssignment assignment;
  assignment.assigned_partitions.push_back({.topic = "t", .partitions = {0, 1, 2, 3}});
  assignment.user_data.emplace(3);
  std::vector<std::byte> bytes(2);
  EXPECT_TRUE(protocol::encode(assignment, 0, bytes));
  request.assignments.push_back({.member_id = old, .assignment = bytes});
  Effects effects;
  rig.coordinator.sync(request, {.ticket = 99, .version = 5}, rig.now, effects);
  rig.take(effects);
  const ErrorCode error = rig.beat("new", 0).error_code;
  EXPECT_EQ(rig.classic_beat(old, joined.generation_id),
            error == ErrorCode::kNone ? ErrorCode::kRebalanceInProgress : ErrorCode::kNone);
  return error;
}

// Kafka Streams, say: nobody here could make such assignments, so the group stays what it is.
TEST(CoordinatorConsumer, AnAssignorOfTheClientsOwnKeepsItsGroupClassic) {
  Rig rig;
  EXPECT_EQ(joins_beside(rig, "stream"), ErrorCode::kGroupIdNotFound);
  EXPECT_EQ(rig.listed(), "g classic Stable");
}

// librdkafka's sticky assignors add what each member owns.
TEST(CoordinatorConsumer, WhatACommonAssignorAddsKeepsNoGroupClassic) {
  Rig rig;
  EXPECT_EQ(joins_beside(rig, "cooperative-sticky"), ErrorCode::kNone);
  EXPECT_EQ(rig.listed().substr(0, 11), "g consumer ");
}

TEST(CoordinatorConsumer, WhoIsRefusedChangesNothing) {
  Rig rig;
  rig.settings.max_size = 1;
  EXPECT_EQ(rig.beat("x", 3).error_code, ErrorCode::kGroupIdNotFound);
  EXPECT_EQ(rig.listed(), "");
  const std::string old = rig.join("").member_id;
  const auto joined = rig.join(old);
  rig.sync(old, joined.generation_id, {{old, {0, 1, 2, 3}}});
  const size_t written = rig.log.size();
  // The group could move over, but not with one more.
  EXPECT_EQ(rig.beat("new", 0).error_code, ErrorCode::kGroupMaxSizeReached);
  EXPECT_EQ(rig.listed(), "g classic Stable");
  EXPECT_EQ(rig.classic_beat(old, 1), ErrorCode::kNone);
  EXPECT_EQ(rig.log.size(), written);
  // And a group that is larger than the new kind may be stays what it is.
  rig.settings.max_size = 0;
  EXPECT_EQ(rig.beat("new", 0).error_code, ErrorCode::kGroupIdNotFound);
  EXPECT_EQ(rig.listed(), "g classic Stable");
  EXPECT_EQ(rig.log.size(), written);
}

TEST(CoordinatorConsumer, AStrangerEndsNoEmptyGroup) {
  Rig rig;
  rig.beat("a", 0);
  rig.beat("a", -1);
  EXPECT_EQ(rig.listed(), "g consumer Empty");
  const size_t written = rig.log.size();
  EXPECT_EQ(rig.join("stranger").error_code, ErrorCode::kUnknownMemberId);
  EXPECT_EQ(rig.listed(), "g consumer Empty");
  EXPECT_EQ(rig.log.size(), written);
}

TEST(CoordinatorConsumer, WhoIsToComeBackKeepsNobodyOut) {
  Rig rig;
  const std::string pending = rig.join("").member_id;
  EXPECT_EQ(rig.listed(), "g classic Empty");
  EXPECT_EQ(rig.beat("a", 0).member_epoch, 1);
  EXPECT_EQ(rig.listed(), "g consumer Stable");
  rig.beat("a", -1);
  EXPECT_EQ(rig.remove(), ErrorCode::kNone);
  const std::string second = rig.join("").member_id;
  EXPECT_EQ(rig.remove(), ErrorCode::kNone);
  EXPECT_EQ(rig.listed(), "");
  EXPECT_EQ(rig.memory.bytes, 0U);
  EXPECT_EQ(rig.join(second).error_code, ErrorCode::kUnknownMemberId);
}

TEST(CoordinatorConsumer, WhoWaitsInAClassicRebalanceIsLetGo) {
  Rig rig;
  const std::string old = rig.join("").member_id;
  const auto joined = rig.join(old);
  rig.sync(old, joined.generation_id, {{old, {0, 1, 2, 3}}});
  const std::string second = rig.join("").member_id;
  rig.join(second);  // waits for the old one
  const Ticket waits = rig.ticket;
  EXPECT_FALSE(rig.late.contains(waits));
  rig.beat("new", 0);
  ASSERT_TRUE(rig.late.contains(waits));
  EXPECT_EQ(std::get<protocol::JoinGroupResponse>(rig.late[waits]).error_code, ErrorCode::kRebalanceInProgress);
  EXPECT_EQ(rig.coordinator.describe_consumer("g", rig.now)->members.size(), 3U);
}

}  // namespace
}  // namespace penstock::control::groups
