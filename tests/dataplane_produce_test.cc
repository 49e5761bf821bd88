// Produce: every check that Kafka makes and its error code, versions 3 to 13, duplicates, and the suspended request.
#include <gtest/gtest.h>

#include "protocol/record_batch.h"
#include "tests/kafka_requests.h"
#include "tests/sim/broker_rig.h"

namespace penstock::testing {
namespace {

using protocol::BatchLayout;
using sim::BrokerRig;

class Produce : public ::testing::Test {
 protected:
  Produce() : rig(1) {
    rig.publish(2);
    client = rig.connect();
  }
  ErrorCode error_of(const ProduceRequest& request, int16_t version = 9) {
    const auto answer = rig.call<ProduceResponse>(client, request, version);
    if (!answer) return ErrorCode::kUnknownServerError;
    return only(*answer).error_code;
  }
  // A batch with one field changed and the checksum right again.
  template <class T>
  static Bytes altered(size_t at, T value) {
    Bytes batch = batch_of(3, "x");
    store_be(batch.data() + at, value);
    protocol::seal_batch(batch);
    return batch;
  }
  uint64_t appended() const { return rig.storage_counters.get(storage::Metric::batches_appended); }

  BrokerRig rig;
  uint32_t client;
};

TEST_F(Produce, EveryVersionIsServed) {
  for (int16_t version = 3; version <= 13; ++version) {
    ProduceRequest request = produce_of(0, batch_of(2, "v"));
    if (version >= 13) {
      request.topic_data[0].name.clear();
      request.topic_data[0].topic_id.bytes[0] = 9;
    }
    const auto answer = rig.call<ProduceResponse>(client, request, version);
    ASSERT_TRUE(answer) << version;
    EXPECT_EQ(only(*answer).error_code, ErrorCode::kNone) << version;
    EXPECT_EQ(only(*answer).base_offset, 2 * (version - 3)) << version;
    EXPECT_EQ(only(*answer).log_append_time_ms, -1);
    EXPECT_EQ(only(*answer).log_start_offset, version >= 5 ? 0 : -1);
  }
}

TEST_F(Produce, UnknownPlaces) {
  EXPECT_EQ(error_of(produce_of(2, batch_of(1, "x"))), ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(error_of(produce_of(-1, batch_of(1, "x"))), ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(error_of(produce_of(0, batch_of(1, "x"), -1, "no such")), ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(error_of(produce_of(0, batch_of(1, "x"), -1, "__i")), ErrorCode::kInvalidTopicException);
  ProduceRequest by_id = produce_of(0, batch_of(1, "x"));
  by_id.topic_data[0].topic_id.bytes[0] = 77;
  EXPECT_EQ(error_of(by_id, 13), ErrorCode::kUnknownTopicId);
  EXPECT_EQ(appended(), 0u);
}

TEST_F(Produce, AcksThatDoNotExist) {
  for (const int16_t acks : {2, -2, 100}) {
    EXPECT_EQ(error_of(produce_of(0, batch_of(1, "x"), acks)), ErrorCode::kInvalidRequiredAcks) << acks;
  }
  EXPECT_EQ(error_of(produce_of(0, batch_of(1, "x"), 1)), ErrorCode::kNone);
}

TEST_F(Produce, BatchesThatAreNone) {
  EXPECT_EQ(error_of(produce_of(0, {})), ErrorCode::kInvalidRecord);
  ProduceRequest null = produce_of(0, {});
  null.topic_data[0].partition_data[0].records.reset();
  EXPECT_EQ(error_of(null), ErrorCode::kInvalidRecord);
  Bytes two = batch_of(1, "a");
  const Bytes second = batch_of(1, "b");
  two.insert(two.end(), second.begin(), second.end());
  EXPECT_EQ(error_of(produce_of(0, two)), ErrorCode::kInvalidRecord);
  Bytes cut = batch_of(3, "x");
  cut.pop_back();
  EXPECT_NE(error_of(produce_of(0, cut)), ErrorCode::kNone);
  EXPECT_NE(error_of(produce_of(0, Bytes(30))), ErrorCode::kNone);
  Bytes wrong_crc = batch_of(3, "x");
  wrong_crc.back() ^= std::byte{1};
  EXPECT_EQ(error_of(produce_of(0, wrong_crc)), ErrorCode::kCorruptMessage);
  for (const int8_t magic : {0, 1, 3}) {
    EXPECT_NE(error_of(produce_of(0, altered<int8_t>(BatchLayout::kMagic, magic))), ErrorCode::kNone);
  }
  EXPECT_EQ(error_of(produce_of(0, altered<int32_t>(BatchLayout::kRecordsCount, 2))), ErrorCode::kInvalidRecord);
  EXPECT_EQ(error_of(produce_of(0, altered<int32_t>(BatchLayout::kLastOffsetDelta, 7))), ErrorCode::kInvalidRecord);
  EXPECT_EQ(error_of(produce_of(0, altered<int16_t>(BatchLayout::kAttributes, protocol::kControlBit))),
            ErrorCode::kInvalidRecord);
  EXPECT_EQ(appended(), 0u);
  EXPECT_EQ(rig.count(dataplane::Metric::produce_refused), 12u);
}

TEST_F(Produce, TheRecordsMustBeWhatTheHeaderSays) {
  Bytes batch = batch_of(3, "x");
  batch[protocol::kBatchHeaderBytes] = std::byte{0x7f};  // the first record's length
  protocol::seal_batch(batch);
  EXPECT_EQ(error_of(produce_of(0, batch)), ErrorCode::kInvalidRecord);
  EXPECT_EQ(appended(), 0u);
}

TEST_F(Produce, TransactionsAreRefusedUntilTheyAreServed) {
  EXPECT_EQ(
      error_of(produce_of(
          0, batch_of(1, "x", 0,
                      {.producer_id = ProducerId{5}, .producer_epoch = 0, .base_sequence = 0, .transactional = true}))),
      ErrorCode::kInvalidTxnState);
  ProduceRequest request = produce_of(0, batch_of(1, "x"));
  request.transactional_id = "tx";
  EXPECT_EQ(error_of(request), ErrorCode::kInvalidTxnState);
  EXPECT_EQ(appended(), 0u);
}

TEST_F(Produce, TheTopicsLimitIsComparedWithTheWholeBatch) {
  const size_t overhead = batch_of(1, "x", 100'000).size() - 100'000;
  const auto batch_bytes = [&](size_t n) { return batch_of(1, "x", n - overhead); };
  EXPECT_EQ(error_of(produce_of(0, batch_bytes(1'048'588))), ErrorCode::kNone);
  EXPECT_EQ(error_of(produce_of(0, batch_bytes(1'048'589))), ErrorCode::kMessageTooLarge);
}

TEST_F(Produce, ZstdFromVersionSeven) {
  const Bytes batch = altered<int16_t>(BatchLayout::kAttributes, 4);
  EXPECT_EQ(error_of(produce_of(0, batch), 6), ErrorCode::kUnsupportedCompressionType);
  EXPECT_EQ(error_of(produce_of(0, batch), 7), ErrorCode::kNone);
}

TEST_F(Produce, OneBadPartitionDoesNotStopTheOthers) {
  ProduceRequest request = produce_of(0, batch_of(1, "a"));
  auto& partitions = request.topic_data[0].partition_data;
  partitions.push_back({.index = 5, .records = batch_of(1, "b")});
  partitions.push_back({.index = 1, .records = batch_of(1, "c")});
  auto& other = request.topic_data.emplace_back();
  other.name = "nope";
  other.partition_data.push_back({.index = 0, .records = batch_of(1, "d")});
  request.topic_data.emplace_back().name = "empty";
  const auto answer = rig.call<ProduceResponse>(client, request, 9);
  ASSERT_TRUE(answer);
  ASSERT_EQ(answer->responses.size(), 3u);
  const auto& first = answer->responses[0];
  EXPECT_EQ(first.name, "t");
  EXPECT_EQ(first.partition_responses[0].error_code, ErrorCode::kNone);
  EXPECT_EQ(first.partition_responses[1].error_code, ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(first.partition_responses[1].index, 5);
  EXPECT_EQ(first.partition_responses[1].base_offset, -1);
  EXPECT_EQ(first.partition_responses[2].error_code, ErrorCode::kNone);
  EXPECT_EQ(answer->responses[1].partition_responses[0].error_code, ErrorCode::kUnknownTopicOrPartition);
  EXPECT_TRUE(answer->responses[2].partition_responses.empty());
  EXPECT_EQ(appended(), 2u);
}

TEST_F(Produce, NothingIsAppendedOfARequestThatBreaksOff) {
  Bytes frame = frame_of(produce_of(0, batch_of(3, "x")), 9, 1);
  frame.resize(frame.size() - 1);
  store_be(frame.data(), static_cast<int32_t>(frame.size() - 4));
  rig.send(client, frame);
  rig.turns(100);
  EXPECT_FALSE(rig.is_open(client));
  EXPECT_EQ(rig.count(dataplane::Metric::connections_closed_bad_request), 1u);
  EXPECT_EQ(appended(), 0u);
}

TEST_F(Produce, ARepeatIsAnsweredWithTheFirstOffset) {
  const auto send = [&](int32_t sequence, int16_t epoch = 0) {
    const auto answer = rig.call<ProduceResponse>(
        client,
        produce_of(
            0, batch_of(2, "i", 0, {.producer_id = ProducerId{7}, .producer_epoch = epoch, .base_sequence = sequence})),
        9);
    return std::pair(only(*answer).error_code, only(*answer).base_offset);
  };
  EXPECT_EQ(send(0), std::pair(ErrorCode::kNone, int64_t{0}));
  EXPECT_EQ(send(2), std::pair(ErrorCode::kNone, int64_t{2}));
  EXPECT_EQ(send(0), std::pair(ErrorCode::kNone, int64_t{0}));
  EXPECT_EQ(send(8).first, ErrorCode::kOutOfOrderSequenceNumber);
  EXPECT_EQ(send(0, 1).first, ErrorCode::kNone);
  EXPECT_EQ(send(4, 0).first, ErrorCode::kInvalidProducerEpoch);
  EXPECT_EQ(appended(), 3u);
}

// The device is behind: the second partition of a request is held back while the first is in already.
TEST(ProduceBusy, ASuspendedRequestGoesOnWhereItStopped) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    BrokerRig rig(seed);
    rig.publish(8);
    rig.disk.faults().delay_min = rig.disk.faults().delay_max = 5 * kMillisecond;
    ProduceRequest request = produce_of(0, batch_of(1, "p0/", 900'000));
    for (int i = 1; i < 8; ++i) {
      request.topic_data[0].partition_data.push_back(
          {.index = i, .records = batch_of(1, "p" + std::to_string(i) + "/", 900'000)});
    }
    const uint32_t client = rig.connect();
    const auto answer = rig.call<ProduceResponse>(client, request, 9);
    ASSERT_TRUE(answer) << "seed " << seed;
    for (const auto& partition : answer->responses[0].partition_responses) {
      EXPECT_EQ(partition.error_code, ErrorCode::kNone);
      EXPECT_EQ(partition.base_offset, 0);
    }
    EXPECT_EQ(rig.storage_counters.get(storage::Metric::batches_appended), 8u);
  }
}

// An lcore that is held back does nothing until the device has: it may sleep.
TEST(ProduceBusy, NobodyIsWokenBeforeTheDeviceHasDoneSomething) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    BrokerRig rig(seed);
    rig.publish(1);
    rig.disk.faults().delay_min = rig.disk.faults().delay_max = kSecond;
    std::vector<uint32_t> clients;
    for (int i = 0; i < 8; ++i) {
      clients.push_back(rig.connect());
      rig.send(clients.back(), frame_of(produce_of(0, batch_of(1, "x", 900'000)), 9, i));
    }
    while (rig.storage_counters.get(storage::Metric::batches_appended) < 5) rig.turn();
    for (const uint32_t client : clients) {
      while (rig.stream(client).undelivered() > 0) rig.turn();
    }
    const uint64_t frames = rig.storage_counters.get(storage::Metric::ring_frames);
    for (int i = 0; i < 100; ++i) {
      rig.turn();
      EXPECT_EQ(rig.woken, 0u) << "seed " << seed;
    }
    EXPECT_FALSE(rig.broker->wakeups.retrying());
    EXPECT_EQ(rig.storage_counters.get(storage::Metric::ring_frames), frames);
    EXPECT_EQ(rig.storage_counters.get(storage::Metric::batches_appended), 5u);
    rig.turn_time = 100 * kMillisecond;
    for (const uint32_t client : clients) ASSERT_TRUE(rig.answer(client)) << "seed " << seed;
  }
}

TEST(ProduceBusy, WhoWaitsForADeviceThatFailsIsToldSo) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    BrokerRig rig(seed);
    rig.publish(1);
    rig.disk.faults().delay_min = rig.disk.faults().delay_max = kSecond;
    rig.disk.faults().fail_write_in = 1;
    std::vector<uint32_t> clients;
    for (int i = 0; i < 8; ++i) {
      clients.push_back(rig.connect());
      rig.send(clients.back(), frame_of(produce_of(0, batch_of(1, "x", 900'000)), 9, i));
    }
    for (const uint32_t client : clients) {
      while (rig.stream(client).undelivered() > 0) rig.turn();
    }
    rig.clock.advance(kSecond);
    size_t told = 0;
    for (const uint32_t client : clients) {
      const auto frame = rig.answer(client, 500);
      if (!frame) continue;
      EXPECT_EQ(only(decode_answer<ProduceResponse>(*frame, 9)->message).error_code, ErrorCode::kKafkaStorageError);
      ++told;
    }
    EXPECT_EQ(told, 3u) << "seed " << seed;  // the five before them wait for data of which nobody knows: closed
  }
}

TEST(ProduceFull, AFullRingIsARetriableErrorWithAMessage) {
  BrokerRig rig(1);
  rig.publish(1);
  rig.disk.faults().fail_writes_always = "data/logs";  // so nothing of it becomes free
  const uint32_t client = rig.connect();
  for (int i = 0; i < 20; ++i) {
    const auto answer = rig.call<ProduceResponse>(client, produce_of(0, batch_of(1, "x", 900'000)), 9);
    ASSERT_TRUE(answer);
    if (only(*answer).error_code == ErrorCode::kNone) continue;
    EXPECT_EQ(only(*answer).error_code, ErrorCode::kKafkaStorageError);
    EXPECT_TRUE(is_retriable(only(*answer).error_code));
    EXPECT_TRUE(only(*answer).error_message.has_value());
    return;
  }
  FAIL() << "8 MiB of ring took 18 MB";
}

}  // namespace
}  // namespace penstock::testing
