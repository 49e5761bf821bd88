// FetchSessions: room, age, and what is remembered. The rules of the protocol are wire_fetch's, line 69.
#include "dataplane/kafka/fetch_sessions.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

namespace penstock::dataplane {
namespace {

constexpr FetchTopicName kTopic{.name = "t", .id = {}};

FetchSession::Partition partition_of(int32_t index, int64_t from = 0) {
  return {.index = PartitionIndex{index}, .from = Offset{from}};
}
std::vector<int32_t> order_of(const FetchSession& session) {
  std::vector<int32_t> order;
  for (const auto& partition : session.partitions()) order.push_back(partition.index.value());
  return order;
}

// compat line 70: a thousand slots, and after 120 s without use the oldest goes.
TEST(FetchSessions, WithoutRoomTheOldestUnusedGoesAfterTwoMinutes) {
  FetchSessions sessions;
  std::vector<int32_t> ids;
  for (size_t i = 0; i < FetchSessions::kSessionsMax; ++i)
    ids.push_back(sessions.make(static_cast<Nanos>(i), false, 1));
  EXPECT_EQ(std::set<int32_t>(ids.begin(), ids.end()).size(), FetchSessions::kSessionsMax);
  EXPECT_FALSE(std::set<int32_t>(ids.begin(), ids.end()).contains(0));
  EXPECT_EQ(sessions.make(FetchSessions::kKeptUnused - 1, false, 1), 0) << "all were used a moment ago";
  sessions.advance(ids[0], *sessions.find(ids[0]), 50);
  EXPECT_NE(sessions.make(FetchSessions::kKeptUnused + 1, false, 1), 0);
  EXPECT_NE(sessions.find(ids[0]), nullptr) << "it was used since";
  EXPECT_EQ(sessions.find(ids[1]), nullptr);
  EXPECT_EQ(sessions.count(), FetchSessions::kSessionsMax);
}

TEST(FetchSessions, PartitionsAreBoundedInAll) {
  FetchSessions sessions;
  EXPECT_EQ(sessions.make(1, false, FetchSessions::kPartitionsMax + 1), 0);
  const int32_t large = sessions.make(1, false, FetchSessions::kPartitionsMax);
  for (size_t i = 0; i < FetchSessions::kPartitionsMax; ++i)
    ASSERT_TRUE(sessions.put(*sessions.find(large), kTopic, partition_of(static_cast<int32_t>(i))));
  EXPECT_FALSE(sessions.put(*sessions.find(large), kTopic, partition_of(FetchSessions::kPartitionsMax)));
  EXPECT_TRUE(sessions.put(*sessions.find(large), kTopic, partition_of(5, 9))) << "one that is known needs no room";
  EXPECT_EQ(sessions.make(2, false, 1), 0);
  sessions.forget(*sessions.find(large), kTopic, PartitionIndex{7});
  EXPECT_NE(sessions.make(2, false, 1), 0);
  sessions.remove(large);
  EXPECT_NE(sessions.make(2, false, FetchSessions::kPartitionsMax), 0);
}

TEST(FetchSessions, WhoHadRecordsComesLastAndEpochsWrapToOne) {
  FetchSessions sessions;
  const int32_t id = sessions.make(1, true, 3);
  FetchSession& session = *sessions.find(id);
  for (int32_t i = 0; i < 3; ++i) sessions.put(session, kTopic, partition_of(i));
  sessions.told(session, kTopic, PartitionIndex{0}, 5, 1, true);
  sessions.told(session, kTopic, PartitionIndex{1}, 6, 0, false);
  EXPECT_EQ(order_of(session), (std::vector<int32_t>{1, 2, 0}));
  EXPECT_EQ(session.partitions().back().high_watermark, 5);
  EXPECT_EQ(session.partitions().back().log_start_offset, 1);
  EXPECT_EQ(session.epoch(), 1);
  sessions.advance(id, session, 2);
  EXPECT_EQ(session.epoch(), 2);
  EXPECT_TRUE(session.uses_topic_ids());
}

TEST(FetchSessions, ATopicsNameIsThereOnceUntilItsLastPartitionGoes) {
  FetchSessions sessions;
  const int32_t id = sessions.make(1, false, 4);
  FetchSession& session = *sessions.find(id);
  const std::string name(kTopicNameMax, 'x');
  const Uuid other{.bytes = {1}};
  for (int32_t i = 0; i < 2; ++i) {
    ASSERT_TRUE(sessions.put(session, {name, {}}, partition_of(i)));
    ASSERT_TRUE(sessions.put(session, {name, other}, partition_of(i)));
  }
  std::set<const FetchTopicKey*> keys;
  for (const auto& partition : session.partitions()) {
    keys.insert(partition.topic);
    EXPECT_EQ(partition.topic->name, name);
  }
  EXPECT_EQ(keys.size(), 2u);
  for (int32_t i = 0; i < 2; ++i) sessions.forget(session, {name, {}}, PartitionIndex{i});
  sessions.forget(session, {name, {}}, PartitionIndex{0});
  sessions.forget(session, {"no such", {}}, PartitionIndex{0});
  ASSERT_EQ(session.partitions().size(), 2u);
  EXPECT_EQ(session.partitions().front().topic->id, other);
  ASSERT_TRUE(sessions.put(session, {name, {}}, partition_of(5)));
  EXPECT_EQ(session.partitions().back().topic->name, name);
  EXPECT_TRUE(session.partitions().back().topic->id.is_zero());
}

TEST(FetchSessions, ANameThatNoTopicCanHaveIsNotKept) {
  FetchSessions sessions;
  const int32_t id = sessions.make(1, false, 1);
  EXPECT_FALSE(sessions.put(*sessions.find(id), {std::string(kTopicNameMax + 1, 'x'), {}}, partition_of(0)));
  EXPECT_TRUE(sessions.find(id)->partitions().empty());
  EXPECT_NE(sessions.make(2, false, FetchSessions::kPartitionsMax), 0) << "it took no room";
}

}  // namespace
}  // namespace penstock::dataplane
