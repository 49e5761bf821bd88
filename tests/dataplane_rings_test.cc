// Several rings behind one lcore: what is answered when each of them is durable, what a ring that fails takes with it,
// and the beginnings of logs that control wants deleted. The drives are the test's own (fake_store.h).
#include <gtest/gtest.h>

#include "dataplane/trims.h"
#include "tests/fake_store.h"
#include "tests/kafka_requests.h"
#include "tests/sim/broker_rig.h"

namespace penstock::testing {
namespace {

using dataplane::LogTrimmed;
using dataplane::TrimLog;
using sim::BrokerRig;
using storage::LogId;
using storage::TrimStatus;

class Rings : public ::testing::Test {
 protected:
  Rings() : rig(1, 64, 2) {
    rig.publish(4);  // partitions 0 and 2 in ring 0, 1 and 3 in ring 1
    client = rig.connect();
    other = rig.connect();
  }
  static ProduceRequest produce_to(std::vector<int> partitions) {
    ProduceRequest request = produce_of(partitions.at(0), batch_of(1, "x"));
    for (size_t i = 1; i < partitions.size(); ++i)
      request.topic_data[0].partition_data.push_back({.index = partitions[i], .records = batch_of(1, "x")});
    return request;
  }
  ErrorCode produced(uint32_t who, int partition) {
    return only(*rig.call<ProduceResponse>(who, produce_of(partition, batch_of(1, "x")), 9)).error_code;
  }
  bool is_silent(uint32_t who) {
    rig.turns(200);
    return !rig.stream(who).next_answer().has_value();
  }
  int32_t answered(uint32_t who) {
    const auto frame = rig.answer(who);
    return frame ? decode_answer<ProduceResponse>(*frame, 9)->correlation : -1;
  }
  void poison(size_t ring) { fake_drive(ring).health.poisoned = true; }

  BrokerRig rig;
  uint32_t client;
  uint32_t other;
};

TEST_F(Rings, AProduceToTwoRingsIsAnsweredWhenBothAreDurable) {
  for (const size_t slow : {0u, 1u}) {
    fake_drive(slow).is_stuck = true;
    rig.send(client, frame_of(produce_to({0, 1, 2, 3}), 9, 77));
    EXPECT_TRUE(is_silent(client));
    fake_drive(slow).is_stuck = false;
    EXPECT_EQ(answered(client), 77);
  }
}

TEST_F(Rings, AnswersLeaveInOrderWhicheverRingIsFirst) {
  fake_drive(0).is_stuck = true;
  rig.send(client, frame_of(produce_of(0, batch_of(1, "x")), 9, 1));
  rig.send(client, frame_of(produce_of(1, batch_of(1, "x")), 9, 2));
  EXPECT_TRUE(is_silent(client));
  EXPECT_EQ(produced(other, 1), ErrorCode::kNone) << "one ring does not hold up another";
  fake_drive(0).is_stuck = false;
  EXPECT_EQ(answered(client), 1);
  EXPECT_EQ(answered(client), 2);
}

TEST_F(Rings, ALongPollEndsWithRecordsOfEitherRing) {
  for (const int partition : {0, 1}) {
    FetchRequest request = fetch_of(0, partition == 0 ? 0 : 1, 1, 60'000);
    request.topics[0].partitions.push_back({.partition = 1, .fetch_offset = 0, .partition_max_bytes = 1 << 20});
    rig.send(client, frame_of(request, 12, 5));
    EXPECT_TRUE(is_silent(client));
    EXPECT_EQ(produced(other, partition), ErrorCode::kNone);
    const auto frame = rig.answer(client);
    ASSERT_TRUE(frame) << partition;
    const auto answer = decode_answer<FetchResponse>(*frame, 12)->message;
    EXPECT_EQ(records_of(*answer.responses[0].partitions[static_cast<size_t>(partition)].records).size(), 1u);
  }
}

TEST_F(Rings, AFailedRingTakesItsPartitionsOfflineAndNoOthers) {
  ASSERT_EQ(produced(client, 1), ErrorCode::kNone);
  poison(1);
  const auto answer = rig.call<ProduceResponse>(client, produce_to({0, 1, 2, 3}), 9);
  ASSERT_TRUE(answer);
  for (const auto& partition : answer->responses[0].partition_responses)
    EXPECT_EQ(partition.error_code, partition.index % 2 == 0 ? ErrorCode::kNone : ErrorCode::kKafkaStorageError);
  EXPECT_EQ(only(*rig.call<FetchResponse>(client, fetch_of(1, 0), 12)).error_code, ErrorCode::kKafkaStorageError);
  EXPECT_EQ(only(*rig.call<FetchResponse>(client, fetch_of(0, 0), 12)).error_code, ErrorCode::kNone);
  EXPECT_EQ(only(*rig.call<ListOffsetsResponse>(client, list_offsets_of(3, -1), 7)).error_code,
            ErrorCode::kKafkaStorageError);
  EXPECT_EQ(only(*rig.call<ListOffsetsResponse>(client, list_offsets_of(2, -1), 7)).error_code, ErrorCode::kNone);
}

TEST_F(Rings, AFailedRingEndsTheWaitsForIt) {
  fake_drive(1).is_stuck = true;
  rig.send(client, frame_of(produce_to({0, 1}), 9, 1));
  rig.send(other, frame_of(fetch_of(1, 0, 1, 600'000), 12, 2));
  const uint32_t unconcerned = rig.connect();
  rig.send(unconcerned, frame_of(fetch_of(2, 0, 1, 600'000), 12, 3));
  EXPECT_TRUE(is_silent(client));
  EXPECT_TRUE(is_silent(other));
  poison(1);
  rig.turns(50);
  EXPECT_FALSE(rig.is_open(client)) << "nobody can say whether it is there";
  const auto frame = rig.answer(other);
  ASSERT_TRUE(frame);
  EXPECT_EQ(only(decode_answer<FetchResponse>(*frame, 12)->message).error_code, ErrorCode::kKafkaStorageError);
  EXPECT_TRUE(is_silent(unconcerned));
  EXPECT_TRUE(rig.is_open(unconcerned));
}

TEST_F(Rings, AStopEndsWithTheRingsThatAreLeft) {
  poison(1);
  rig.clients->stop();
  rig.store->begin_stop();
  EXPECT_TRUE(rig.store->stopped());
}

// ---- trims

class TrimsTest : public Rings {
 protected:
  TrimsTest() : trims(*rig.store) {
    for (int i = 0; i < 5; ++i) EXPECT_EQ(produced(client, 1), ErrorCode::kNone);
  }
  void ask(uint64_t token, int64_t to, LogId log = LogId{2}) {
    trims.begin({.log = log, .to = Offset{to}, .token = token});
  }
  std::vector<LogTrimmed> settled() {
    std::vector<LogTrimmed> over;
    rig.turns(3);
    trims.settle([&](const LogTrimmed& one) { over.push_back(one); });
    return over;
  }

  dataplane::Trims trims;
};

TEST_F(TrimsTest, ATrimIsOverWhenItIsDurable) {
  fake_drive(1).is_stuck = true;
  ask(7, 3);
  EXPECT_TRUE(settled().empty());
  EXPECT_FALSE(trims.retrying());
  fake_drive(1).is_stuck = false;
  const auto over = settled();
  ASSERT_EQ(over.size(), 1u);
  EXPECT_EQ(over[0].token, 7u);
  EXPECT_EQ(over[0].status, TrimStatus::kTrimmed);
  EXPECT_EQ(over[0].log_start_offset, Offset{3});
  EXPECT_EQ(only(*rig.call<FetchResponse>(client, fetch_of(1, 2), 12)).error_code, ErrorCode::kOffsetOutOfRange);
}

TEST_F(TrimsTest, TheRangeIsUpToTheHighWatermark) {
  ask(1, -1);
  ask(2, 6);
  ask(3, -2);
  ask(4, 2);
  ask(5, 0, LogId{77});
  std::map<uint64_t, LogTrimmed> over;
  for (int i = 0; i < 3; ++i) {
    for (const LogTrimmed& one : settled()) over[one.token] = one;
  }
  ASSERT_EQ(over.size(), 5u);
  EXPECT_EQ(over[1].log_start_offset, Offset{5});
  EXPECT_EQ(over[2].status, TrimStatus::kOffsetOutOfRange);
  EXPECT_EQ(over[3].status, TrimStatus::kOffsetOutOfRange);
  EXPECT_EQ(over[4].status, TrimStatus::kTrimmed) << "below the beginning is no error";
  EXPECT_EQ(over[4].log_start_offset, Offset{5});
  EXPECT_EQ(over[5].status, TrimStatus::kUnknownLog);
}

TEST_F(TrimsTest, ABusyStoreIsAskedAgain) {
  fake_drive(1).trim_answer = TrimStatus::kBusy;
  ask(7, 3);
  EXPECT_TRUE(settled().empty());
  EXPECT_TRUE(trims.retrying());
  fake_drive(1).trim_answer = TrimStatus::kTrimmed;
  std::vector<LogTrimmed> over = settled();
  if (over.empty()) over = settled();
  ASSERT_EQ(over.size(), 1u);
  EXPECT_FALSE(trims.retrying());
}

TEST_F(TrimsTest, ARingThatFailsMeanwhileIsSaid) {
  fake_drive(1).is_stuck = true;
  ask(7, 3);
  EXPECT_TRUE(settled().empty());
  poison(1);
  const auto over = settled();
  ASSERT_EQ(over.size(), 1u);
  EXPECT_EQ(over[0].status, TrimStatus::kPoisoned);
}

}  // namespace
}  // namespace penstock::testing
