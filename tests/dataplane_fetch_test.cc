// Fetch and ListOffsets: limits, long polls and what ends them, epochs, sessions, versions 4 to 18 and 1 to 11.
#include <gtest/gtest.h>

#include "tests/kafka_requests.h"
#include "tests/sim/broker_rig.h"

namespace penstock::testing {
namespace {

using dataplane::Metric;
using sim::BrokerRig;

class Fetch : public ::testing::Test {
 protected:
  Fetch() : rig(1) {
    rig.publish(3);
    client = rig.connect();
    producer = rig.connect();
  }
  void produce(int partition, Bytes batch) {
    const auto answer = rig.call<ProduceResponse>(producer, produce_of(partition, std::move(batch)), 9);
    ASSERT_TRUE(answer);
    ASSERT_EQ(only(*answer).error_code, ErrorCode::kNone);
  }
  size_t count_of(const FetchResponse::PartitionData& data) { return records_of(*data.records).size(); }

  BrokerRig rig;
  uint32_t client;
  uint32_t producer;
};

TEST_F(Fetch, EveryVersionIsServed) {
  produce(0, batch_of(2, "a"));
  produce(0, batch_of(3, "b"));
  for (int16_t version = 4; version <= 18; ++version) {
    const auto answer = rig.call<FetchResponse>(client, named_for(fetch_of(0, 0), version), version);
    ASSERT_TRUE(answer) << version;
    EXPECT_EQ(answer->error_code, ErrorCode::kNone);
    EXPECT_EQ(answer->session_id, 0);
    const auto& data = only(*answer);
    EXPECT_EQ(data.error_code, ErrorCode::kNone) << version;
    EXPECT_EQ(data.high_watermark, 5);
    EXPECT_EQ(data.last_stable_offset, 5);
    EXPECT_EQ(data.log_start_offset, version >= 5 ? 0 : -1);
    EXPECT_EQ(data.preferred_read_replica, -1);
    EXPECT_FALSE(data.aborted_transactions.has_value());
    const auto records = records_of(*data.records);
    ASSERT_EQ(records.size(), 5u) << version;
    EXPECT_EQ(records[4].second, "b2");
  }
}

// KIP-595, from version 12: a client that has read records of an epoch which this log does not have learns where to.
TEST_F(Fetch, ADivergingEpochIsTold) {
  produce(0, batch_of(5, "a"));  // of epoch 3
  for (const auto& [last_epoch, from] : {std::pair(2, 3), std::pair(3, 3), std::pair(4, 3), std::pair(2, 0)}) {
    FetchRequest request = fetch_of(0, from, 1, 600'000);
    request.topics[0].partitions[0].last_fetched_epoch = last_epoch;
    const auto answer = rig.call<FetchResponse>(client, request, 12);
    ASSERT_TRUE(answer) << last_epoch;
    const auto& data = only(*answer);
    const bool diverges = last_epoch == 2 && from == 3;
    EXPECT_EQ(data.error_code, last_epoch == 4 ? ErrorCode::kOffsetOutOfRange : ErrorCode::kNone) << last_epoch;
    EXPECT_EQ(data.diverging_epoch.epoch, diverges ? 2 : -1) << last_epoch;
    EXPECT_EQ(data.diverging_epoch.end_offset, diverges ? 0 : -1) << last_epoch;
    EXPECT_EQ(data.records->empty(), diverges || last_epoch == 4) << last_epoch;
  }
}

TEST_F(Fetch, AnOffsetInsideABatchGivesTheWholeBatch) {
  produce(0, batch_of(5, "a"));
  produce(0, batch_of(5, "b"));
  const auto answer = rig.call<FetchResponse>(client, fetch_of(0, 3), 12);
  ASSERT_TRUE(answer);
  EXPECT_EQ(count_of(only(*answer)), 10u);
  const auto second = rig.call<FetchResponse>(client, fetch_of(0, 5), 12);
  EXPECT_EQ(count_of(only(*second)), 5u);
}

TEST_F(Fetch, TheFirstPartitionWithDataGivesABatchWhateverTheLimits) {
  for (int partition = 0; partition < 3; ++partition) produce(partition, batch_of(1, "x", 10'000));
  FetchRequest request = fetch_of(0, 1);  // nothing there yet
  request.topics[0].partitions[0].partition_max_bytes = 1;
  request.max_bytes = 1;
  for (int partition = 1; partition < 3; ++partition) {
    request.topics[0].partitions.push_back({.partition = partition, .fetch_offset = 0, .partition_max_bytes = 1});
  }
  const auto answer = rig.call<FetchResponse>(client, request, 12);
  ASSERT_TRUE(answer);
  const auto& data = answer->responses[0].partitions;
  EXPECT_EQ(count_of(data[0]), 0u);
  EXPECT_EQ(count_of(data[1]), 1u);
  EXPECT_EQ(count_of(data[2]), 0u);
}

TEST_F(Fetch, LaterPartitionsGetOnlyWhatFits) {
  for (int i = 0; i < 4; ++i) {
    produce(0, batch_of(1, "x", 10'000));
    produce(1, batch_of(1, "y", 10'000));
  }
  FetchRequest request = fetch_of(0, 0);
  request.topics[0].partitions[0].partition_max_bytes = 25'000;
  request.topics[0].partitions.push_back({.partition = 1, .fetch_offset = 0, .partition_max_bytes = 1 << 20});
  request.max_bytes = 36'000;
  const auto answer = rig.call<FetchResponse>(client, request, 12);
  ASSERT_TRUE(answer);
  EXPECT_EQ(count_of(answer->responses[0].partitions[0]), 2u);
  EXPECT_EQ(count_of(answer->responses[0].partitions[1]), 1u);
}

TEST_F(Fetch, TheBrokersLimitIsBelowTheClients) {
  rig.options.fetch_max_bytes = 25'000;
  for (int i = 0; i < 5; ++i) produce(0, batch_of(1, "x", 10'000));
  const auto answer = rig.call<FetchResponse>(client, fetch_of(0, 0), 12);
  ASSERT_TRUE(answer);
  EXPECT_EQ(count_of(only(*answer)), 2u);
}

TEST_F(Fetch, OffsetsOutOfRangeAreRefusedWithTheRange) {
  produce(0, batch_of(5, "a"));
  for (const int64_t offset : {int64_t{-1}, int64_t{6}, INT64_MAX, INT64_MIN}) {
    const auto answer = rig.call<FetchResponse>(client, fetch_of(0, offset), 12);
    ASSERT_TRUE(answer);
    EXPECT_EQ(only(*answer).error_code, ErrorCode::kOffsetOutOfRange) << offset;
    EXPECT_EQ(only(*answer).log_start_offset, 0);
    EXPECT_EQ(only(*answer).high_watermark, 5);
  }
  const auto end = rig.call<FetchResponse>(client, fetch_of(0, 5, 1, 0), 12);
  ASSERT_TRUE(end);
  EXPECT_EQ(only(*end).error_code, ErrorCode::kNone);
  EXPECT_EQ(count_of(only(*end)), 0u);
}

TEST_F(Fetch, EpochsAndUnknownPlaces) {
  const auto error_of = [&](const FetchRequest& request, int16_t version = 12) {
    return only(*rig.call<FetchResponse>(client, request, version)).error_code;
  };
  FetchRequest request = fetch_of(0, 0, 0);
  for (const auto& [epoch, error] :
       {std::pair(-1, ErrorCode::kNone), std::pair(3, ErrorCode::kNone), std::pair(2, ErrorCode::kFencedLeaderEpoch),
        std::pair(4, ErrorCode::kUnknownLeaderEpoch)}) {
    request.topics[0].partitions[0].current_leader_epoch = epoch;
    EXPECT_EQ(error_of(request), error) << epoch;
  }
  EXPECT_EQ(error_of(fetch_of(3, 0)), ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(error_of(fetch_of(-1, 0)), ErrorCode::kUnknownTopicOrPartition);
  FetchRequest unknown = fetch_of(0, 0);
  unknown.topics[0].topic = "no such";
  EXPECT_EQ(error_of(unknown), ErrorCode::kUnknownTopicOrPartition);
  unknown.topics[0].topic_id.bytes[0] = 77;
  EXPECT_EQ(error_of(unknown, 13), ErrorCode::kUnknownTopicId);
}

// KIP-951, as Kafka fills it: from version 16 on, for who is fenced and for nobody else, with the listener's address.
TEST_F(Fetch, WhoIsFencedLearnsTheLeader) {
  rig.addresses = {.by_listener = {{"inside.test", 9092}, {"::1", 19092}}, .rack = "r1"};
  rig.publish(3);
  const uint32_t outside = rig.connect(1);
  FetchRequest request = fetch_of(0, 0, 0);
  for (int i = 1; i < 3; ++i) request.topics[0].partitions.push_back({.partition = i, .fetch_offset = 0});
  request.topics[0].partitions[0].current_leader_epoch = 2;
  request.topics[0].partitions[1].current_leader_epoch = 4;  // newer than the broker knows: no hint
  request.topics[0].partitions[2].current_leader_epoch = 1;
  for (const uint32_t from : {client, outside}) {
    for (int16_t version = 9; version <= 18; ++version) {  // the epoch is asked for from 9 on
      const auto answer = rig.call<FetchResponse>(from, named_for(request, version), version);
      ASSERT_TRUE(answer) << version;
      const auto& partitions = answer->responses.at(0).partitions;
      ASSERT_EQ(partitions.size(), 3u);
      EXPECT_EQ(partitions[0].error_code, ErrorCode::kFencedLeaderEpoch) << version;
      EXPECT_EQ(partitions[1].error_code, ErrorCode::kUnknownLeaderEpoch) << version;
      const bool told = version >= 16;
      for (size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(partitions[i].current_leader.leader_id, told && i != 1 ? 7 : -1) << version << ' ' << i;
        EXPECT_EQ(partitions[i].current_leader.leader_epoch, told && i != 1 ? 3 : -1) << version << ' ' << i;
      }
      ASSERT_EQ(answer->node_endpoints.size(), told ? 1u : 0u) << version;
      if (!told) continue;
      const auto& node = answer->node_endpoints[0];
      EXPECT_EQ(node.node_id, 7);
      EXPECT_EQ(node.host, from == client ? "inside.test" : "::1");
      EXPECT_EQ(node.port, from == client ? 9092 : 19092);
      EXPECT_EQ(node.rack, "r1");
    }
  }
}

TEST_F(Fetch, WhereNothingIsKnownOfAnAddressTheLeaderIsNamedWithoutIt) {
  FetchRequest request = fetch_of(0, 0, 0);
  request.topics[0].partitions[0].current_leader_epoch = 2;
  const auto alone = rig.call<FetchResponse>(client, named_for(request, 16), 16);
  ASSERT_TRUE(alone);
  EXPECT_EQ(only(*alone).current_leader.leader_id, 7);
  EXPECT_TRUE(alone->node_endpoints.empty());
  rig.addresses.by_listener = {{"inside.test", 9092}};
  rig.publish(3);
  const auto without_rack = rig.call<FetchResponse>(client, named_for(request, 16), 16);
  ASSERT_TRUE(without_rack);
  ASSERT_EQ(without_rack->node_endpoints.size(), 1u);
  EXPECT_FALSE(without_rack->node_endpoints[0].rack.has_value());
}

TEST_F(Fetch, NoHintWithoutTheError) {
  rig.addresses.by_listener = {{"inside.test", 9092}};
  rig.publish(3);
  produce(0, batch_of(1, "a"));
  for (const int epoch : {-1, 3, 4}) {
    FetchRequest request = fetch_of(0, 0, 0);
    request.topics[0].partitions[0].current_leader_epoch = epoch;
    const auto answer = rig.call<FetchResponse>(client, named_for(request, 18), 18);
    ASSERT_TRUE(answer) << epoch;
    EXPECT_EQ(only(*answer).current_leader.leader_id, -1) << epoch;
    EXPECT_TRUE(answer->node_endpoints.empty()) << epoch;
  }
}

TEST_F(Fetch, SessionsAreMadeWhenAskedFor) {
  FetchRequest request = fetch_of(0, 0, 0);
  for (const auto& [id, epoch, error] :
       {std::tuple(0, -1, ErrorCode::kNone), std::tuple(0, 0, ErrorCode::kNone), std::tuple(55, -1, ErrorCode::kNone),
        std::tuple(55, 1, ErrorCode::kFetchSessionIdNotFound), std::tuple(0, 1, ErrorCode::kFetchSessionIdNotFound)}) {
    request.session_id = id;
    request.session_epoch = epoch;
    const auto answer = rig.call<FetchResponse>(client, request, 12);
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->error_code, error) << id << " " << epoch;
    EXPECT_EQ(answer->session_id != 0, epoch == 0) << id << " " << epoch;
    EXPECT_EQ(answer->responses.empty(), error != ErrorCode::kNone);
  }
}

// Names come with each request, up to 32 KiB; a session would keep them.
TEST_F(Fetch, ANameThatNoTopicCanHaveEntersNoSession) {
  FetchRequest request = fetch_of(0, 0, 0);
  request.session_epoch = 0;
  request.topics.push_back(request.topics[0]);
  request.topics[1].topic = std::string(kTopicNameMax + 1, 'x');
  const auto without = rig.call<FetchResponse>(client, request, 12);
  ASSERT_TRUE(without);
  EXPECT_EQ(without->error_code, ErrorCode::kNone);
  EXPECT_EQ(without->session_id, 0);
  ASSERT_EQ(without->responses.size(), 2u);
  EXPECT_EQ(without->responses[0].partitions[0].error_code, ErrorCode::kNone);
  EXPECT_EQ(without->responses[1].partitions[0].error_code, ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(rig.broker->sessions.count(), 0u);

  request.topics[1].topic.pop_back();  // one could have this
  const auto with = rig.call<FetchResponse>(client, request, 12);
  ASSERT_TRUE(with);
  EXPECT_NE(with->session_id, 0);
  EXPECT_EQ(with->responses[1].partitions[0].error_code, ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(rig.broker->sessions.count(), 1u);

  request.session_id = with->session_id;
  request.session_epoch = 1;
  request.topics[1].topic += 'x';
  const auto ended = rig.call<FetchResponse>(client, request, 12);
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->error_code, ErrorCode::kFetchSessionIdNotFound) << "the client begins anew";
  EXPECT_EQ(rig.broker->sessions.count(), 0u);
}

TEST_F(Fetch, ForgottenPartitionsAreBoundedAsOthersAre) {
  FetchRequest request = fetch_of(0, 0, 0);
  request.session_epoch = 0;
  const auto full = rig.call<FetchResponse>(client, request, 12);
  ASSERT_TRUE(full);
  request.session_id = full->session_id;
  request.session_epoch = 1;
  auto& forgotten = request.forgotten_topics_data.emplace_back();
  forgotten.topic = "u";
  for (size_t i = 0; i < dataplane::kRequestPartitionsMax; ++i) forgotten.partitions.push_back(static_cast<int32_t>(i));
  const auto taken = rig.call<FetchResponse>(client, request, 12);
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->error_code, ErrorCode::kNone);
  EXPECT_EQ(taken->session_id, full->session_id);

  request.session_epoch = 2;
  request.forgotten_topics_data[0].partitions.push_back(0);
  EXPECT_FALSE(rig.call<FetchResponse>(client, request, 12));
  EXPECT_FALSE(rig.is_open(client));
  EXPECT_EQ(rig.count(Metric::connections_closed_bad_request), 1u);
  FetchRequest topics = fetch_of(0, 0, 0);
  topics.forgotten_topics_data.resize(dataplane::kRequestPartitionsMax + 1);
  EXPECT_FALSE(rig.call<FetchResponse>(producer, topics, 12)) << "nor so many topics without any";
  EXPECT_EQ(rig.count(Metric::connections_closed_bad_request), 2u);
}

// Its session went while it waited, by another connection: it is answered all the same.
TEST_F(Fetch, ASessionThatEndsWhileAFetchOfItWaits) {
  FetchRequest request = fetch_of(0, 0, 0);
  request.session_epoch = 0;
  const auto full = rig.call<FetchResponse>(client, request, 12);
  ASSERT_TRUE(full);
  FetchRequest poll = fetch_of(0, 0, 1, 600'000);
  poll.session_id = full->session_id;
  poll.session_epoch = 1;
  rig.send(client, frame_of(poll, 12, 5));
  rig.turns(100);
  FetchRequest last = fetch_of(1, 0, 0);
  last.session_id = full->session_id;
  last.session_epoch = -1;
  ASSERT_TRUE(rig.call<FetchResponse>(producer, last, 12));
  produce(0, batch_of(1, "a"));
  const auto frame = rig.answer(client);
  ASSERT_TRUE(frame);
  EXPECT_EQ(count_of(only(decode_answer<FetchResponse>(*frame, 12)->message)), 1u);
}

TEST_F(Fetch, ReadCommittedListsNoAbortedTransactions) {
  produce(0, batch_of(1, "a"));
  FetchRequest request = fetch_of(0, 0);
  request.isolation_level = 1;
  const auto answer = rig.call<FetchResponse>(client, request, 12);
  ASSERT_TRUE(answer);
  ASSERT_TRUE(only(*answer).aborted_transactions.has_value());
  EXPECT_TRUE(only(*answer).aborted_transactions->empty());
  EXPECT_EQ(count_of(only(*answer)), 1u);
}

// ---- the long poll

TEST_F(Fetch, ALongPollEndsWithDurableData) {
  rig.send(client, frame_of(fetch_of(0, 0, 1, 60'000), 12, 77));
  rig.turns(100);
  EXPECT_EQ(rig.count(Metric::fetches_parked), 1u);
  produce(1, batch_of(1, "elsewhere"));
  rig.turns(100);
  EXPECT_FALSE(rig.stream(client).next_answer());
  produce(0, batch_of(2, "here"));
  const auto frame = rig.answer(client);
  ASSERT_TRUE(frame);
  EXPECT_EQ(count_of(only(decode_answer<FetchResponse>(*frame, 12)->message)), 2u);
  EXPECT_EQ(rig.broker->wakeups.next_deadline(), std::numeric_limits<Nanos>::max());
}

TEST_F(Fetch, MinBytesIsTheSumOverAllPartitions) {
  FetchRequest request = fetch_of(0, 0, 25'000, 60'000);
  request.topics[0].partitions.push_back({.partition = 1, .fetch_offset = 0, .partition_max_bytes = 1 << 20});
  rig.send(client, frame_of(request, 12, 77));
  for (int i = 0; i < 2; ++i) {
    produce(i, batch_of(1, "x", 10'000));
    rig.turns(100);
    EXPECT_FALSE(rig.stream(client).next_answer());
  }
  produce(1, batch_of(1, "x", 10'000));
  const auto frame = rig.answer(client);
  ASSERT_TRUE(frame);
  const auto answer = decode_answer<FetchResponse>(*frame, 12)->message;
  EXPECT_EQ(count_of(answer.responses[0].partitions[0]), 1u);
  EXPECT_EQ(count_of(answer.responses[0].partitions[1]), 2u);
}

TEST_F(Fetch, ALongPollEndsAtItsDeadlineWithWhatThereIs) {
  produce(0, batch_of(1, "x"));
  rig.send(client, frame_of(fetch_of(0, 0, 1'000'000, 500), 12, 77));
  rig.turns(200);
  EXPECT_FALSE(rig.stream(client).next_answer());
  EXPECT_LE(rig.broker->wakeups.next_deadline(), rig.clock.monotonic() + 500 * kMillisecond);
  rig.clock.advance(500 * kMillisecond);
  const auto frame = rig.answer(client);
  ASSERT_TRUE(frame);
  EXPECT_EQ(count_of(only(decode_answer<FetchResponse>(*frame, 12)->message)), 1u);
}

TEST_F(Fetch, ALongPollEndsWhenItsTopicGoes) {
  rig.send(client, frame_of(fetch_of(0, 0, 1, 600'000), 12, 77));
  rig.turns(100);
  rig.publish_nothing();
  const auto frame = rig.answer(client);
  ASSERT_TRUE(frame);
  EXPECT_EQ(only(decode_answer<FetchResponse>(*frame, 12)->message).error_code, ErrorCode::kUnknownTopicOrPartition);
}

TEST_F(Fetch, ALongPollSurvivesAnImageThatStillHasItsTopic) {
  rig.send(client, frame_of(fetch_of(0, 0, 1, 600'000), 12, 77));
  rig.turns(100);
  rig.publish(3);
  rig.turns(100);
  EXPECT_FALSE(rig.stream(client).next_answer());
  produce(0, batch_of(1, "x"));
  EXPECT_TRUE(rig.answer(client));
  EXPECT_EQ(rig.count(Metric::fetches_parked), 1u);
}

TEST_F(Fetch, AnErrorInOnePartitionAnswersAtOnce) {
  FetchRequest request = fetch_of(0, 0, 1'000, 600'000);
  request.topics[0].partitions.push_back({.partition = 9, .fetch_offset = 0, .partition_max_bytes = 1});
  const auto answer = rig.call<FetchResponse>(client, request, 12);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->responses[0].partitions[1].error_code, ErrorCode::kUnknownTopicOrPartition);
}

TEST_F(Fetch, ManyWaitForOneLogAndOthersDoNotWake) {
  std::vector<uint32_t> waiting;
  for (int i = 0; i < 50; ++i) {
    waiting.push_back(rig.connect());
    rig.send(waiting.back(), frame_of(fetch_of(i % 2, 0, 1, 600'000), 12, i));
  }
  rig.turns(200);
  produce(0, batch_of(1, "x"));
  rig.turns(200);
  for (size_t i = 0; i < waiting.size(); ++i) {
    EXPECT_EQ(rig.stream(waiting[i]).next_answer().has_value(), i % 2 == 0) << i;
  }
}

// ---- how the bytes leave

TEST_F(Fetch, SmallBatchesAreGatheredLargeOnesAreNot) {
  for (int i = 0; i < 20; ++i) produce(0, batch_of(1, "s", 10));
  const auto small = rig.call<FetchResponse>(client, fetch_of(0, 0), 12);
  ASSERT_TRUE(small);
  EXPECT_EQ(count_of(only(*small)), 20u);
  // All but the first of a run, which goes as it lies.
  const uint64_t gathered = rig.count(Metric::bytes_gathered);
  EXPECT_GE(gathered, only(*small).records->size() * 9 / 10);
  for (int i = 0; i < 20; ++i) produce(1, batch_of(1, "l", 5000));
  const auto large = rig.call<FetchResponse>(client, fetch_of(1, 0), 12);
  ASSERT_TRUE(large);
  EXPECT_EQ(count_of(only(*large)), 20u);
  EXPECT_EQ(rig.count(Metric::bytes_gathered), gathered);
  EXPECT_EQ(rig.count(Metric::bytes_fetched), only(*small).records->size() + only(*large).records->size());
}

TEST(FetchOut, AnAnswerOfMegabytesLeavesWholeThroughAnySequenceOfShortSends) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    BrokerRig rig(seed);
    rig.publish(2);
    const uint32_t client = rig.connect();
    Prng prng(seed);
    Bytes sent[2];
    for (int i = 0; i < 60; ++i) {
      const int partition = static_cast<int>(prng.below(2));
      const Bytes batch =
          batch_of(static_cast<int>(prng.between(1, 4)), "b", prng.one_in(2) ? prng.below(200) : prng.below(60'000));
      const auto answer = rig.call<ProduceResponse>(client, produce_of(partition, batch), 9);
      ASSERT_TRUE(answer);
      ASSERT_EQ(only(*answer).error_code, ErrorCode::kNone);
      Bytes stored = batch;
      const auto head = std::span<std::byte, protocol::kBatchHeaderBytes>(stored.data(), protocol::kBatchHeaderBytes);
      protocol::store_base_offset(head, Offset{only(*answer).base_offset});
      protocol::store_partition_leader_epoch(head, LeaderEpoch{3});
      sent[partition].insert(sent[partition].end(), stored.begin(), stored.end());
    }
    FetchRequest request = fetch_of(0, 0);
    request.topics[0].partitions[0].partition_max_bytes = 50'000'000;
    request.topics[0].partitions.push_back({.partition = 1, .fetch_offset = 0, .partition_max_bytes = 50'000'000});
    const auto answer = rig.call<FetchResponse>(client, request, seed % 2 == 0 ? 11 : 12);
    ASSERT_TRUE(answer) << "seed " << seed;
    EXPECT_EQ(*answer->responses[0].partitions[0].records, sent[0]);
    EXPECT_EQ(*answer->responses[0].partitions[1].records, sent[1]);
  }
}

TEST(FetchOut, WhenPromisedRecordsGoTheConnectionEnds) {
  BrokerRig rig(1);
  rig.publish(1);
  const uint32_t client = rig.connect();
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(rig.call<ProduceResponse>(client, produce_of(0, batch_of(1, "x", 100'000)), 9));
  }
  rig.stream(client).peer_reads(false);
  rig.send(client, frame_of(fetch_of(0, 0), 12, 1));
  rig.turns(200);
  rig.store->drop_log(storage::LogId{1});
  rig.stream(client).peer_reads(true);
  rig.turns(200);
  EXPECT_FALSE(rig.is_open(client));
}

// ---- ListOffsets

TEST_F(Fetch, ListOffsetsInEveryVersion) {
  produce(0, batch_of(5, "a"));
  for (int16_t version = 1; version <= 11; ++version) {
    const auto latest = rig.call<ListOffsetsResponse>(client, list_offsets_of(0, -1), version);
    ASSERT_TRUE(latest) << version;
    EXPECT_EQ(only(*latest).offset, 5);
    EXPECT_EQ(only(*latest).timestamp, -1);
    EXPECT_EQ(only(*latest).leader_epoch, version >= 4 ? 3 : -1);
    EXPECT_EQ(only(*rig.call<ListOffsetsResponse>(client, list_offsets_of(0, -2), version)).offset, 0);
  }
}

TEST_F(Fetch, ListOffsetsOfTimesAndOfTheSpecialOnes) {
  produce(0, batch_of(5, "a"));  // timestamps 1'700'000'000'000 to ...004
  const auto ask = [&](int64_t timestamp, int16_t version = 11) {
    const auto answer = rig.call<ListOffsetsResponse>(client, list_offsets_of(0, timestamp), version);
    EXPECT_TRUE(answer);
    return only(*answer);
  };
  EXPECT_EQ(ask(1'700'000'000'002).offset, 2);
  EXPECT_EQ(ask(1'700'000'000'002).timestamp, 1'700'000'000'002);
  EXPECT_EQ(ask(0).offset, 0);
  EXPECT_EQ(ask(1'700'000'000'005).offset, -1);
  EXPECT_EQ(ask(1'700'000'000'005).timestamp, -1);
  EXPECT_EQ(ask(1'700'000'000'005).error_code, ErrorCode::kNone);
  EXPECT_EQ(ask(-3).offset, 4);
  EXPECT_EQ(ask(-3).timestamp, 1'700'000'000'004);
  EXPECT_EQ(ask(-4).offset, 0);
  EXPECT_EQ(ask(-5).offset, -1);
  EXPECT_EQ(ask(-6).offset, -1);
  EXPECT_EQ(ask(-7).error_code, ErrorCode::kUnsupportedVersion);
  EXPECT_EQ(ask(-3, 6).error_code, ErrorCode::kUnsupportedVersion);
  EXPECT_EQ(ask(-4, 7).error_code, ErrorCode::kUnsupportedVersion);
  EXPECT_EQ(ask(-5, 8).error_code, ErrorCode::kUnsupportedVersion);
  EXPECT_EQ(ask(-6, 10).error_code, ErrorCode::kUnsupportedVersion);
}

// What penstock.partitions.max allows a topic may be asked for in one request.
TEST_F(Fetch, AsManyPartitionsAsThereMayBeAreLookedUpAndNoMore) {
  constexpr size_t kMost = dataplane::kRequestPartitionsMax;
  ListOffsetsRequest offsets = list_offsets_of(0, -1);
  offsets.topics[0].partitions.resize(kMost);
  for (size_t i = 0; i < kMost; ++i) offsets.topics[0].partitions[i].partition_index = static_cast<int32_t>(i);
  const auto told = rig.call<ListOffsetsResponse>(client, offsets, 6);
  ASSERT_TRUE(told);
  EXPECT_EQ(told->topics.at(0).partitions.size(), kMost);
  offsets.topics.emplace_back().partitions.resize(1);
  EXPECT_FALSE(rig.call<ListOffsetsResponse>(client, offsets, 6));
  EXPECT_FALSE(rig.is_open(client));

  protocol::OffsetForLeaderEpochRequest epochs;
  epochs.topics.emplace_back().topic = list_offsets_of(0, -1).topics[0].name;
  epochs.topics[0].partitions.resize(kMost);
  client = rig.connect();
  const auto ends = rig.call<protocol::OffsetForLeaderEpochResponse>(client, epochs, 3);
  ASSERT_TRUE(ends);
  EXPECT_EQ(ends->topics.at(0).partitions.size(), kMost);
  epochs.topics[0].partitions.clear();
  epochs.topics.resize(kMost + 1);  // of nothing, but each has its place in the answer
  EXPECT_FALSE(rig.call<protocol::OffsetForLeaderEpochResponse>(client, epochs, 3));
  EXPECT_FALSE(rig.is_open(client));
}

TEST_F(Fetch, ListOffsetsErrors) {
  const auto error_of = [&](const ListOffsetsRequest& request) {
    return only(*rig.call<ListOffsetsResponse>(client, request, 6)).error_code;
  };
  EXPECT_EQ(error_of(list_offsets_of(3, -1)), ErrorCode::kUnknownTopicOrPartition);
  ListOffsetsRequest stale = list_offsets_of(0, -1);
  stale.topics[0].partitions[0].current_leader_epoch = 2;
  EXPECT_EQ(error_of(stale), ErrorCode::kFencedLeaderEpoch);
  stale.topics[0].partitions[0].current_leader_epoch = 4;
  EXPECT_EQ(error_of(stale), ErrorCode::kUnknownLeaderEpoch);
}

}  // namespace
}  // namespace penstock::testing
