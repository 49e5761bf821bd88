// compression.type of a topic: batches in another codec get the topic's before they are appended, on a thread beside
// the lcore, and everything else about a Produce stays as it is (docs/compatibility.md, line 46).
#include <gtest/gtest.h>

#include <optional>
#include <thread>

#include "protocol/compression/batches.h"
#include "tests/kafka_requests.h"
#include "tests/sim/broker_rig.h"
#include "tests/sim/lcores_rig.h"

namespace penstock::testing {
namespace {

using dataplane::Metric;
using dataplane::StoredCodec;
using protocol::Compression;
using sim::BrokerRig;
using sim::LcoresRig;

constexpr Compression kCodecs[] = {Compression::kNone, Compression::kGzip, Compression::kSnappy, Compression::kLz4,
                                   Compression::kZstd};
constexpr size_t kMost = 1 << 20;

int usual_level(Compression codec) { return protocol::levels_of(codec).usual; }

Bytes batch_in(Compression codec, int records, std::string_view value, size_t bytes = 0) {
  return protocol::recompressed(batch_of(records, value, bytes), codec, usual_level(codec), kMost).value();
}

// Kafka's bytes of a stored batch, uncompressed, so that records_of() reads them.
Bytes plain(std::span<const std::byte> batch) {
  return protocol::recompressed(batch, Compression::kNone, 0, kMost).value();
}

TEST(Recompress, EveryCodecIntoEveryOther) {
  for (const Compression stored : kCodecs) {
    BrokerRig rig(1);
    rig.stored_as = StoredCodec{stored, usual_level(stored)};
    rig.publish(1);
    const uint32_t client = rig.connect();
    int64_t offset = 0;
    for (const Compression sent : kCodecs) {
      const Bytes batch = batch_in(sent, 3, "value", 500);
      const auto produced = rig.call<ProduceResponse>(client, produce_of(0, batch), 9);
      ASSERT_TRUE(produced);
      ASSERT_EQ(only(*produced).error_code, ErrorCode::kNone);
      EXPECT_EQ(only(*produced).base_offset, offset);
      const auto fetched = rig.call<FetchResponse>(client, fetch_of(0, offset), 12);
      ASSERT_TRUE(fetched && only(*fetched).records);
      const Bytes& found = *only(*fetched).records;
      EXPECT_TRUE(protocol::batch_crc_ok(found));
      EXPECT_EQ(protocol::view_of(found).compression(), stored);
      if (sent == stored) {
        EXPECT_EQ(found.size(), batch.size());
      }
      const auto records = records_of(plain(found));
      ASSERT_EQ(records.size(), 3u);
      for (size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(records[i].first, offset + static_cast<int64_t>(i));
        EXPECT_EQ(records[i].second, records_of(plain(batch))[i].second);
      }
      offset += 3;
    }
    EXPECT_EQ(rig.count(Metric::batches_recompressed), std::size(kCodecs) - 1);
  }
}

TEST(Recompress, WhatTheProducerChoseStaysOtherwise) {
  BrokerRig rig(2);
  rig.publish(1);
  const uint32_t client = rig.connect();
  ASSERT_TRUE(rig.call<ProduceResponse>(client, produce_of(0, batch_in(Compression::kLz4, 2, "x")), 9));
  const auto fetched = rig.call<FetchResponse>(client, fetch_of(0, 0), 12);
  EXPECT_EQ(protocol::view_of(*only(*fetched).records).compression(), Compression::kLz4);
  EXPECT_EQ(rig.count(Metric::batches_recompressed), 0u);
}

// Four records; without with_keys the second and the fourth have none.
Bytes keyed_batch(Compression codec, bool with_keys) {
  protocol::BatchBuilder builder;
  const std::string key = "key", value = "value";
  for (int i = 0; i < 4; ++i) {
    protocol::BatchBuilder::Bytes bytes;
    if (with_keys || i % 2 == 0) bytes = std::as_bytes(std::span(key));
    builder.add(1, bytes, std::as_bytes(std::span(value)));
  }
  return protocol::recompressed(builder.finish(), codec, usual_level(codec), kMost).value();
}

// Every codec in which a batch may come, into a compacted topic of this one, or of the producer's choice.
void expect_keyless_refused(std::optional<Compression> stored) {
  BrokerRig rig(4);
  rig.compacted = true;
  if (stored) rig.stored_as = StoredCodec{*stored, usual_level(*stored)};
  rig.publish(1);
  const uint32_t client = rig.connect();
  for (const Compression codec : kCodecs) {
    SCOPED_TRACE(protocol::to_string(codec));
    const int64_t before = rig.store->offsets(storage::LogId{1})->log_end_offset.value();
    const auto refused = rig.call<ProduceResponse>(client, produce_of(0, keyed_batch(codec, false)), 9);
    ASSERT_TRUE(refused);
    EXPECT_EQ(only(*refused).error_code, ErrorCode::kInvalidRecord);
    ASSERT_EQ(only(*refused).record_errors.size(), 2u);
    EXPECT_EQ(only(*refused).record_errors[0].batch_index, 1);
    EXPECT_EQ(only(*refused).record_errors[1].batch_index, 3);
    const auto taken = rig.call<ProduceResponse>(client, produce_of(0, keyed_batch(codec, true)), 9);
    ASSERT_TRUE(taken);
    EXPECT_EQ(only(*taken).error_code, ErrorCode::kNone);
    EXPECT_EQ(only(*taken).base_offset, before) << "nothing of the other was stored";
    const auto fetched = rig.call<FetchResponse>(client, fetch_of(0, before), 12);
    ASSERT_TRUE(fetched && only(*fetched).records);
    EXPECT_EQ(protocol::view_of(*only(*fetched).records).compression(), stored.value_or(codec));
  }
}

TEST(CompactedTopic, RecordsWithoutAKeyAreRefusedByNumberCompressedOrNot) { expect_keyless_refused(std::nullopt); }

TEST(CompactedTopic, RecordsWithoutAKeyAreRefusedWhateverTheTopicsCodec) {
  for (const Compression stored : kCodecs) {
    SCOPED_TRACE(protocol::to_string(stored));
    expect_keyless_refused(stored);
  }
}

Bytes batch_at(int64_t first_ms, int64_t second_ms) {
  protocol::BatchBuilder builder;
  builder.add(first_ms, std::nullopt, std::nullopt);
  builder.add(second_ms, std::nullopt, std::nullopt);
  return builder.finish();
}

constexpr storage::LogConfig kAMinute{.timestamp_before_max_ms = 60'000, .timestamp_after_max_ms = 60'000};

class RecompressToZstd : public ::testing::Test {
 protected:
  RecompressToZstd() : rig(3) {
    rig.stored_as = StoredCodec{Compression::kZstd, 3};
    rig.publish(2);
    client = rig.connect();
  }
  ErrorCode error_of(Bytes batch) {
    const auto answer = rig.call<ProduceResponse>(client, produce_of(0, std::move(batch)), 9);
    return answer ? only(*answer).error_code : ErrorCode::kUnknownServerError;
  }
  BrokerRig rig;
  uint32_t client;
};

TEST_F(RecompressToZstd, BatchesThatAreNoneAreRefusedAndNothingIsAppended) {
  Bytes rotten = batch_in(Compression::kGzip, 2, "x", 300);
  rotten.back() ^= std::byte{1};
  EXPECT_EQ(error_of(rotten), ErrorCode::kCorruptMessage) << "a good checksum is not made of a bad one";
  Bytes no_stream = batch_in(Compression::kLz4, 2, "x", 300);
  no_stream[protocol::kBatchHeaderBytes] ^= std::byte{0xff};
  protocol::seal_batch(no_stream);
  EXPECT_EQ(error_of(no_stream), ErrorCode::kInvalidRecord);
  EXPECT_EQ(rig.storage_counters.get(storage::Metric::batches_appended), 0u);
  EXPECT_EQ(error_of(batch_in(Compression::kLz4, 2, "x")), ErrorCode::kNone) << "the connection lives on";
}

// What storage would see of them is compressed.
TEST_F(RecompressToZstd, RecordsThatContradictTheirHeaderAreRefused) {
  Bytes longer = batch_of(3, "x", 300);
  longer[protocol::kBatchHeaderBytes] ^= std::byte{2};  // the first record's length
  protocol::seal_batch(longer);
  EXPECT_EQ(error_of(longer), ErrorCode::kInvalidRecord);
  Bytes trailing = batch_of(3, "x", 300);
  trailing.resize(trailing.size() + 5);
  protocol::seal_batch(trailing);
  EXPECT_EQ(error_of(trailing), ErrorCode::kInvalidRecord);
  EXPECT_EQ(rig.storage_counters.get(storage::Metric::batches_appended), 0u);
  EXPECT_EQ(error_of(batch_of(3, "x", 300)), ErrorCode::kNone) << "the connection lives on";
}

TEST_F(RecompressToZstd, EachRecordsTimeIsHeldAgainstTheTopicsBounds) {
  rig.store->set_config(storage::LogId{1}, kAMinute);
  const int64_t now = rig.clock.wall_ms();
  EXPECT_EQ(error_of(batch_at(now, now - 120'000)), ErrorCode::kInvalidTimestamp);
  EXPECT_EQ(error_of(batch_at(now, now + 120'000)), ErrorCode::kInvalidTimestamp);
  Bytes lies = batch_at(now, now + 120'000);
  store_be(lies.data() + protocol::BatchLayout::kMaxTimestamp, now);
  protocol::seal_batch(lies);
  EXPECT_EQ(error_of(lies), ErrorCode::kInvalidTimestamp);
  EXPECT_EQ(error_of(batch_at(now, now - 1000)), ErrorCode::kNone);
  EXPECT_EQ(error_of(batch_at(now, now + 1000)), ErrorCode::kNone);
}

TEST_F(RecompressToZstd, RecordsThatInflateBeyondARequestAreRefused) {
  rig.options.request_max_bytes = 2 << 20;
  EXPECT_EQ(error_of(protocol::recompressed(batch_of(1, "x", 3 << 20), Compression::kGzip, 9, 8 << 20).value()),
            ErrorCode::kMessageTooLarge);
}

TEST_F(RecompressToZstd, TheTopicsLimitHoldsForWhatIsStored) {
  rig.stored_as = StoredCodec{Compression::kNone, 0};
  rig.publish(2);
  const Bytes small = protocol::recompressed(batch_of(1, "x", 1 << 21), Compression::kGzip, 9, 8 << 20).value();
  ASSERT_LT(small.size(), 100'000u);
  EXPECT_EQ(error_of(small), ErrorCode::kMessageTooLarge);
}

TEST_F(RecompressToZstd, AnswersKeepTheirOrderAndRepeatsTheirOffset) {
  rig.recompressor_works = false;
  const protocol::BatchBuilder::Options options{.producer_id = ProducerId{7}, .producer_epoch = 0, .base_sequence = 0};
  protocol::BatchBuilder builder(options);
  builder.add(1, std::nullopt, std::nullopt);
  const Bytes first = builder.finish();
  for (int i = 0; i < 3; ++i)
    rig.send(client, frame_of(produce_of(i == 1 ? 1 : 0, i == 1 ? batch_of(1, "b") : first), 9, i));
  rig.turns(20);
  EXPECT_FALSE(rig.stream(client).next_answer());
  rig.recompressor_works = true;
  for (int i = 0; i < 3; ++i) {
    const auto frame = rig.answer(client);
    ASSERT_TRUE(frame);
    const auto answer = decode_answer<ProduceResponse>(*frame, 9);
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->correlation, i);
    EXPECT_EQ(only(answer->message).error_code, ErrorCode::kNone);
    EXPECT_EQ(only(answer->message).base_offset, 0) << i;
  }
}

TEST_F(RecompressToZstd, ManyAtOnceWaitForTheirTurnAndAllAreServed) {
  rig.recompressor_works = false;
  std::vector<uint32_t> clients;
  for (int i = 0; i < 90; ++i) clients.push_back(rig.connect());  // 90 MB, of which 64 MiB may be there
  for (const uint32_t c : clients) rig.send(c, frame_of(produce_of(0, batch_of(1, "x", 1'000'000)), 9, 1));
  rig.turns(60);
  EXPECT_LT(rig.count(Metric::batches_recompressed), 90u);
  rig.recompressor_works = true;
  for (const uint32_t c : clients) ASSERT_TRUE(rig.answer(c, 20'000));
  EXPECT_EQ(rig.count(Metric::batches_recompressed), 90u);
}

TEST_F(RecompressToZstd, WhoHangsUpIsForgotten) {
  rig.recompressor_works = false;
  rig.send(client, frame_of(produce_of(0, batch_of(1, "x")), 9, 1));
  rig.turns(10);
  rig.clients->close_all();
  rig.recompressor_works = true;
  rig.turns(10);
  EXPECT_EQ(rig.broker->parts_out, 0u);
  EXPECT_EQ(rig.storage_counters.get(storage::Metric::batches_appended), 0u);
}

// Each partition on its lcore, from connections of every lcore, two partitions a request.
TEST(RecompressLcores, PartitionsOfOthersGetTheirCodecToo) {
  LcoresRig rig(4, 2);
  rig.stored_as = StoredCodec{Compression::kLz4, 9};
  rig.publish(4);
  for (uint16_t lcore = 0; lcore < 2; ++lcore) {
    const auto client = rig.connect(lcore);
    for (int round = 0; round < 5; ++round) {
      ProduceRequest request = produce_of(0, batch_of(2, "a", 100));
      for (int p = 1; p < 4; ++p)
        request.topic_data[0].partition_data.push_back(
            {.index = p, .records = batch_in(Compression::kGzip, 2, "b", 100)});
      const auto produced = rig.call<ProduceResponse>(client, request, 9);
      ASSERT_TRUE(produced);
      for (const auto& partition : produced->responses[0].partition_responses) {
        ASSERT_EQ(partition.error_code, ErrorCode::kNone);
        EXPECT_EQ(partition.base_offset, 2 * (lcore * 5 + round));
        const auto fetched = rig.call<FetchResponse>(client, fetch_of(partition.index, partition.base_offset), 12);
        ASSERT_TRUE(fetched && only(*fetched).records);
        EXPECT_EQ(protocol::view_of(*only(*fetched).records).compression(), Compression::kLz4);
        EXPECT_EQ(records_of(plain(*only(*fetched).records)).size(), 2u);
      }
    }
  }
}

TEST(RecompressLcores, TheTimesThatWereSeenGoAlongToTheOwner) {
  LcoresRig rig(4, 2);
  rig.stored_as = StoredCodec{Compression::kLz4, 9};
  rig.publish(2);
  rig.lcore(1).store->set_config(LcoresRig::log_of(1), kAMinute);
  const auto client = rig.connect(0);
  const int64_t now = rig.clock.wall_ms();
  const auto error_of = [&](const Bytes& batch) {
    const auto answer = rig.call<ProduceResponse>(client, produce_of(1, batch), 9);
    return answer ? only(*answer).error_code : ErrorCode::kUnknownServerError;
  };
  EXPECT_EQ(error_of(batch_at(now, now - 120'000)), ErrorCode::kInvalidTimestamp);
  EXPECT_EQ(error_of(batch_at(now, now - 1000)), ErrorCode::kNone);
}

// The thread itself: everything that goes there comes home, and it ends when it is told to.
TEST(RecompressThread, WorksAndStops) {
  const Doorbell bell;
  dataplane::Recompressor recompressor(bell);
  recompressor.start();
  size_t home = 0;
  for (int sent = 0; home < 200;) {
    if (sent < 200) {
      auto parcel = dataplane::make_parcel(
          0, dataplane::ConnectionId{1}, 1, 1,
          dataplane::RecompressPart{
              .batch = batch_of(1, "x", 2000), .codec = Compression::kZstd, .level = 3, .records_max = kMost});
      if (recompressor.try_send(parcel)) ++sent;
    }
    while (const auto parcel = recompressor.next()) {
      ++home;
      const auto& part = std::get<dataplane::RecompressPart>(parcel->part);
      EXPECT_EQ(part.error, ErrorCode::kNone);
      EXPECT_EQ(protocol::view_of(part.batch).compression(), Compression::kZstd);
    }
    std::this_thread::yield();
  }
  recompressor.stop();
}

}  // namespace
}  // namespace penstock::testing
