// Short ways to the requests that the dataplane's tests send, to topic "t".
#pragma once

#include <utility>

#include "protocol/gen/fetch.h"
#include "protocol/gen/list_offsets.h"
#include "protocol/gen/produce.h"
#include "tests/kafka_wire.h"

namespace penstock::testing {

using protocol::FetchRequest;
using protocol::FetchResponse;
using protocol::ListOffsetsRequest;
using protocol::ListOffsetsResponse;
using protocol::ProduceRequest;
using protocol::ProduceResponse;

inline ProduceRequest produce_of(int partition, Bytes batch, int16_t acks = -1, std::string topic_name = "t") {
  ProduceRequest request;
  request.acks = acks;
  request.timeout_ms = 30'000;
  auto& topic = request.topic_data.emplace_back();
  topic.name = std::move(topic_name);
  auto& data = topic.partition_data.emplace_back();
  data.index = partition;
  data.records = std::move(batch);
  return request;
}

inline const ProduceResponse::PartitionProduceResponse& only(const ProduceResponse& response) {
  return response.responses.at(0).partition_responses.at(0);
}

inline FetchRequest fetch_of(int partition, int64_t offset, int32_t min_bytes = 1, int32_t max_wait_ms = 1000) {
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

inline const FetchResponse::PartitionData& only(const FetchResponse& response) {
  return response.responses.at(0).partitions.at(0);
}

// The same of topic "t" as a version names it.
inline FetchRequest named_for(FetchRequest request, int16_t version) {
  if (version < 13) return request;
  request.topics.at(0).topic.clear();
  request.topics[0].topic_id.bytes[0] = 9;
  return request;
}

inline ListOffsetsRequest list_offsets_of(int partition, int64_t timestamp) {
  ListOffsetsRequest request;
  request.replica_id = -1;
  auto& topic = request.topics.emplace_back();
  topic.name = "t";
  auto& data = topic.partitions.emplace_back();
  data.partition_index = partition;
  data.timestamp = timestamp;
  return request;
}

inline const ListOffsetsResponse::PartitionResponse& only(const ListOffsetsResponse& response) {
  return response.topics.at(0).partitions.at(0);
}

}  // namespace penstock::testing
