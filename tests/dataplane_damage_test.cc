// Rot on the drive under a whole Store, as a client sees it: an error of its partition where records are damaged, all
// others served, beside a partition that is well.
#include <gtest/gtest.h>

#include "base/log.h"
#include "storage/segment/segment_index.h"
#include "storage/segment/segment_path.h"
#include "tests/kafka_requests.h"
#include "tests/sim/broker_rig.h"

namespace penstock::testing {
namespace {

using dataplane::Metric;
using sim::BrokerRig;
using storage::LogId;

constexpr int64_t kBatches = 300;  // 40 kB each: more than the ring's memory has
constexpr uint64_t kInterval = storage::SegmentIndex::kIntervalBytes;

class Damage : public ::testing::Test {
 protected:
  Damage() : rig(1) {
    set_log_sink([](LogLevel, std::string_view) {});
    rig.publish(2);
    client = rig.connect();
    producer = rig.connect();
    for (int64_t i = 0; i < kBatches; ++i) {
      produce(0, batch_of(1, "x", 40'000));
      if (i < 5) produce(1, batch_of(1, "y", 100));
    }
    rig.turns(20'000);  // all of it is written
  }
  void produce(int partition, Bytes batch) {
    batch_bytes = partition == 0 ? batch.size() : batch_bytes;
    const auto answer = rig.call<ProduceResponse>(producer, produce_of(partition, std::move(batch)), 9);
    ASSERT_TRUE(answer);
    ASSERT_EQ(only(*answer).error_code, ErrorCode::kNone);
  }
  static FetchRequest fetch_both(int64_t offset) {
    FetchRequest request = fetch_of(0, offset);
    request.topics[0].partitions[0].partition_max_bytes = 2 << 20;
    request.topics[0].partitions.push_back({.partition = 1, .fetch_offset = 0, .partition_max_bytes = 1 << 20});
    return request;
  }
  std::string path() const { return storage::segment_path("data", LogId{1}, {Offset{0}, 0}); }
  // Offsets whose batches have bytes in the interval of place.
  std::vector<int64_t> lost_at(uint64_t place) const {
    const uint64_t from = align_down(place, kInterval);
    std::vector<int64_t> lost;
    for (auto i = static_cast<int64_t>(from / batch_bytes); static_cast<uint64_t>(i) * batch_bytes < from + kInterval;
         ++i)
      lost.push_back(i);
    return lost;
  }

  BrokerRig rig;
  uint32_t client;
  uint32_t producer;
  size_t batch_bytes = 0;
};

// Bytes that rot after they were promised end the connection that has part of the answer; the next one is told.
TEST_F(Damage, TakesNothingButItsOwnRecordsFromAConsumer) {
  const uint64_t place = 3 * 256 * kKiB + 5'000;
  rig.disk.flip_bit(path(), place, 2);
  const auto lost = lost_at(place);
  std::vector<int64_t> refused;
  int closed = 0;
  for (int64_t offset = 0; offset < kBatches && closed < 5;) {
    const auto answer = rig.call<FetchResponse>(client, fetch_both(offset), 12);
    if (!answer) {
      ASSERT_FALSE(rig.is_open(client));
      closed += 1;
      client = rig.connect();
      continue;
    }
    const auto& parts = answer->responses.at(0).partitions;
    EXPECT_EQ(parts.at(1).error_code, ErrorCode::kNone);
    EXPECT_EQ(records_of(*parts.at(1).records).size(), 5u) << "the healthy one, at offset " << offset;
    if (parts.at(0).error_code != ErrorCode::kNone) {
      EXPECT_EQ(parts.at(0).error_code, ErrorCode::kKafkaStorageError);
      refused.push_back(offset++);
      continue;
    }
    const size_t whole = parts.at(0).records->size() / batch_bytes;
    ASSERT_GT(whole, 0u);
    EXPECT_EQ(records_of(std::span(*parts.at(0).records).first(whole * batch_bytes)).size(), whole);
    offset += static_cast<int64_t>(whole);
  }
  EXPECT_EQ(refused, lost);
  EXPECT_EQ(closed, 1);
  EXPECT_EQ(rig.count(Metric::connections_closed_lost_records), 1u);
  EXPECT_EQ(rig.count(Metric::reads_refused_damaged), lost.size());
  EXPECT_EQ(rig.storage_counters.get(storage::Metric::segments_damaged), 1u);
}

}  // namespace
}  // namespace penstock::testing
