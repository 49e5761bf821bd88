// A connection on one lcore, partitions on others: split, sent over bounded rings, joined, in order; what is lent comes
// back, what waits is woken, and nobody is held up by a full ring, a slow drive or a client that goes.
#include <gtest/gtest.h>

#include "tests/fake_store.h"
#include "tests/kafka_requests.h"
#include "tests/sim/lcores_rig.h"

namespace penstock::testing {
namespace {

using dataplane::Metric;
using sim::LcoresRig;

ProduceRequest produce_to(const std::vector<int>& partitions, std::string_view value = "x", int16_t acks = -1) {
  ProduceRequest request = produce_of(partitions.at(0), batch_of(1, value), acks);
  for (size_t i = 1; i < partitions.size(); ++i)
    request.topic_data[0].partition_data.push_back({.index = partitions[i], .records = batch_of(1, value)});
  return request;
}

FetchRequest fetch_from(const std::vector<int>& partitions, int32_t min_bytes = 1, int32_t max_wait_ms = 600'000) {
  FetchRequest request = fetch_of(partitions.at(0), 0, min_bytes, max_wait_ms);
  for (size_t i = 1; i < partitions.size(); ++i)
    request.topics[0].partitions.push_back(
        {.partition = partitions[i], .fetch_offset = 0, .partition_max_bytes = 1 << 20});
  return request;
}

class Lcores : public ::testing::TestWithParam<uint16_t> {
 protected:
  Lcores() : rig(1, GetParam()) {
    rig.publish(8);
    client = rig.connect(0);
    other = rig.connect(static_cast<uint16_t>(GetParam() - 1));
  }
  ErrorCode produced(LcoresRig::Client who, int partition, std::string_view value = "x", size_t padding = 0) {
    const auto answer = rig.call<ProduceResponse>(who, produce_of(partition, batch_of(1, value, padding)), 9);
    return answer ? only(*answer).error_code : ErrorCode::kUnknownServerError;
  }
  bool is_silent(LcoresRig::Client who) {
    rig.turns(300);
    return !rig.stream(who).next_answer().has_value();
  }
  int32_t answered(LcoresRig::Client who) {
    const auto frame = rig.answer(who);
    return frame ? decode_answer<ProduceResponse>(*frame, 9)->correlation : -1;
  }
  int lent() {
    int n = 0;
    for (uint16_t i = 0; i < GetParam(); ++i) n += fake_drive(i).lent;
    return n;
  }
  size_t parts_out() {
    size_t n = 0;
    for (uint16_t i = 0; i < GetParam(); ++i) n += rig.lcore(i).broker.parts_out;
    return n;
  }

  LcoresRig rig;
  LcoresRig::Client client;
  LcoresRig::Client other;
};

INSTANTIATE_TEST_SUITE_P(Counts, Lcores, ::testing::Values(2, 4));

TEST_P(Lcores, EveryPartitionIsThereFromEveryConnection) {
  for (int partition = 0; partition < 8; ++partition) {
    ASSERT_EQ(produced(client, partition, "a"), ErrorCode::kNone);
    ASSERT_EQ(produced(other, partition, "b"), ErrorCode::kNone);
  }
  for (const auto who : {client, other}) {
    const auto fetched = rig.call<FetchResponse>(who, fetch_from({7, 0, 3, 2, 1}), 12);
    ASSERT_TRUE(fetched);
    const auto& partitions = fetched->responses.at(0).partitions;
    ASSERT_EQ(partitions.size(), 5u);
    EXPECT_EQ(partitions[0].partition_index, 7);
    EXPECT_EQ(partitions[4].partition_index, 1);
    for (const auto& partition : partitions) {
      EXPECT_EQ(partition.high_watermark, 2);
      const auto records = records_of(*partition.records);
      ASSERT_EQ(records.size(), 2u);
      EXPECT_EQ(records[0].second, "a0");
      EXPECT_EQ(records[1].second, "b0");
    }
  }
  EXPECT_EQ(lent(), 0);
  EXPECT_EQ(parts_out(), 0u);
}

TEST_P(Lcores, ProduceToSeveralIsAnsweredWhenAllAreDurable) {
  for (const size_t slow : {0u, 1u}) {
    fake_drive(slow).is_stuck = true;
    rig.send(client, frame_of(produce_to({1, 0, 3, 2}), 9, 77));
    EXPECT_TRUE(is_silent(client));
    fake_drive(slow).is_stuck = false;
    EXPECT_EQ(answered(client), 77);
  }
}

TEST_P(Lcores, AnswersLeaveInOrderWhicheverLcoreIsFirst) {
  fake_drive(1).is_stuck = true;
  rig.send(client, frame_of(produce_to({1}), 9, 1));
  rig.send(client, frame_of(produce_to({0}), 9, 2));
  rig.send(client, frame_of(produce_to({0, 1}), 9, 3));
  EXPECT_TRUE(is_silent(client));
  fake_drive(1).is_stuck = false;
  EXPECT_EQ(answered(client), 1);
  EXPECT_EQ(answered(client), 2);
  EXPECT_EQ(answered(client), 3);
}

// The owner's drive is behind: later batches of the connection do not pass the ones it holds back.
TEST_P(Lcores, BatchesThatAreHeldBackKeepTheirOrder) {
  fake_drive(1).refuse = storage::AppendStatus::kBusy;
  for (int i = 0; i < 5; ++i) rig.send(client, frame_of(produce_to({1}, std::to_string(i)), 9, i));
  EXPECT_TRUE(is_silent(client));
  fake_drive(1).refuse = storage::AppendStatus::kAppended;
  ASSERT_EQ(produced(other, GetParam() - 1, "wakes"), ErrorCode::kNone);
  if (GetParam() == 4) {  // something the device does on the owner itself
    const auto there = rig.connect(1);
    ASSERT_EQ(produced(there, 5), ErrorCode::kNone);
  }
  for (int i = 0; i < 5; ++i) EXPECT_EQ(answered(client), i);
  const auto fetched = rig.call<FetchResponse>(client, fetch_from({1}), 12);
  ASSERT_TRUE(fetched);
  std::vector<std::string> values;
  for (const auto& [offset, value] : records_of(*only(*fetched).records)) {
    if (value != "wakes0") values.push_back(value);
  }
  EXPECT_EQ(values, (std::vector<std::string>{"00", "10", "20", "30", "40"}));
}

TEST_P(Lcores, AcksZeroLeavesNoAnswerAndAnErrorCloses) {
  rig.send(client, frame_of(produce_to({1}, "quiet", 0), 9, 1));
  ASSERT_EQ(produced(client, 1, "loud"), ErrorCode::kNone);
  const auto fetched = rig.call<FetchResponse>(client, fetch_from({1}), 12);
  EXPECT_EQ(records_of(*only(*fetched).records).size(), 2u);
  fake_drive(1).refuse = storage::AppendStatus::kCorrupt;
  rig.send(client, frame_of(produce_to({1}, "bad", 0), 9, 2));
  rig.turns(100);
  EXPECT_FALSE(rig.is_open(client));
}

TEST_P(Lcores, ErrorsOfOnePartitionAreItsOwn) {
  fake_drive(1).refuse = storage::AppendStatus::kRingFull;
  const auto answer = rig.call<ProduceResponse>(client, produce_to({0, 1, 99}), 9);
  ASSERT_TRUE(answer);
  const auto& partitions = answer->responses[0].partition_responses;
  EXPECT_EQ(partitions[0].error_code, ErrorCode::kNone);
  EXPECT_EQ(partitions[1].error_code, ErrorCode::kKafkaStorageError);
  EXPECT_EQ(partitions[1].index, 1);
  EXPECT_EQ(partitions[2].error_code, ErrorCode::kUnknownTopicOrPartition);
}

TEST_P(Lcores, ALongPollEndsWithRecordsOfAnyLcore) {
  std::vector<int> all{0, 1, 2, 3};
  for (const int partition : all) {
    FetchRequest request = fetch_from(all);
    for (auto& wanted : request.topics[0].partitions) wanted.fetch_offset = wanted.partition < partition ? 1 : 0;
    rig.send(client, frame_of(request, 12, 5));
    EXPECT_TRUE(is_silent(client));
    EXPECT_EQ(parts_out(), 0u) << "nothing stands elsewhere while it waits";
    ASSERT_EQ(produced(other, partition, "new"), ErrorCode::kNone);
    const auto frame = rig.answer(client);
    ASSERT_TRUE(frame) << partition;
    const auto answer = decode_answer<FetchResponse>(*frame, 12)->message;
    for (const auto& found : answer.responses[0].partitions)
      EXPECT_EQ(records_of(*found.records).size(), found.partition_index == partition ? 1u : 0u);
  }
}

TEST_P(Lcores, ALongPollWaitsForBytesOfAllLcoresTogether) {
  rig.send(client, frame_of(fetch_from({0, 1}, 500), 12, 5));
  ASSERT_EQ(produced(other, 0, "a", 100), ErrorCode::kNone);
  ASSERT_EQ(produced(other, 1, "b", 100), ErrorCode::kNone);
  EXPECT_TRUE(is_silent(client));
  ASSERT_EQ(produced(other, 1, "c", 100), ErrorCode::kNone);
  const auto frame = rig.answer(client);
  ASSERT_TRUE(frame);
  const auto answer = decode_answer<FetchResponse>(*frame, 12)->message;
  EXPECT_EQ(records_of(*answer.responses[0].partitions[0].records).size(), 1u);
  EXPECT_EQ(records_of(*answer.responses[0].partitions[1].records).size(), 2u);
}

TEST_P(Lcores, ALongPollEndsAtItsTime) {
  rig.send(client, frame_of(fetch_from({0, 1}, 1, 50), 12, 5));
  EXPECT_TRUE(is_silent(client));
  rig.clock.advance(100 * kMillisecond);
  EXPECT_TRUE(rig.answer(client));
}

TEST_P(Lcores, TheBudgetIsSpentInTheRequestsOrder) {
  for (int i = 0; i < 4; ++i) {
    for (int partition = 0; partition < 2; ++partition)
      ASSERT_EQ(produced(client, partition, "x", 1000), ErrorCode::kNone);
  }
  for (const auto& order : {std::vector<int>{0, 1}, std::vector<int>{1, 0}}) {
    FetchRequest request = fetch_from(order);
    request.max_bytes = 2500;
    const auto answer = rig.call<FetchResponse>(client, request, 12);
    ASSERT_TRUE(answer);
    const auto& partitions = answer->responses[0].partitions;
    EXPECT_EQ(records_of(*partitions[0].records).size(), 2u) << order[0];
    EXPECT_LE(partitions[0].records->size() + partitions[1].records->size(), 2500u);
    EXPECT_TRUE(partitions[1].records->empty()) << "less than a batch is of no use";
  }
}

// KIP-74: the first partition that has anything gives a batch, however large; others do not.
TEST_P(Lcores, ABatchLargerThanEveryLimitComesFromTheFirstPartitionAlone) {
  for (int partition = 0; partition < 2; ++partition)
    ASSERT_EQ(produced(client, partition, "x", 20'000), ErrorCode::kNone);
  for (const auto& order : {std::vector<int>{0, 1}, std::vector<int>{1, 0}}) {
    FetchRequest request = fetch_from(order);
    request.max_bytes = 100;
    for (auto& partition : request.topics[0].partitions) partition.partition_max_bytes = 50;
    const auto answer = rig.call<FetchResponse>(client, request, 12);
    ASSERT_TRUE(answer);
    EXPECT_EQ(records_of(*answer->responses[0].partitions[0].records).size(), 1u);
    EXPECT_TRUE(answer->responses[0].partitions[1].records->empty());
  }
}

// KIP-951: what several lcores have found is one answer with the leader's address once.
TEST_P(Lcores, WhoIsFencedOnSeveralLcoresLearnsTheLeader) {
  rig.addresses = {.by_listener = {{"inside.test", 9092}, {"outside.test", 19092}}};
  rig.publish(8);
  ASSERT_EQ(produced(client, 1), ErrorCode::kNone);
  const auto outside = rig.connect(0, 1);
  FetchRequest request = fetch_from({0, 1, 2, 3}, 0);
  for (const size_t i : {0, 2, 3}) request.topics[0].partitions[i].current_leader_epoch = 2;
  for (const auto from : {client, outside}) {
    const auto answer = rig.call<FetchResponse>(from, named_for(request, 17), 17);
    ASSERT_TRUE(answer);
    const auto& partitions = answer->responses.at(0).partitions;
    ASSERT_EQ(partitions.size(), 4u);
    for (size_t i = 0; i < 4; ++i) {
      EXPECT_EQ(partitions[i].error_code, i == 1 ? ErrorCode::kNone : ErrorCode::kFencedLeaderEpoch) << i;
      EXPECT_EQ(partitions[i].current_leader.leader_id, i == 1 ? -1 : 7) << i;
      EXPECT_EQ(partitions[i].current_leader.leader_epoch, i == 1 ? -1 : 3) << i;
    }
    EXPECT_EQ(records_of(*partitions[1].records).size(), 1u);
    ASSERT_EQ(answer->node_endpoints.size(), 1u);
    EXPECT_EQ(answer->node_endpoints[0].host, from.slot == client.slot ? "inside.test" : "outside.test");
    EXPECT_EQ(answer->node_endpoints[0].port, from.slot == client.slot ? 9092 : 19092);
    const auto below = rig.call<FetchResponse>(from, named_for(request, 15), 15);
    ASSERT_TRUE(below);
    EXPECT_TRUE(below->node_endpoints.empty());
    EXPECT_EQ(only(*below).current_leader.leader_id, -1);
  }
}

TEST_P(Lcores, AMegabyteComesInSeveralLoansAndAllComeBack) {
  for (int i = 0; i < 8; ++i) ASSERT_EQ(produced(client, 1, std::to_string(i), 200'000), ErrorCode::kNone);
  FetchRequest request = fetch_from({1});
  request.topics[0].partitions[0].partition_max_bytes = 10 << 20;
  const auto answer = rig.call<FetchResponse>(client, request, 12);
  ASSERT_TRUE(answer);
  const auto records = records_of(*only(*answer).records);
  ASSERT_EQ(records.size(), 8u);
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(records[static_cast<size_t>(i)].second.starts_with(std::to_string(i)));
  rig.turns(10);
  EXPECT_EQ(lent(), 0);
}

TEST_P(Lcores, AClientThatDoesNotReadKeepsNothingOfTheOwner) {
  for (int i = 0; i < 8; ++i) ASSERT_EQ(produced(client, 1, "x", 200'000), ErrorCode::kNone);
  FetchRequest request = fetch_from({1});
  request.topics[0].partitions[0].partition_max_bytes = 10 << 20;
  rig.stream(client).peer_reads(false);
  rig.send(client, frame_of(request, 12, 5));
  rig.turns(300);
  EXPECT_EQ(lent(), 0);
  EXPECT_EQ(parts_out(), 0u);
  rig.stream(client).peer_reads(true);
  const auto frame = rig.answer(client);
  ASSERT_TRUE(frame);
  EXPECT_EQ(records_of(*only(decode_answer<FetchResponse>(*frame, 12)->message).records).size(), 8u);
}

TEST_P(Lcores, AConnectionThatClosesWhilePartsAreAwayLeavesNothing) {
  for (int i = 0; i < 8; ++i) ASSERT_EQ(produced(other, 1, "x", 200'000), ErrorCode::kNone);
  FetchRequest large = fetch_from({1, 0});
  large.topics[0].partitions[0].partition_max_bytes = 10 << 20;
  for (int after = 0; after < 40; ++after) {
    const auto who = rig.connect(0);
    switch (after % 3) {
      case 0: rig.send(who, frame_of(large, 12, 1)); break;
      case 1: rig.send(who, frame_of(produce_to({1, 0}, "y"), 9, 1)); break;
      case 2: rig.send(who, frame_of(list_offsets_of(1, -1), 7, 1)); break;
    }
    rig.turns(after / 3);
    rig.stuck = {1};
    rig.turns(5);
    rig.lcore(0).clients.broken(who.slot);
    rig.stuck = {};
    rig.turns(50);
    EXPECT_FALSE(rig.is_open(who));
    EXPECT_EQ(lent(), 0) << after;
    EXPECT_EQ(parts_out(), 0u) << after;
  }
  EXPECT_EQ(produced(client, 1), ErrorCode::kNone);
}

TEST_P(Lcores, ListOffsetsAsksTheOwner) {
  ASSERT_EQ(produced(client, 1), ErrorCode::kNone);
  ListOffsetsRequest request = list_offsets_of(1, -1);
  request.topics[0].partitions.push_back({.partition_index = 0, .current_leader_epoch = -1, .timestamp = -1});
  request.topics[0].partitions.push_back({.partition_index = 3, .current_leader_epoch = 2, .timestamp = -1});
  const auto answer = rig.call<ListOffsetsResponse>(client, request, 7);
  ASSERT_TRUE(answer);
  const auto& partitions = answer->topics[0].partitions;
  EXPECT_EQ(partitions[0].offset, 1);
  EXPECT_EQ(partitions[0].leader_epoch, 3);
  EXPECT_EQ(partitions[1].offset, 0);
  EXPECT_EQ(partitions[2].error_code, ErrorCode::kFencedLeaderEpoch);
}

// ---- drives

TEST_P(Lcores, RecordsOnAnotherLcoresDriveAreReadFirst) {
  ASSERT_EQ(produced(client, 1, "cold"), ErrorCode::kNone);
  fake_drive(1).cold_below[LcoresRig::log_of(1)] = Offset{1};
  rig.send(client, frame_of(fetch_from({1}, 1, 0), 12, 5));
  EXPECT_TRUE(is_silent(client)) << "max_wait does not end a wait for the drive";
  fake_drive(1).end_reads();
  const auto frame = rig.answer(client);
  ASSERT_TRUE(frame);
  EXPECT_EQ(records_of(*only(decode_answer<FetchResponse>(*frame, 12)->message).records).size(), 1u);
  EXPECT_EQ(lent(), 0);
}

// Its owner says that the log has moved, because of another's watch, while what was found is on its way.
TEST_P(Lcores, ATimeIsAnsweredThoughItsLogMovesWhileItIsLookedFor) {
  ASSERT_EQ(produced(client, 1, "cold"), ErrorCode::kNone);
  fake_drive(1).cold_below[LcoresRig::log_of(1)] = Offset{1};
  rig.send(client, frame_of(fetch_from({1}, 1, 0), 12, 5));
  EXPECT_TRUE(is_silent(client));  // and watches
  const auto asks = rig.connect(0);
  rig.send(asks, frame_of(list_offsets_of(1, 0), 7, 6));
  while (rig.lcore(0).broker.parts_out == 0) rig.lcore(0).turn();
  rig.lcore(1).turn();  // finds it pending
  fake_drive(1).end_reads();
  rig.lcore(1).turn();  // tells the watcher, behind what it found
  const auto frame = rig.answer(asks);
  ASSERT_TRUE(frame);
  const auto found = decode_answer<ListOffsetsResponse>(*frame, 7)->message.topics[0].partitions[0];
  EXPECT_EQ(found.offset, 0);
  EXPECT_EQ(found.leader_epoch, 3);
}

// What was read has left the cache when it is to be sent: it is read once more.
TEST_P(Lcores, WhatLeftTheCacheIsReadOnceMore) {
  ASSERT_EQ(produced(client, 1, "cold"), ErrorCode::kNone);
  const auto log = LcoresRig::log_of(1);
  fake_drive(1).cold_below[log] = Offset{1};
  rig.send(client, frame_of(fetch_from({1}, 1, 0), 12, 5));
  EXPECT_TRUE(is_silent(client));
  int looks = 0;
  fake_drive(1).after_look = [&] {
    if (++looks == 1) fake_drive(1).cached.erase(log);
  };
  fake_drive(1).end_reads();
  EXPECT_TRUE(is_silent(client));
  fake_drive(1).end_reads();
  const auto frame = rig.answer(client);
  ASSERT_TRUE(frame);
  EXPECT_EQ(records_of(*only(decode_answer<FetchResponse>(*frame, 12)->message).records).size(), 1u);
}

TEST_P(Lcores, DamageOnAnotherLcoresDriveIsItsPartitionsError) {
  ASSERT_EQ(produced(client, 1, "cold"), ErrorCode::kNone);
  ASSERT_EQ(produced(client, 0, "warm"), ErrorCode::kNone);
  const auto log = LcoresRig::log_of(1);
  fake_drive(1).cold_below[log] = Offset{1};
  fake_drive(1).damaged.insert(log);
  rig.send(client, frame_of(fetch_from({1}), 12, 5));
  EXPECT_TRUE(is_silent(client));
  fake_drive(1).end_reads();
  const auto frame = rig.answer(client);
  ASSERT_TRUE(frame);
  EXPECT_EQ(only(decode_answer<FetchResponse>(*frame, 12)->message).error_code, ErrorCode::kKafkaStorageError);
  EXPECT_EQ(rig.lcore(0).count(Metric::reads_refused_damaged), 1u);
}

TEST_P(Lcores, AFailedRingOfAnotherLcoreEndsTheWaitsForIt) {
  fake_drive(1).is_stuck = true;
  rig.send(client, frame_of(produce_to({0, 1}), 9, 1));
  const auto poller = rig.connect(0);
  rig.send(poller, frame_of(fetch_from({1}), 12, 2));
  EXPECT_TRUE(is_silent(client));
  EXPECT_TRUE(is_silent(poller));
  fake_drive(1).health.poisoned = true;
  rig.turns(100);
  EXPECT_FALSE(rig.is_open(client)) << "nobody can say whether it is there";
  const auto frame = rig.answer(poller);
  ASSERT_TRUE(frame);
  EXPECT_EQ(only(decode_answer<FetchResponse>(*frame, 12)->message).error_code, ErrorCode::kKafkaStorageError);
  EXPECT_EQ(produced(rig.connect(0), 1), ErrorCode::kKafkaStorageError);
  EXPECT_EQ(produced(rig.connect(0), 0), ErrorCode::kNone);
}

// ---- images

TEST_P(Lcores, APartOfANewerImageWaitsForThatImage) {
  rig.publish(12, {1});
  const int partition = 9;  // of lcore 1 with two and with four
  rig.send(client, frame_of(produce_to({partition}), 9, 1));
  EXPECT_TRUE(is_silent(client));
  rig.publish_to(1);
  const auto frame = rig.answer(client);
  ASSERT_TRUE(frame);
  EXPECT_EQ(only(decode_answer<ProduceResponse>(*frame, 9)->message).error_code, ErrorCode::kNone);
}

// ---- a full ring

// What the first of two owners lends is kept until the second one's is here too; else the two might miss for ever.
TEST(LcoresInTurns, OwnersThatAreNeverHereTogetherServeOneAnswer) {
  LcoresRig rig(1, 3);
  rig.publish(3);
  const auto client = rig.connect(0);
  for (const int partition : {1, 2})
    ASSERT_TRUE(rig.call<ProduceResponse>(client, produce_of(partition, batch_of(1, "x")), 9));
  rig.send(client, frame_of(fetch_from({1, 2}), 12, 5));
  std::optional<Bytes> frame;
  for (int i = 0; i < 50 && !frame; ++i) {
    rig.stuck = {static_cast<uint16_t>(i % 2 == 0 ? 2 : 1)};
    rig.turns(2);
    frame = rig.stream(client).next_answer();
  }
  ASSERT_TRUE(frame);
  const auto answer = decode_answer<FetchResponse>(*frame, 12);
  for (const auto& partition : answer->message.responses.at(0).partitions)
    EXPECT_EQ(records_of(*partition.records).size(), 1u);
  EXPECT_EQ(rig.lcore(0).count(Metric::parts_sent), 2u + 2u + 2u);  // to produce, look and lend
  rig.stuck.clear();
  rig.turns(10);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(fake_drive(i).lent, 0);
}

TEST(LcoresSmallRings, AFullRingParksAndLosesNothing) {
  LcoresRig rig(3, 2, 2);
  rig.publish(4);
  std::vector<LcoresRig::Client> clients;
  for (int i = 0; i < 30; ++i) clients.push_back(rig.connect(static_cast<uint16_t>(i % 2)));
  rig.stuck = {1};
  for (int round = 0; round < 5; ++round) {
    for (size_t i = 0; i < clients.size(); ++i)
      rig.send(clients[i], frame_of(produce_to({static_cast<int>(i + 1) % 4, 1, 2}, "z"), 9, round));
  }
  rig.turns(100);
  EXPECT_GT(rig.lcore(0).count(Metric::letters_delayed), 0u);
  rig.stuck = {};
  for (const auto& client : clients) {
    for (int round = 0; round < 5; ++round) {
      const auto frame = rig.answer(client);
      ASSERT_TRUE(frame);
      EXPECT_EQ(decode_answer<ProduceResponse>(*frame, 9)->correlation, round);
    }
  }
  EXPECT_FALSE(rig.lcore(0).mail->retrying());
}

}  // namespace
}  // namespace penstock::testing
