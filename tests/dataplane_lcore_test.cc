// A whole lcore over loopback: kernel clients against real sockets, a real ring and a real drive.
#include <gtest/gtest.h>

#include "protocol/gen/metadata.h"
#include "tests/kafka_requests.h"
#include "tests/lcore_fixture.h"

namespace penstock::testing {
namespace {

using dataplane::Metric;
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
