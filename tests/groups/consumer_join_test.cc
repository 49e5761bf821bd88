// Who may come, stay and go: KIP-848's rules for ConsumerGroupHeartbeat, one a test (compat.md line 97).
#include "tests/groups/consumer_rig.h"

namespace penstock::control::groups {
namespace {

using Texts = std::vector<std::string>;

TEST(ConsumerJoin, TheFirstMemberGetsEverything) {
  ConsumerRig rig;
  rig.topic("t", 3);
  EXPECT_EQ(rig.state(), "Empty");
  EXPECT_EQ(rig.join("a", {"t"}), "a epoch=1 t:0,1,2");
  EXPECT_EQ(rig.state(), "Stable");
  EXPECT_EQ(rig.response.heartbeat_interval_ms, 5000);
}

TEST(ConsumerJoin, AHeartbeatWithoutNewsWritesNothingAndTellsNothing) {
  ConsumerRig rig;
  rig.topic("t", 3);
  rig.join("a", {"t"});
  EXPECT_EQ(rig.beat("a", 1), "a epoch=1");
  EXPECT_EQ(rig.last_records, 0U);
  EXPECT_EQ(rig.beat("a", 1, "t:0,1,2"), "a epoch=1");
}

TEST(ConsumerJoin, WhoSaysEverythingHearsEverything) {
  ConsumerRig rig;
  rig.topic("t", 2);
  rig.join("a", {"t"});
  ConsumerRig::Request request = ConsumerRig::join_request("a", {"t"});
  request.member_epoch = 1;
  request.topic_partitions = ConsumerRig::parse("t:0,1");
  EXPECT_EQ(rig.send(request), "a epoch=1 t:0,1");
  EXPECT_EQ(rig.last_records, 0U);
}

TEST(ConsumerJoin, ALostAnswerToAJoinIsGivenAgain) {
  ConsumerRig rig;
  rig.topic("t", 2);
  rig.join("a", {"t"});
  EXPECT_EQ(rig.join("a", {"t"}), "a epoch=1 t:0,1");
  EXPECT_EQ(rig.last_records, 0U);
}

TEST(ConsumerJoin, MembersOfVersion0GetTheirIdFromTheBroker) {
  ConsumerRig rig;
  rig.topic("t", 1);
  rig.api_version = 0;
  EXPECT_EQ(rig.join("", {"t"}), "made epoch=1 t:0");
  EXPECT_EQ(rig.beat("", 1), "INVALID_REQUEST");
}

TEST(ConsumerJoin, MembersOfVersion1MakeTheirIdThemselves) {
  ConsumerRig rig;
  rig.topic("t", 1);
  EXPECT_EQ(rig.join("", {"t"}), "INVALID_REQUEST");
  EXPECT_EQ(rig.response.error_message, "MemberId can't be empty.");
}

TEST(ConsumerJoin, ATopicThatIsNotThereIsWaitedFor) {
  ConsumerRig rig;
  EXPECT_EQ(rig.join("a", {"t"}), "a epoch=1 nothing");
  rig.topic("t", 2);
  EXPECT_EQ(rig.beat("a", 1), "a epoch=2 t:0,1");
}

TEST(ConsumerJoin, ASubscriptionToNothingIsOne) {
  ConsumerRig rig;
  EXPECT_EQ(rig.join("a", {}), "a epoch=1 nothing");
}

struct Bad {
  std::string message;
  void (*spoil)(ConsumerRig::Request& request);
};

TEST(ConsumerJoin, WhatCannotBeMeantIsRefused) {
  const Bad all[] = {
      {"GroupId can't be empty.", [](auto& r) { r.group_id = " "; }},
      {"InstanceId can't be empty.", [](auto& r) { r.instance_id = ""; }},
      {"RackId can't be empty.", [](auto& r) { r.rack_id = ""; }},
      {"RebalanceTimeoutMs must be provided in first request.", [](auto& r) { r.rebalance_timeout_ms = -1; }},
      {"RebalanceTimeoutMs is invalid.", [](auto& r) { r.rebalance_timeout_ms = -2; }},
      {"TopicPartitions must be empty when (re-)joining.", [](auto& r) { r.topic_partitions.reset(); }},
      {"TopicPartitions must be empty when (re-)joining.",
       [](auto& r) { r.topic_partitions = ConsumerRig::parse("t:0"); }},
      {"Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
       [](auto& r) { r.subscribed_topic_names.reset(); }},
      {"InstanceId can't be null.", [](auto& r) { r.member_epoch = -2; }},
      {"MemberEpoch is invalid.", [](auto& r) { r.member_epoch = -3; }},
  };
  for (const Bad& bad : all) {
    ConsumerRig rig;
    ConsumerRig::Request request = ConsumerRig::join_request("a", {"t"});
    bad.spoil(request);
    EXPECT_EQ(rig.send(request), "INVALID_REQUEST") << bad.message;
    EXPECT_EQ(rig.response.error_message, bad.message);
    EXPECT_TRUE(rig.group.members().empty());
  }
}

TEST(ConsumerJoin, AnAssignorThatIsNotThereIsRefused) {
  ConsumerRig rig;
  ConsumerRig::Request request = ConsumerRig::join_request("a", {"t"});
  request.server_assignor = "sticky";
  EXPECT_EQ(rig.send(request), "UNSUPPORTED_ASSIGNOR");
  EXPECT_EQ(rig.response.error_message, "ServerAssignor sticky is not supported. Supported assignors: uniform, range.");
}

TEST(ConsumerJoin, AFullGroupTakesNobodyButKeepsItsOwn) {
  ConsumerRig rig;
  rig.topic("t", 2);
  rig.settings.max_size = 1;
  rig.join("a", {"t"});
  EXPECT_EQ(rig.join("b", {"t"}), "GROUP_MAX_SIZE_REACHED");
  EXPECT_EQ(rig.join("a", {"t"}), "a epoch=1 t:0,1");
}

TEST(ConsumerJoin, WhoIsNoMemberMustJoin) {
  ConsumerRig rig;
  rig.topic("t", 1);
  EXPECT_EQ(rig.beat("a", 1), "UNKNOWN_MEMBER_ID");
  EXPECT_EQ(rig.leave("a"), "UNKNOWN_MEMBER_ID");
}

TEST(ConsumerFencing, AnEpochFromTheFutureIsFenced) {
  ConsumerRig rig;
  rig.topic("t", 1);
  rig.join("a", {"t"});
  EXPECT_EQ(rig.beat("a", 2), "FENCED_MEMBER_EPOCH");
  EXPECT_EQ(rig.beat("a", 1), "a epoch=1");
}

TEST(ConsumerFencing, ThePreviousEpochIsTakenWithAPartOfTheAssignmentOnly) {
  ConsumerRig rig;
  rig.topic("t", 2);
  rig.join("a", {"t"});
  rig.topic("u", 1);
  ConsumerRig::Request more = rig.beat_request("a", 1, "t:0,1");
  more.subscribed_topic_names = Texts{"t", "u"};
  EXPECT_EQ(rig.send(more), "a epoch=2 t:0,1 u:0");
  // That answer was lost.
  EXPECT_EQ(rig.beat("a", 1, "t:0,1"), "a epoch=2");
  EXPECT_EQ(rig.beat("a", 1, "t:0,1 x:0"), "FENCED_MEMBER_EPOCH");
  EXPECT_EQ(rig.beat("a", 1), "FENCED_MEMBER_EPOCH");
}

TEST(ConsumerFencing, AFencedMemberBeginsAnew) {
  ConsumerRig rig;
  rig.topic("t", 2);
  rig.join("a", {"t"});
  rig.topic("t", 3);
  rig.beat("a", 1);
  rig.topic("t", 4);
  EXPECT_EQ(rig.beat("a", 2), "a epoch=3 t:0,1,2,3");
  EXPECT_EQ(rig.beat("a", 1, ""), "FENCED_MEMBER_EPOCH");
  // With its old id, and a new epoch: were the join a late one, its sender would notice.
  EXPECT_EQ(rig.join("a", {"t"}), "a epoch=4 t:0,1,2,3");
}

TEST(ConsumerFencing, AfterItsSessionAMemberIsUnknown) {
  ConsumerRig rig;
  rig.topic("t", 2);
  rig.join("a", {"t"});
  rig.join("b", {"t"});
  rig.pass(30'000);
  EXPECT_EQ(rig.beat("a", 1, "t:0,1"), "a epoch=1 t:0");
  EXPECT_EQ(rig.beat("a", 1, "t:0"), "a epoch=2");
  rig.pass(20'000);
  EXPECT_EQ(rig.beat("b", 2), "UNKNOWN_MEMBER_ID");
  EXPECT_EQ(rig.beat("a", 2), "a epoch=3 t:0,1");
  rig.pass(45'001);
  EXPECT_EQ(rig.state(), "Empty");
  EXPECT_EQ(rig.group.epoch(), rig.group.assignment_epoch());
}

TEST(ConsumerFencing, LeavingGivesAllAtOnce) {
  ConsumerRig rig;
  rig.topic("t", 2);
  rig.join("a", {"t"});
  rig.join("b", {"t"});
  EXPECT_EQ(rig.leave("a"), "a epoch=-1");
  EXPECT_FALSE(rig.response.assignment);
  EXPECT_EQ(rig.beat("b", 2), "b epoch=3 t:0,1");
}

TEST(ConsumerStatic, ComingBackGetsTheSameAndDisturbsNobody) {
  ConsumerRig rig;
  rig.topic("t", 4);
  rig.join_static("a", "i", {"t"});
  rig.join("b", {"t"});
  rig.beat("a", 1, "t:0,1");
  EXPECT_EQ(rig.beat("b", 2), "b epoch=2 t:2,3");
  EXPECT_EQ(rig.leave("a", "i", -2), "a epoch=-2");
  EXPECT_EQ(rig.beat("b", 2), "b epoch=2");
  EXPECT_EQ(rig.join_static("a2", "i", {"t"}), "a2 epoch=2 t:0,1");
  EXPECT_EQ(rig.beat("b", 2), "b epoch=2");
  EXPECT_EQ(rig.state(), "Stable");
  EXPECT_EQ(rig.leave("a", "i"), "FENCED_INSTANCE_ID");
}

TEST(ConsumerStatic, APlaceThatIsTakenIsNotGiven) {
  ConsumerRig rig;
  rig.topic("t", 1);
  rig.join_static("a", "i", {"t"});
  EXPECT_EQ(rig.join_static("b", "i", {"t"}), "UNRELEASED_INSTANCE_ID");
  ConsumerRig::Request request = rig.beat_request("b", 1);
  request.instance_id = "i";
  EXPECT_EQ(rig.send(request), "FENCED_INSTANCE_ID");
  request.instance_id = "j";
  EXPECT_EQ(rig.send(request), "UNKNOWN_MEMBER_ID");
  EXPECT_EQ(rig.leave("b", "j", -2), "UNKNOWN_MEMBER_ID");
}

TEST(ConsumerStatic, AMemberThatTakesAnotherPlaceGivesItsOwnUp) {
  ConsumerRig rig;
  rig.topic("t", 1);
  rig.join_static("a", "i", {"t"});
  EXPECT_EQ(rig.join_static("a", "j", {"t"}), "a epoch=1 t:0");
  EXPECT_EQ(rig.leave("a", "i"), "UNKNOWN_MEMBER_ID");
  EXPECT_EQ(rig.leave("a", "j"), "a epoch=-1");
  EXPECT_TRUE(rig.group.static_members().empty());
  EXPECT_EQ(rig.join_static("b", "i", {"t"}), "b epoch=3 t:0");
}

TEST(ConsumerStatic, ItsPlaceIsKeptForASessionOnly) {
  ConsumerRig rig;
  rig.topic("t", 2);
  rig.join_static("a", "i", {"t"});
  rig.leave("a", "i", -2);
  rig.pass(40'000);
  EXPECT_EQ(rig.join("b", {"t"}), "b epoch=2 nothing");
  rig.pass(5'001);
  EXPECT_EQ(rig.beat("b", 2), "b epoch=3 t:0,1");
}

TEST(ConsumerStatic, AFullGroupTakesItsStaticMemberBack) {
  ConsumerRig rig;
  rig.topic("t", 1);
  rig.settings.max_size = 1;
  rig.join_static("a", "i", {"t"});
  rig.leave("a", "i", -2);
  EXPECT_EQ(rig.join_static("b", "i", {"t"}), "b epoch=1 t:0");
}

TEST(ConsumerStatic, AnIdIsNotUsedTwice) {
  ConsumerRig rig;
  rig.topic("t", 1);
  rig.join_static("a", "i", {"t"});
  rig.join_static("b", "j", {"t"});
  rig.leave("a", "i", -2);
  EXPECT_EQ(rig.join_static("b", "i", {"t"}), "INVALID_REQUEST");
}

}  // namespace
}  // namespace penstock::control::groups
