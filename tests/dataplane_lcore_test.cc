// A whole lcore over loopback: kernel clients against real sockets, a real ring and a real drive.
#include <gtest/gtest.h>

#include "protocol/gen/fetch.h"
#include "protocol/gen/list_offsets.h"
#include "protocol/gen/metadata.h"
#include "protocol/gen/produce.h"
#include "tests/lcore_fixture.h"

namespace penstock::testing {
namespace {

using dataplane::Metric;
using protocol::FetchRequest;
using protocol::FetchResponse;
using protocol::ListOffsetsRequest;
using protocol::ListOffsetsResponse;
using protocol::ProduceRequest;
using protocol::ProduceResponse;

ProduceRequest produce_of(int partition, Bytes batch, int16_t acks = -1) {
  ProduceRequest request;
  request.acks = acks;
  request.timeout_ms = 30'000;
  auto& topic = request.topic_data.emplace_back();
  topic.name = "t";
  auto& data = topic.partition_data.emplace_back();
  data.index = partition;
  data.records = std::move(batch);
  return request;
}

FetchRequest fetch_of(int partition, int64_t offset, int32_t min_bytes = 1, int32_t max_wait_ms = 60'000) {
  FetchRequest request;
  request.max_wait_ms = max_wait_ms;
  request.min_bytes = min_bytes;
  auto& topic = request.topics.emplace_back();
  topic.topic = "t";
  auto& data = topic.partitions.emplace_back();
  data.partition = partition;
  data.fetch_offset = offset;
  data.partition_max_bytes = 1 << 20;
  return request;
}

TEST(Lcore, WhatWasProducedIsFetched) {
  LcoreFixture broker;
  WireClient client(broker.port());
  const auto produced = client.call<ProduceResponse>(produce_of(0, batch_of(3, "a")), 9);
  ASSERT_TRUE(produced);
  EXPECT_EQ(produced->correlation, 7);
  EXPECT_EQ(produced->message.responses[0].partition_responses[0].error_code, ErrorCode::kNone);
  EXPECT_EQ(produced->message.responses[0].partition_responses[0].base_offset, 0);
  const auto again = client.call<ProduceResponse>(produce_of(0, batch_of(2, "b")), 9);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->message.responses[0].partition_responses[0].base_offset, 3);
  const auto fetched = client.call<FetchResponse>(fetch_of(0, 0), 12);
  ASSERT_TRUE(fetched);
  const auto& partition = fetched->message.responses[0].partitions[0];
  EXPECT_EQ(partition.high_watermark, 5);
  const auto records = records_of(*partition.records);
  ASSERT_EQ(records.size(), 5u);
  EXPECT_EQ(records[0], (std::pair<int64_t, std::string>(0, "a0")));
  EXPECT_EQ(records[4], (std::pair<int64_t, std::string>(4, "b1")));
  EXPECT_TRUE(broker.stop());
}

}  // namespace
}  // namespace penstock::testing
