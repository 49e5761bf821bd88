// How members get to their target (KIP-848, "Reconciliation of the group"): one rule a test.
#include "tests/groups/consumer_rig.h"

namespace penstock::control::groups {
namespace {

TEST(ConsumerReconcile, APartitionIsRevokedBeforeItIsGiven) {
  ConsumerRig rig;
  rig.topic("t", 4);
  rig.join("a", {"t"});
  EXPECT_EQ(rig.join("b", {"t"}), "b epoch=2 nothing");
  EXPECT_EQ(rig.response.heartbeat_interval_ms, 500);  // it waits, and asks more often
  EXPECT_EQ(rig.state(), "Reconciling");
  EXPECT_EQ(rig.beat("a", 1), "a epoch=1 t:0,1");
  EXPECT_EQ(rig.beat("b", 2), "b epoch=2");             // a has not said that it let go
  EXPECT_EQ(rig.beat("a", 1), "a epoch=1");             // nor now
  EXPECT_EQ(rig.beat("a", 1, "t:0,1,2"), "a epoch=1");  // nor of all
  EXPECT_EQ(rig.beat("b", 2), "b epoch=2");
  EXPECT_EQ(rig.beat("a", 1, "t:0,1"), "a epoch=2");
  EXPECT_EQ(rig.beat("b", 2), "b epoch=2 t:2,3");
  EXPECT_EQ(rig.state(), "Stable");
}

TEST(ConsumerReconcile, WhoKeepsItsPartitionsHearsNothingOfOthers) {
  ConsumerRig rig;
  rig.topic("t", 4);
  rig.join("a", {"t"});
  rig.join("b", {"t"});
  rig.beat("a", 1);
  rig.beat("a", 1, "t:0,1");
  rig.beat("b", 2);
  rig.leave("b");
  EXPECT_EQ(rig.join("c", {"t"}), "c epoch=4 t:2,3");
  EXPECT_EQ(rig.beat("a", 2), "a epoch=4");  // its epoch moves, its partitions do not
}

TEST(ConsumerReconcile, WhoDoesNotLetGoInTimeIsThrownOut) {
  ConsumerRig rig;
  rig.topic("t", 2);
  ConsumerRig::Request request = ConsumerRig::join_request("a", {"t"});
  request.rebalance_timeout_ms = 10'000;
  rig.send(request);
  rig.join("b", {"t"});
  EXPECT_EQ(rig.beat("a", 1), "a epoch=1 t:0");
  rig.pass(6'000);
  EXPECT_EQ(rig.beat("a", 1), "a epoch=1 t:0");  // alive and told again, but it does not help
  rig.pass(4'001);
  EXPECT_EQ(rig.beat("a", 1), "UNKNOWN_MEMBER_ID");
  EXPECT_EQ(rig.beat("b", 2), "b epoch=3 t:0,1");
}

TEST(ConsumerReconcile, WhoLetsGoInTimeStays) {
  ConsumerRig rig;
  rig.topic("t", 2);
  ConsumerRig::Request request = ConsumerRig::join_request("a", {"t"});
  request.rebalance_timeout_ms = 10'000;
  rig.send(request);
  rig.join("b", {"t"});
  rig.beat("a", 1);
  rig.pass(9'000);
  EXPECT_EQ(rig.beat("a", 1, "t:0"), "a epoch=2");
  rig.pass(30'000);
  EXPECT_EQ(rig.beat("a", 2), "a epoch=2");
}

TEST(ConsumerReconcile, WhoDoesNotSayThatItHasWhatItWasGivenIsToldAgain) {
  ConsumerRig rig;
  rig.topic("t", 2);
  rig.join("a", {"t"});
  rig.pass(4'999);
  EXPECT_EQ(rig.beat("a", 1), "a epoch=1");
  rig.pass(1);
  EXPECT_EQ(rig.beat("a", 1), "a epoch=1 t:0,1");
  EXPECT_EQ(rig.beat("a", 1, "t:0,1"), "a epoch=1");
  rig.pass(40'000);
  EXPECT_EQ(rig.beat("a", 1), "a epoch=1");
  EXPECT_EQ(rig.last_records, 0U);
}

TEST(ConsumerReconcile, ANewTargetWhileOneIsRevoking) {
  ConsumerRig rig;
  rig.topic("t", 6);
  rig.join("a", {"t"});
  rig.join("b", {"t"});
  EXPECT_EQ(rig.beat("a", 1), "a epoch=1 t:0,1,2");
  EXPECT_EQ(rig.join("c", {"t"}), "c epoch=3 nothing");
  EXPECT_EQ(rig.beat("a", 1, "t:0,1,2"), "a epoch=1 t:0,1");  // the next part, still in its epoch
  // In which it may commit all that it had: were that request a late one, it would have it yet.
  EXPECT_EQ(rig.beat("b", 2), "b epoch=3");
  EXPECT_EQ(rig.beat("a", 1, "t:0,1"), "a epoch=3");
  EXPECT_EQ(rig.beat("b", 3), "b epoch=3 t:3,4");
  EXPECT_EQ(rig.beat("c", 3), "c epoch=3 t:2,5");
}

TEST(ConsumerReconcile, WhatIsNoLongerWantedGoesAtOnce) {
  ConsumerRig rig;
  rig.settings.assignment_interval_ms = 1'000;
  rig.topic("t", 2);
  rig.topic("u", 2);
  EXPECT_EQ(rig.join("a", {"t", "u"}), "a epoch=1 t:0,1 u:0,1");
  ConsumerRig::Request request = rig.beat_request("a", 1);
  request.subscribed_topic_names = std::vector<std::string>{"t"};
  EXPECT_EQ(rig.send(request), "a epoch=1 t:0,1");  // before there is a new target
  EXPECT_EQ(rig.state(), "Assigning");
  rig.pass(1'000);
  EXPECT_EQ(rig.beat("a", 1, "t:0,1"), "a epoch=2");
}

TEST(ConsumerReconcile, TargetsAreMadeNoMoreOftenThanTheInterval) {
  ConsumerRig rig;
  rig.settings.assignment_interval_ms = 1'000;
  rig.topic("t", 3);
  EXPECT_EQ(rig.join("a", {"t"}), "a epoch=1 t:0,1,2");
  EXPECT_EQ(rig.join("b", {"t"}), "b epoch=1 nothing");
  EXPECT_EQ(rig.response.heartbeat_interval_ms, 500);
  EXPECT_EQ(rig.join("c", {"t"}), "c epoch=1 nothing");
  EXPECT_EQ(rig.group.epoch(), 3);
  EXPECT_EQ(rig.group.assignment_epoch(), 1);
  rig.pass(1'000);
  EXPECT_EQ(rig.group.assignment_epoch(), 3);  // without any heartbeat
  EXPECT_EQ(rig.beat("a", 1), "a epoch=1 t:0");
  EXPECT_EQ(rig.beat("a", 1, "t:0"), "a epoch=3");
  EXPECT_EQ(rig.beat("b", 1), "b epoch=3 t:1");
  EXPECT_EQ(rig.beat("c", 1), "c epoch=3 t:2");
}

TEST(ConsumerReconcile, MorePartitionsAndFewerTopics) {
  ConsumerRig rig;
  rig.topic("t", 1);
  rig.topic("u", 1);
  EXPECT_EQ(rig.join("a", {"t", "u"}), "a epoch=1 t:0 u:0");
  rig.topic("t", 2);
  EXPECT_EQ(rig.beat("a", 1), "a epoch=2 t:0,1 u:0");
  rig.topic("u", 0);
  EXPECT_EQ(rig.beat("a", 2), "a epoch=2 t:0,1");
  EXPECT_EQ(rig.beat("a", 2, "t:0,1"), "a epoch=3");
  rig.topic("v", 5);  // nobody wants it
  EXPECT_EQ(rig.beat("a", 3), "a epoch=3");
  EXPECT_EQ(rig.last_records, 0U);
}

TEST(ConsumerReconcile, AfterALoadNothingChangesAndSessionsBeginAnew) {
  ConsumerRig rig;
  rig.topic("t", 2);
  rig.join("a", {"t"});
  rig.join("b", {"t"});
  rig.beat("a", 1);
  rig.pass(40'000);
  rig.group = rig.replayed();
  rig.group.loaded(rig.context());
  rig.pass(40'000);
  EXPECT_EQ(rig.beat("a", 1, "t:0"), "a epoch=2");
  EXPECT_EQ(rig.beat("b", 2), "b epoch=2 t:1");
  rig.pass(45'001);
  EXPECT_EQ(rig.state(), "Empty");
}

TEST(ConsumerAssignor, TheMostWantedIsUsed) {
  ConsumerRig rig;
  rig.topic("t", 3);
  rig.topic("u", 3);
  const auto with = [](ConsumerRig::Request request, const std::string& assignor) {
    request.server_assignor = assignor;
    return request;
  };
  EXPECT_EQ(rig.send(with(ConsumerRig::join_request("a", {"t", "u"}), "range")), "a epoch=1 t:0,1,2 u:0,1,2");
  EXPECT_EQ(rig.send(with(ConsumerRig::join_request("b", {"t", "u"}), "range")), "b epoch=2 nothing");
  EXPECT_EQ(rig.group.describe(rig.context()).assignor_name, "range");
  EXPECT_EQ(rig.beat("a", 1), "a epoch=1 t:0,1 u:0,1");
  EXPECT_EQ(rig.send(with(rig.beat_request("a", 1, "t:0,1 u:0,1"), "uniform")), "a epoch=1 t:0,1 u:0");
  EXPECT_EQ(rig.beat("a", 1, "t:0,1 u:0"), "a epoch=3");
}

TEST(ConsumerRegex, MatchesWholeNamesNowAndLater) {
  ConsumerRig rig;
  rig.topic("ab", 1);
  rig.topic("abc", 1);
  ConsumerRig::Request request = ConsumerRig::join_request("a", {});
  request.subscribed_topic_names.reset();
  request.subscribed_topic_regex = "a.";
  EXPECT_EQ(rig.send(request), "a epoch=1 ab:0");
  rig.topic("ax", 2);
  rig.pass(1'000);
  EXPECT_EQ(rig.beat("a", 1), "a epoch=2 ab:0 ax:0,1");
  EXPECT_TRUE(rig.group.is_subscribed_to("ax"));
  request = rig.beat_request("a", 2);
  request.subscribed_topic_regex = "abc";
  EXPECT_EQ(rig.send(request), "a epoch=2 nothing");
  EXPECT_EQ(rig.beat("a", 2, ""), "a epoch=3 abc:0");
  request.member_epoch = 3;
  request.subscribed_topic_regex = "";
  EXPECT_EQ(rig.send(request), "a epoch=3 nothing");
  EXPECT_FALSE(rig.group.is_subscribed_to("abc"));
}

TEST(ConsumerRegex, IsLookedAtOnceASecondWhateverHappens) {
  ConsumerRig rig;
  rig.topic("a1", 1);
  ConsumerRig::Request request = ConsumerRig::join_request("a", {});
  request.subscribed_topic_regex = "a.";
  EXPECT_EQ(rig.send(request), "a epoch=1 a1:0");
  rig.topic("a2", 1);
  EXPECT_EQ(rig.beat("a", 1), "a epoch=1");
  rig.pass(1'000);
  EXPECT_EQ(rig.beat("a", 1), "a epoch=2 a1:0 a2:0");
}

// A turn looks at one name: what there is to be found is found all the same, and nobody waits for a heartbeat's time.
TEST(ConsumerRegex, IsLookedAtInPieces) {
  ConsumerRig rig;
  rig.regex_work = 1;
  for (const char* name : {"a1", "a2", "a3", "b1"}) rig.topic(name, 1);
  ConsumerRig::Request request = ConsumerRig::join_request("a", {});
  request.subscribed_topic_regex = "a.";
  EXPECT_EQ(rig.send(request), "a epoch=1 nothing");
  EXPECT_EQ(rig.response.heartbeat_interval_ms, rig.settings.heartbeat_interval_ms / kWaitingShare);
  EXPECT_EQ(rig.group.matching_bytes(), 2 + 128U);  // the pattern and a1
  const auto turns = [&] {
    int n = 0;
    for (; rig.group.next_deadline() <= rig.now + 10 * kMillisecond; ++n) {
      rig.regex_work = 1;
      rig.pass(1);
    }
    return n;
  };
  EXPECT_EQ(turns(), 3);
  EXPECT_EQ(rig.group.matching_bytes(), 0U);
  rig.regex_work = 1;
  EXPECT_EQ(rig.beat("a", 1), "a epoch=2 a1:0 a2:0 a3:0");
  EXPECT_EQ(rig.response.heartbeat_interval_ms, rig.settings.heartbeat_interval_ms);

  // Other topics, and others still while they are looked at. Until then it matches what it did.
  rig.pass(1'000);
  rig.topic("a4", 1);
  rig.regex_work = 1;
  EXPECT_EQ(rig.beat("a", 2), "a epoch=2");
  rig.topic("a0", 1);
  EXPECT_EQ(turns(), 4);
  rig.regex_work = 1;
  EXPECT_EQ(rig.beat("a", 2), "a epoch=3 a1:0 a2:0 a3:0 a4:0");
  rig.pass(1'000);
  rig.regex_work = 100'000;
  EXPECT_EQ(rig.beat("a", 3), "a epoch=4 a0:0 a1:0 a2:0 a3:0 a4:0");

  // It is given up for another one in the middle, and nothing is left of it.
  request = rig.beat_request("a", 4);
  request.subscribed_topic_regex = ".1";
  rig.regex_work = 1;
  rig.send(request);
  request.subscribed_topic_regex = "b.";
  rig.send(request);
  rig.regex_work.reset();
  rig.pass(10);
  EXPECT_EQ(rig.beat("a", rig.response.member_epoch, ""), "a epoch=7 b1:0");
  EXPECT_FALSE(rig.group.is_subscribed_to("a1"));
}

TEST(ConsumerRegex, NamesAndAPatternAddUp) {
  ConsumerRig rig;
  rig.topic("a1", 1);
  rig.topic("b", 1);
  ConsumerRig::Request request = ConsumerRig::join_request("a", {"b", "b"});
  request.subscribed_topic_regex = "a.";
  EXPECT_EQ(rig.send(request), "a epoch=1 a1:0 b:0");
}

TEST(ConsumerRegex, WhatIsNoPatternIsRefused) {
  ConsumerRig rig;
  for (const std::string& pattern :
       {std::string("("), std::string("(?=a)"), std::string(5000, 'a'), std::string("((a{100}){100}){100}")}) {
    ConsumerRig::Request request = ConsumerRig::join_request("a", {});
    request.subscribed_topic_regex = pattern;
    EXPECT_EQ(rig.send(request), "INVALID_REGULAR_EXPRESSION") << pattern.substr(0, 20);
    EXPECT_TRUE(rig.group.members().empty());
  }
}

TEST(ConsumerOffsets, MembersCommitInTheirEpoch) {
  ConsumerRig rig;
  const Uuid t = ConsumerRig::id_of("t");
  const auto commit = [&](const std::string& member, int32_t epoch, int32_t partition, int16_t version = 9) {
    const auto refusal = rig.group.check_commit(member, std::nullopt, epoch, version, t, partition);
    return refusal ? to_string(refusal->error) : "ok";
  };
  EXPECT_EQ(commit("", -1, 0), "ok");  // nobody is there
  EXPECT_EQ(commit("gone", -1, 0), "ok");
  EXPECT_EQ(commit("gone", 0, 0), "UNKNOWN_MEMBER_ID");
  rig.topic("t", 2);
  rig.join("a", {"t"});
  EXPECT_EQ(commit("", -1, 0), "UNKNOWN_MEMBER_ID");
  EXPECT_EQ(commit("a", 1, 0), "ok");
  EXPECT_EQ(commit("a", 1, 0, 8), "UNSUPPORTED_VERSION");
  EXPECT_EQ(commit("a", 2, 0), "STALE_MEMBER_EPOCH");
  EXPECT_EQ(commit("b", 1, 0), "UNKNOWN_MEMBER_ID");
  rig.join("b", {"t"});
  rig.beat("a", 1);
  EXPECT_EQ(commit("a", 1, 1), "ok");  // on the way out
  rig.beat("a", 1, "t:0");
  EXPECT_EQ(commit("a", 1, 0), "ok");                  // it has had it since epoch 1 (KIP-1251)
  EXPECT_EQ(commit("a", 1, 1), "STALE_MEMBER_EPOCH");  // this is no longer its own
  rig.beat("b", 2);
  EXPECT_EQ(commit("b", 2, 1), "ok");
  EXPECT_EQ(commit("b", 1, 1), "STALE_MEMBER_EPOCH");
}

TEST(ConsumerOffsets, MembersFetchInTheirEpoch) {
  ConsumerRig rig;
  rig.topic("t", 1);
  rig.join("a", {"t"});
  const auto fetch = [&](const std::optional<std::string>& member, int32_t epoch) {
    const auto refusal = rig.group.check_fetch(member, epoch);
    return refusal ? to_string(refusal->error) : "ok";
  };
  EXPECT_EQ(fetch(std::nullopt, -1), "ok");
  EXPECT_EQ(fetch("a", 1), "ok");
  EXPECT_EQ(fetch("a", 0), "STALE_MEMBER_EPOCH");
  EXPECT_EQ(fetch("b", 1), "UNKNOWN_MEMBER_ID");
}

TEST(ConsumerDescribe, SaysWhoHasAndShallHaveWhat) {
  ConsumerRig rig;
  rig.topic("t", 2);
  rig.join_static("a", "i", {"t"});
  rig.join("b", {"t"});
  const auto group = rig.group.describe(rig.context());
  EXPECT_EQ(group.group_id, "g");
  EXPECT_EQ(group.group_state, "Reconciling");
  EXPECT_EQ(group.group_epoch, 2);
  EXPECT_EQ(group.assignment_epoch, 2);
  EXPECT_EQ(group.assignor_name, "uniform");
  ASSERT_EQ(group.members.size(), 2U);
  EXPECT_EQ(group.members[0].instance_id, "i");
  EXPECT_EQ(group.members[0].member_epoch, 1);
  EXPECT_EQ(group.members[0].client_id, "client");
  EXPECT_EQ(group.members[0].client_host, "/127.0.0.1");
  EXPECT_EQ(group.members[0].member_type, 1);
  ASSERT_EQ(group.members[0].assignment.topic_partitions.size(), 1U);
  EXPECT_EQ(group.members[0].assignment.topic_partitions[0].topic_name, "t");
  EXPECT_EQ(group.members[0].assignment.topic_partitions[0].partitions, (std::vector<int32_t>{0, 1}));
  EXPECT_EQ(group.members[0].target_assignment.topic_partitions[0].partitions, (std::vector<int32_t>{0}));
  EXPECT_TRUE(group.members[1].assignment.topic_partitions.empty());
  EXPECT_EQ(group.members[1].target_assignment.topic_partitions[0].partitions, (std::vector<int32_t>{1}));
}

TEST(ConsumerDescribe, TombstonesLeaveNothing) {
  ConsumerRig rig;
  rig.topic("t", 2);
  ConsumerRig::Request request = ConsumerRig::join_request("a", {});
  request.subscribed_topic_regex = ".";
  rig.send(request);
  EXPECT_FALSE(rig.group.is_gone());
  for (const GroupRecord& record : rig.group.tombstones()) rig.group.apply(record);
  EXPECT_TRUE(rig.group.is_gone());
  EXPECT_EQ(rig.group.dump(), ConsumerGroup("g").dump());
}

}  // namespace
}  // namespace penstock::control::groups
