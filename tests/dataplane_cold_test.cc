// Fetch and ListOffsets of records that are on the drive alone: what waits for it, what does not, and what happens when
// it has lost them. The drive is the test's own (fake_store.h).
#include <gtest/gtest.h>

#include "tests/fake_store.h"
#include "tests/kafka_requests.h"
#include "tests/sim/broker_rig.h"

namespace penstock::testing {
namespace {

using dataplane::Metric;
using sim::BrokerRig;
using storage::LogId;

constexpr LogId kLog0{1};  // of partition 0, as BrokerRig numbers them
constexpr LogId kLog1{2};
constexpr LogId kLog2{3};

class Cold : public ::testing::Test {
 protected:
  explicit Cold(uint64_t seed = 1) : rig(seed) {
    rig.publish(3);
    client = rig.connect();
    producer = rig.connect();
  }
  // As many batches of one record, all of which only the drive has.
  void produce_cold(int partition, int batches, size_t padding = 100) {
    for (int i = 0; i < batches; ++i) produce(partition, batch_of(1, "x", padding));
    drive.cold_below[LogId{static_cast<uint64_t>(partition) + 1}] = Offset{1'000'000};
  }
  void produce(int partition, Bytes batch) {
    const auto answer = rig.call<ProduceResponse>(producer, produce_of(partition, std::move(batch)), 9);
    ASSERT_TRUE(answer);
    ASSERT_EQ(only(*answer).error_code, ErrorCode::kNone);
  }
  void ask(const FetchRequest& request) { rig.send(client, frame_of(request, 12, 77)); }
  bool is_silent() {
    rig.turns(200);
    return !rig.stream(client).next_answer().has_value();
  }
  std::optional<FetchResponse> fetched() {
    const auto frame = rig.answer(client);
    if (!frame) return std::nullopt;
    return decode_answer<FetchResponse>(*frame, 12)->message;
  }
  static FetchRequest fetch_both(int32_t min_bytes = 1, int32_t max_wait_ms = 600'000) {
    FetchRequest request = fetch_of(0, 0, min_bytes, max_wait_ms);
    request.topics[0].partitions.push_back({.partition = 1, .fetch_offset = 0, .partition_max_bytes = 1 << 20});
    return request;
  }
  static const FetchResponse::PartitionData& part(const FetchResponse& response, size_t i) {
    return response.responses.at(0).partitions.at(i);
  }
  static size_t count_of(const FetchResponse::PartitionData& data) { return records_of(*data.records).size(); }

  BrokerRig rig;
  FakeDrive& drive = fake_drive();
  uint32_t client;
  uint32_t producer;
};

// ---- before the answer

TEST_F(Cold, AFetchWaitsForTheDriveAndThenHasTheRecords) {
  produce_cold(0, 3);
  ask(fetch_of(0, 0));
  EXPECT_TRUE(is_silent());
  EXPECT_EQ(drive.reads, 1u);
  EXPECT_EQ(rig.count(Metric::reads_parked), 1u);
  EXPECT_EQ(rig.count(Metric::fetches_parked), 0u);
  drive.end_reads();
  const auto answer = fetched();
  ASSERT_TRUE(answer);
  EXPECT_EQ(count_of(only(*answer)), 3u);
  EXPECT_EQ(only(*answer).high_watermark, 3);
}

TEST_F(Cold, MaxWaitDoesNotEndAWaitForTheDrive) {
  produce_cold(0, 3);
  ask(fetch_of(0, 0, 1, 500));
  EXPECT_TRUE(is_silent());
  rig.clock.advance(500 * kMillisecond);
  EXPECT_TRUE(is_silent()) << "an empty answer would make the client ask again at once";
  EXPECT_EQ(rig.broker->wakeups.next_deadline(), std::numeric_limits<Nanos>::max()) << "the lcore may sleep";
  drive.end_reads();
  const auto answer = fetched();
  ASSERT_TRUE(answer);
  EXPECT_EQ(count_of(only(*answer)), 3u);
}

TEST_F(Cold, RecordsAtTheTailDoNotWaitForTheDrive) {
  produce_cold(0, 3);
  produce(1, batch_of(2, "tail"));
  ask(fetch_both());
  const auto answer = fetched();
  ASSERT_TRUE(answer);
  EXPECT_EQ(part(*answer, 0).error_code, ErrorCode::kNone);
  EXPECT_EQ(count_of(part(*answer, 0)), 0u);
  EXPECT_EQ(count_of(part(*answer, 1)), 2u);
}

TEST_F(Cold, TooFewRecordsAtTheTailWaitForThoseOfTheDrive) {
  produce_cold(0, 3, 10'000);
  produce(1, batch_of(1, "tail"));
  ask(fetch_both(20'000));
  EXPECT_TRUE(is_silent());
  drive.end_reads();
  const auto answer = fetched();
  ASSERT_TRUE(answer);
  EXPECT_EQ(count_of(part(*answer, 0)), 3u);
  EXPECT_EQ(count_of(part(*answer, 1)), 1u);
}

TEST_F(Cold, PartitionsOnTheDriveWaitForEachOtherAlsoWhenTheCacheHoldsOnlyOne) {
  produce_cold(0, 2);
  produce_cold(1, 3);
  ask(fetch_both());
  EXPECT_TRUE(is_silent());
  EXPECT_EQ(drive.reads, 2u);
  drive.end_reads(kLog0);
  EXPECT_TRUE(is_silent());
  drive.cached.erase(kLog0);
  drive.end_reads(kLog1);
  for (int i = 0; i < 20 && rig.count(Metric::sends_parked) == 0; ++i) rig.turns(10);
  drive.end_reads();  // the first again, for sending
  const auto answer = fetched();
  ASSERT_TRUE(answer);
  EXPECT_EQ(count_of(part(*answer, 0)), 2u);
  EXPECT_EQ(count_of(part(*answer, 1)), 3u);
}

TEST_F(Cold, AtItsDeadlineAFetchHasWhatTheDriveHasGiven) {
  produce_cold(0, 2);
  produce_cold(1, 3);
  ask(fetch_both(1, 500));
  EXPECT_TRUE(is_silent());
  drive.end_reads(kLog1);
  EXPECT_TRUE(is_silent());
  rig.clock.advance(500 * kMillisecond);
  const auto answer = fetched();
  ASSERT_TRUE(answer);
  EXPECT_EQ(count_of(part(*answer, 0)), 0u);
  EXPECT_EQ(count_of(part(*answer, 1)), 3u);
}

TEST_F(Cold, NoMoreIsReadThanTheAnswerMayHold) {
  for (int partition = 0; partition < 3; ++partition) produce_cold(partition, 3, 10'000);
  FetchRequest request = fetch_both();
  request.topics[0].partitions.push_back({.partition = 2, .fetch_offset = 0, .partition_max_bytes = 1 << 20});
  request.max_bytes = 1 << 20;
  ask(request);
  EXPECT_TRUE(is_silent());
  EXPECT_EQ(drive.reads, 1u);
  drive.end_reads();
  EXPECT_TRUE(is_silent()) << "the first took little: there is room for another";
  EXPECT_EQ(drive.reads, 2u);
  drive.end_reads();
  EXPECT_TRUE(is_silent());
  drive.end_reads();
  const auto answer = fetched();
  ASSERT_TRUE(answer);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(count_of(part(*answer, i)), 3u) << i;
}

TEST_F(Cold, DamagedRecordsAreAnErrorOfTheirPartitionAlone) {
  produce_cold(0, 2);
  produce_cold(1, 3);
  drive.damaged.insert(kLog0);
  ask(fetch_both());
  EXPECT_TRUE(is_silent());
  drive.end_reads(kLog0);
  EXPECT_TRUE(is_silent());
  drive.cached.erase(kLog0);  // a failed read leaves nothing: it is not begun again for this request
  drive.end_reads(kLog1);
  const auto answer = fetched();
  ASSERT_TRUE(answer);
  EXPECT_EQ(part(*answer, 0).error_code, ErrorCode::kKafkaStorageError);
  EXPECT_EQ(part(*answer, 0).high_watermark, 2);
  EXPECT_EQ(count_of(part(*answer, 1)), 3u);
  EXPECT_EQ(rig.count(Metric::reads_refused_damaged), 1u);
  EXPECT_EQ(drive.reads, 2u);
}

TEST_F(Cold, RecordsThatAreDeletedWhileTheyAreReadAreOutOfRange) {
  produce_cold(0, 2);
  ask(fetch_of(0, 0, 1, 600'000));
  EXPECT_TRUE(is_silent());
  drive.gone.insert(kLog0);
  drive.end_reads();
  const auto answer = fetched();
  ASSERT_TRUE(answer);
  EXPECT_EQ(only(*answer).error_code, ErrorCode::kOffsetOutOfRange);
  EXPECT_EQ(only(*answer).high_watermark, 2);
}

TEST_F(Cold, ATopicThatIsDeletedWhileItIsReadIsUnknown) {
  produce_cold(0, 2);
  ask(fetch_of(0, 0, 1, 600'000));
  EXPECT_TRUE(is_silent());
  rig.publish_nothing();
  rig.store->drop_log(kLog0);
  const auto answer = fetched();
  ASSERT_TRUE(answer);
  EXPECT_EQ(only(*answer).error_code, ErrorCode::kUnknownTopicOrPartition);
}

TEST_F(Cold, APeerThatHasSentItsLastGetsWhatTheDriveGives) {
  produce_cold(0, 2);
  ask(fetch_of(0, 0, 1, 600'000));
  rig.stream(client).peer_ends();
  EXPECT_TRUE(is_silent());
  EXPECT_TRUE(rig.is_open(client));
  drive.end_reads();
  const auto answer = fetched();
  ASSERT_TRUE(answer);
  EXPECT_EQ(count_of(only(*answer)), 2u);
  rig.turns(50);
  EXPECT_FALSE(rig.is_open(client));
}

TEST_F(Cold, AStopDoesNotWaitForTheDrive) {
  produce_cold(0, 2);
  ask(fetch_of(0, 0, 1, 600'000));
  EXPECT_TRUE(is_silent());
  rig.clients->stop();
  EXPECT_FALSE(rig.is_open(client));
  EXPECT_EQ(rig.broker->wakeups.next_deadline(), std::numeric_limits<Nanos>::max());
  drive.end_reads();
  rig.turns(10);
}

// ---- while it is sent

TEST_F(Cold, AnAnswerStandsStillWhileItsRecordsAreReadAgain) {
  produce_cold(0, 3);
  drive.cached.insert(kLog0);
  drive.after_look = [this] { drive.cached.clear(); };  // planned, and gone before it is sent
  ask(fetch_of(0, 0));
  rig.send(client, frame_of(list_offsets_of(0, -1), 6, 78));
  EXPECT_TRUE(is_silent());
  EXPECT_EQ(rig.count(Metric::sends_parked), 1u);
  EXPECT_EQ(rig.count(Metric::reads_parked), 0u);
  drive.after_look = [] {};
  drive.end_reads();
  const auto answer = fetched();
  ASSERT_TRUE(answer);
  EXPECT_EQ(count_of(only(*answer)), 3u);
  const auto second = rig.answer(client);
  ASSERT_TRUE(second);
  EXPECT_EQ(decode_answer<ListOffsetsResponse>(*second, 6)->correlation, 78) << "in order";
}

TEST_F(Cold, RecordsThatRotBeforeTheyAreSentEndTheConnection) {
  produce_cold(0, 3);
  drive.cached.insert(kLog0);
  drive.after_look = [this] {
    drive.cached.clear();
    drive.damaged.insert(kLog0);
  };
  ask(fetch_of(0, 0));
  EXPECT_TRUE(is_silent());
  EXPECT_TRUE(rig.is_open(client));
  drive.end_reads();
  rig.turns(50);
  EXPECT_FALSE(rig.is_open(client));
  EXPECT_EQ(rig.count(Metric::connections_closed_lost_records), 1u);
}

TEST(ColdOut, AnAnswerOfTheDriveLeavesWholeHoweverOftenItsRecordsLeaveTheCache) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    BrokerRig rig(seed);
    rig.publish(2);
    FakeDrive& drive = fake_drive();
    const uint32_t client = rig.connect();
    Prng prng(seed);
    Bytes sent[2];
    for (int i = 0; i < 40; ++i) {
      const int partition = static_cast<int>(prng.below(2));
      Bytes batch = batch_of(static_cast<int>(prng.between(1, 4)), "b", prng.one_in(2) ? 10 : prng.below(60'000));
      const auto answer = rig.call<ProduceResponse>(client, produce_of(partition, batch), 9);
      ASSERT_TRUE(answer);
      const auto head = std::span(batch).first<protocol::kBatchHeaderBytes>();
      protocol::store_base_offset(head, Offset{only(*answer).base_offset});
      protocol::store_partition_leader_epoch(head, LeaderEpoch{3});
      sent[partition].insert(sent[partition].end(), batch.begin(), batch.end());
    }
    drive.cold_below = {{kLog0, Offset{1'000'000}}, {kLog1, Offset{1'000'000}}};
    drive.after_look = [&] {
      if (prng.one_in(3)) drive.cached.clear();
    };
    FetchRequest request = fetch_of(0, 0);
    request.topics[0].partitions[0].partition_max_bytes = 50'000'000;
    request.topics[0].partitions.push_back({.partition = 1, .fetch_offset = 0, .partition_max_bytes = 50'000'000});
    rig.send(client, frame_of(request, 12, 7));
    std::optional<Bytes> frame;
    for (int i = 0; i < 20'000 && !frame; ++i) {
      if (prng.one_in(4)) drive.end_reads();
      frame = rig.answer(client, 1);
    }
    ASSERT_TRUE(frame) << "seed " << seed;
    const auto answer = decode_answer<FetchResponse>(*frame, 12)->message;
    for (size_t i = 0; i < 2; ++i) EXPECT_EQ(*answer.responses[0].partitions[i].records, sent[i]) << "seed " << seed;
  }
}

// ---- ListOffsets

TEST_F(Cold, ATimeIsLookedForOnTheDrive) {
  produce_cold(0, 3);  // all at 1'700'000'000'000
  produce(1, batch_of(1, "tail"));
  ListOffsetsRequest request = list_offsets_of(0, 1'700'000'000'000);
  request.topics[0].partitions.push_back({.partition_index = 1, .timestamp = 1'700'000'000'000});
  request.topics[0].partitions.push_back({.partition_index = 2, .timestamp = -1});
  rig.send(client, frame_of(request, 7, 5));
  EXPECT_TRUE(is_silent());
  EXPECT_EQ(rig.count(Metric::reads_parked), 1u);
  drive.end_reads();
  const auto frame = rig.answer(client);
  ASSERT_TRUE(frame);
  const auto answer = decode_answer<ListOffsetsResponse>(*frame, 7)->message;
  for (const auto& partition : answer.topics.at(0).partitions) {
    EXPECT_EQ(partition.error_code, ErrorCode::kNone);
    EXPECT_EQ(partition.offset, 0);
  }
}

TEST_F(Cold, ATimeInDamagedRecordsIsAStorageErrorAndInDeletedOnesRetriable) {
  produce_cold(0, 3);
  drive.cached = {kLog0};
  drive.damaged = {kLog0};
  const auto error_of = [&](int64_t timestamp, int16_t version) {
    return only(*rig.call<ListOffsetsResponse>(client, list_offsets_of(0, timestamp), version)).error_code;
  };
  EXPECT_EQ(error_of(5, 7), ErrorCode::kKafkaStorageError);
  EXPECT_EQ(error_of(-3, 7), ErrorCode::kKafkaStorageError);
  EXPECT_EQ(rig.count(Metric::reads_refused_damaged), 2u);
  EXPECT_EQ(error_of(-1, 7), ErrorCode::kNone);
  drive.gone = {kLog0};
  EXPECT_EQ(error_of(5, 7), ErrorCode::kOffsetNotAvailable);
  EXPECT_EQ(error_of(5, 4), ErrorCode::kLeaderNotAvailable);
}

// ---- a full drive

TEST_F(Cold, AFullDriveRefusesProducesWithARetriableErrorAndReadsGoOn) {
  produce(0, batch_of(1, "x"));
  drive.refuse = storage::AppendStatus::kDiskFull;
  const auto refused = rig.call<ProduceResponse>(producer, produce_of(0, batch_of(1, "y")), 9);
  ASSERT_TRUE(refused);
  EXPECT_EQ(only(*refused).error_code, ErrorCode::kKafkaStorageError);
  EXPECT_NE(only(*refused).error_message->find("drive is full"), std::string::npos);
  EXPECT_EQ(rig.count(Metric::produce_refused_disk_full), 1u);
  ask(fetch_of(0, 0));
  const auto answer = fetched();
  ASSERT_TRUE(answer);
  EXPECT_EQ(count_of(only(*answer)), 1u);
  drive.refuse = storage::AppendStatus::kAppended;
  produce(0, batch_of(1, "z"));
}

}  // namespace
}  // namespace penstock::testing
