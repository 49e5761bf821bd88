// Members of the classic protocol in a next-generation group (KIP-848, "Upgrade"): one rule a test.
#include "base/bytes.h"
#include "control/groups/classic_subscription.h"
#include "protocol/codec.h"
#include "tests/groups/consumer_rig.h"

namespace penstock::control::groups {
namespace {

using Names = std::vector<std::string>;

class ClassicRig : public ConsumerRig {
 public:
  // owned: "t:0,1"
  std::string classic_join(const std::string& member, const Names& topics, const std::string& owned = "",
                           const std::optional<std::string>& instance = {}) {
    protocol::JoinGroupRequest request;
    request.group_id = "g";
    request.member_id = member;
    request.group_instance_id = instance;
    request.session_timeout_ms = 10'000;
    request.rebalance_timeout_ms = 20'000;
    request.protocol_type = type;
    request.protocols.push_back({.name = assignor, .metadata = subscription(topics, owned)});
    auto outcome = group.classic_join(
        request, {.client_id = "c", .client_host = "/h", .api_version = join_version, .new_member_id = made},
        context());
    log_records(outcome.records);
    const auto& answer = outcome.response;
    if (answer.error_code != ErrorCode::kNone) return std::string(to_string(answer.error_code));
    EXPECT_EQ(answer.leader, "");
    EXPECT_TRUE(answer.members.empty());
    return answer.member_id + " generation=" + std::to_string(answer.generation_id) + " " +
           answer.protocol_name.value_or("-");
  }
  std::string classic_sync(const std::string& member, int32_t generation) {
    protocol::SyncGroupRequest request;
    request.group_id = "g";
    request.member_id = member;
    request.generation_id = generation;
    request.protocol_name = assignor;
    const auto answer = group.classic_sync(request, context());
    if (answer.error_code != ErrorCode::kNone) return std::string(to_string(answer.error_code));
    const GroupContext moment = context();
    const auto assigned = read_assignment(answer.assignment, moment.topics);
    if (!assigned) return "no assignment";
    ConsumerGroup::Response as;
    as.member_id = member;
    as.member_epoch = generation;
    as.assignment.emplace().topic_partitions = to_entries<ConsumerGroup::Response::TopicPartitions>(*assigned);
    return text(as);
  }
  std::string classic_beat(const std::string& member, int32_t generation) {
    protocol::HeartbeatRequest request;
    request.group_id = "g";
    request.member_id = member;
    request.generation_id = generation;
    return std::string(to_string(group.classic_heartbeat(request, context())));
  }
  std::string classic_leave(const std::string& member, const std::optional<std::string>& instance = {}) {
    auto outcome = group.classic_leave(member, instance, context());
    log_records(outcome.records);
    return std::string(to_string(outcome.response));
  }

  static std::vector<std::byte> subscription(const Names& topics, const std::string& owned) {
    protocol::ConsumerProtocolSubscription message;
    message.topics = topics;
    for (const auto& entry : parse(owned)) {
      auto& topic = message.owned_partitions.emplace_back();
      topic.topic = std::string(1, static_cast<char>(entry.topic_id.bytes[0]));
      topic.partitions = entry.partitions;
    }
    std::vector<std::byte> bytes(2);
    store_be(bytes.data(), int16_t{1});
    EXPECT_TRUE(protocol::encode(message, 1, bytes));
    return bytes;
  }

  std::string made = "made";
  std::string type = "consumer";
  std::string assignor = "cooperative-sticky";
  int16_t join_version = 9;
};

TEST(ConsumerClassic, JoinsAndIsGivenItsOwnPartWithSync) {
  ClassicRig rig;
  rig.topic("t", 4);
  rig.join("a", {"t"});
  EXPECT_EQ(rig.classic_join("", {"t"}), "MEMBER_ID_REQUIRED");
  EXPECT_EQ(rig.classic_join("b", {"t"}), "b generation=2 cooperative-sticky");
  EXPECT_EQ(rig.classic_sync("b", 2), "b epoch=2 nothing");
  EXPECT_EQ(rig.classic_beat("b", 2), "NONE");  // a still has all
  EXPECT_EQ(rig.beat("a", 1), "a epoch=1 t:0,1");
  EXPECT_EQ(rig.beat("a", 1, "t:0,1"), "a epoch=2");
  EXPECT_EQ(rig.classic_beat("b", 2), "REBALANCE_IN_PROGRESS");
  EXPECT_EQ(rig.classic_join("b", {"t"}), "b generation=2 cooperative-sticky");
  EXPECT_EQ(rig.classic_sync("b", 2), "b epoch=2 t:2,3");
  EXPECT_EQ(rig.classic_beat("b", 2), "NONE");
  EXPECT_EQ(rig.state(), "Stable");
  EXPECT_EQ(rig.group.describe(rig.context()).members[1].member_type, 0);
}

TEST(ConsumerClassic, LetsGoByJoiningAgain) {
  ClassicRig rig;
  rig.topic("t", 4);
  rig.classic_join("a", {"t"});
  EXPECT_EQ(rig.classic_sync("a", 1), "a epoch=1 t:0,1,2,3");
  rig.join("b", {"t"});
  EXPECT_EQ(rig.classic_beat("a", 1), "REBALANCE_IN_PROGRESS");
  EXPECT_EQ(rig.classic_join("a", {"t"}, "t:0,1,2,3"), "a generation=1 cooperative-sticky");
  EXPECT_EQ(rig.classic_sync("a", 1), "a epoch=1 t:0,1");
  EXPECT_EQ(rig.beat("b", 2), "b epoch=2");
  EXPECT_EQ(rig.classic_beat("a", 1), "REBALANCE_IN_PROGRESS");
  EXPECT_EQ(rig.classic_join("a", {"t"}, "t:0,1"), "a generation=2 cooperative-sticky");
  EXPECT_EQ(rig.classic_sync("a", 2), "a epoch=2 t:0,1");
  EXPECT_EQ(rig.beat("b", 2), "b epoch=2 t:2,3");
}

TEST(ConsumerClassic, MovesToTheNewProtocolAndBack) {
  ClassicRig rig;
  rig.topic("t", 2);
  EXPECT_EQ(rig.classic_join("", {"t"}, "", "i"), "made generation=1 cooperative-sticky");
  EXPECT_TRUE(rig.group.is_all_classic());
  EXPECT_EQ(rig.join_static("b", "i", {"t"}), "b epoch=1 t:0,1");
  EXPECT_FALSE(rig.group.is_all_classic());
  EXPECT_EQ(rig.classic_beat("made", 1), "UNKNOWN_MEMBER_ID");
  EXPECT_EQ(rig.join_static("c", "i", {"t"}), "UNRELEASED_INSTANCE_ID");
  // Back, while b still lives, and after it said that it stops.
  rig.made = "again";
  EXPECT_EQ(rig.classic_join("", {"t"}, "", "i"), "again generation=1 cooperative-sticky");
  EXPECT_EQ(rig.classic_sync("again", 1), "again epoch=1 t:0,1");
  EXPECT_EQ(rig.beat("b", 1), "UNKNOWN_MEMBER_ID");
  EXPECT_EQ(rig.join_static("d", "i", {"t"}), "d epoch=1 t:0,1");
  rig.leave("d", "i", -2);
  rig.made = "last";
  EXPECT_EQ(rig.classic_join("", {"t"}, "", "i"), "last generation=1 cooperative-sticky");
  EXPECT_EQ(rig.classic_sync("last", 1), "last epoch=1 t:0,1");
}

TEST(ConsumerClassic, AStaticOneComesBackWithoutSayingThatItWent) {
  ClassicRig rig;
  rig.topic("t", 2);
  EXPECT_EQ(rig.classic_join("", {"t"}, "", "i"), "made generation=1 cooperative-sticky");
  rig.made = "again";
  EXPECT_EQ(rig.classic_join("", {"t"}, "", "i"), "again generation=1 cooperative-sticky");
  EXPECT_EQ(rig.classic_sync("made", 1), "UNKNOWN_MEMBER_ID");
  EXPECT_EQ(rig.classic_sync("again", 1), "again epoch=1 t:0,1");
  EXPECT_EQ(rig.classic_join("x", {"t"}, "", "i"), "FENCED_INSTANCE_ID");
  EXPECT_EQ(rig.classic_join("x", {"t"}, "", "j"), "UNKNOWN_MEMBER_ID");
}

TEST(ConsumerClassic, AMemberThatTakesAnotherPlaceGivesItsOwnUp) {
  ClassicRig rig;
  rig.topic("t", 2);
  EXPECT_EQ(rig.classic_join("", {"t"}, "", "i"), "made generation=1 cooperative-sticky");
  EXPECT_EQ(rig.classic_join("made", {"t"}, "", "j"), "made generation=1 cooperative-sticky");
  EXPECT_EQ(rig.classic_leave("made", "j"), "NONE");
  rig.made = "again";
  EXPECT_EQ(rig.classic_join("", {"t"}, "", "i"), "again generation=3 cooperative-sticky");
}

TEST(ConsumerClassic, RefusesWhatDoesNotFit) {
  ClassicRig rig;
  rig.topic("t", 2);
  rig.classic_join("a", {"t"});
  EXPECT_EQ(rig.classic_sync("a", 0), "ILLEGAL_GENERATION");
  EXPECT_EQ(rig.classic_beat("a", 2), "ILLEGAL_GENERATION");
  EXPECT_EQ(rig.classic_beat("b", 1), "UNKNOWN_MEMBER_ID");
  EXPECT_EQ(rig.classic_leave("b"), "UNKNOWN_MEMBER_ID");
  EXPECT_EQ(rig.classic_leave("a", "i"), "UNKNOWN_MEMBER_ID");
  rig.assignor = "range";
  EXPECT_EQ(rig.classic_join("b", {"t"}), "INCONSISTENT_GROUP_PROTOCOL");
  EXPECT_EQ(rig.classic_sync("a", 1), "INCONSISTENT_GROUP_PROTOCOL");
  rig.type = "connect";
  EXPECT_EQ(rig.classic_join("b", {"t"}), "INCONSISTENT_GROUP_PROTOCOL");
  rig.settings.max_size = 1;
  rig.type = "consumer";
  rig.assignor = "cooperative-sticky";
  EXPECT_EQ(rig.classic_join("b", {"t"}), "GROUP_MAX_SIZE_REACHED");
}

TEST(ConsumerClassic, WhoDoesNotSyncOrRejoinInTimeIsThrownOut) {
  for (const bool after_sync : {false, true}) {
    ClassicRig rig;
    rig.topic("t", 2);
    rig.classic_join("a", {"t"});
    if (after_sync) {
      rig.classic_sync("a", 1);
      rig.topic("t", 3);
      rig.join("b", {"t"});
      EXPECT_EQ(rig.classic_beat("a", 1), "REBALANCE_IN_PROGRESS");
    }
    for (int i = 0; i < 4; ++i) {
      EXPECT_TRUE(rig.group.members().contains("a"));
      rig.classic_beat("a", 1);
      rig.pass(5'000);
    }
    EXPECT_FALSE(rig.group.members().contains("a")) << after_sync;
  }
}

TEST(ConsumerClassic, HasItsOwnSession) {
  ClassicRig rig;
  rig.topic("t", 2);
  rig.classic_join("a", {"t"});
  rig.classic_sync("a", 1);
  rig.pass(9'999);
  EXPECT_EQ(rig.classic_beat("a", 1), "NONE");
  rig.pass(10'001);
  EXPECT_EQ(rig.state(), "Empty");
}

TEST(ConsumerClassic, CommitsInItsGeneration) {
  ClassicRig rig;
  rig.topic("t", 1);
  rig.classic_join("a", {"t"});
  const Uuid t = ConsumerRig::id_of("t");
  EXPECT_FALSE(rig.group.check_commit("a", std::nullopt, 1, 2, t, 0));
  EXPECT_EQ(rig.group.check_commit("a", std::nullopt, 2, 2, t, 0)->error, ErrorCode::kIllegalGeneration);
}

}  // namespace
}  // namespace penstock::control::groups
