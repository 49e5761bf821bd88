#include "dataplane/kafka/list_offsets.h"

#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/kafka/route.h"
#include "protocol/codec.h"
#include "protocol/gen/list_offsets.h"

namespace penstock::dataplane {
namespace {

using protocol::ListOffsetsRequest;
using protocol::ListOffsetsResponse;

// Timestamps that are not times, and the request version from which each is understood.
constexpr int64_t kLatest = -1;
constexpr int64_t kEarliest = -2;
constexpr int64_t kMaxTimestamp = -3;           // v7, KIP-734
constexpr int64_t kEarliestLocal = -4;          // v8, KIP-405
constexpr int64_t kLatestTiered = -5;           // v9, KIP-1005
constexpr int64_t kEarliestPendingUpload = -6;  // v11, KIP-1023

constexpr int16_t kLeaderEpochFrom = 4;

// A hundred thousand partitions with their names take less. It is decoded on the lcore, where memory is counted.
constexpr size_t kBodyMax = 8 * kMiB;

int16_t needed_version(int64_t timestamp) {
  switch (timestamp) {
    case kMaxTimestamp: return 7;
    case kEarliestLocal: return 8;
    case kLatestTiered: return 9;
    case kEarliestPendingUpload: return 11;
    default: return 1;
  }
}

void put(ListOffsetsResponse::PartitionResponse& answer, const std::optional<storage::TimeAndOffset>& found) {
  if (!found) return;  // Kafka: offset -1, timestamp -1, no error
  answer.offset = found->offset.value();
  answer.timestamp = found->timestamp;
}

void look_up(const Broker& broker, const PartitionRoute& route, int64_t timestamp, int16_t version,
             ListOffsetsResponse::PartitionResponse& answer) {
  const auto offsets = broker.store.offsets(route.log);
  if (!offsets) {
    answer.error_code = ErrorCode::kUnknownTopicOrPartition;
    return;
  }
  switch (timestamp) {
    case kLatest:  // the last stable offset is the high watermark as long as there are no transactions
      answer.offset = offsets->durable.value();
      if (version >= kLeaderEpochFrom) answer.leader_epoch = route.leader_epoch.value();
      return;
    case kEarliest:
    case kEarliestLocal: answer.offset = offsets->log_start_offset.value(); return;
    case kMaxTimestamp: put(answer, broker.store.find_max_time(route.log).found); return;
    case kLatestTiered:
    case kEarliestPendingUpload: return;  // nothing is tiered
    default: put(answer, broker.store.find_by_time(route.log, timestamp).found); return;
  }
}

}  // namespace

std::optional<Response> list_offsets(Broker& broker, const Request& request) {
  std::vector<std::byte> scratch;
  ListOffsetsRequest asked;
  if (request.body_bytes > kBodyMax) return std::nullopt;
  if (!protocol::decode(contiguous_body(request, scratch), request.api_version, asked)) return std::nullopt;
  std::set<std::pair<std::string_view, int32_t>> seen;
  size_t partitions = 0;
  ListOffsetsResponse answer;
  for (const auto& topic : asked.topics) {
    partitions += 1 + topic.partitions.size();
    if (partitions > kRequestPartitionsMax) return std::nullopt;
    const TopicRoute* route = broker.image->find(topic.name);
    auto& topic_answer = answer.topics.emplace_back();
    topic_answer.name = topic.name;
    for (const auto& wanted : topic.partitions) {
      auto& partition = topic_answer.partitions.emplace_back();
      partition.partition_index = wanted.partition_index;
      if (!seen.emplace(topic.name, wanted.partition_index).second) {
        partition.error_code = ErrorCode::kInvalidRequest;  // as Kafka answers a partition that is asked for twice
        continue;
      }
      const Route to = find_route(broker, route, ErrorCode::kUnknownTopicOrPartition, wanted.partition_index,
                                  wanted.current_leader_epoch);
      partition.error_code = to.error;
      if (to.error != ErrorCode::kNone) continue;
      if (wanted.timestamp < kEarliestPendingUpload || request.api_version < needed_version(wanted.timestamp)) {
        partition.error_code = ErrorCode::kUnsupportedVersion;
        continue;
      }
      look_up(broker, *to.partition, wanted.timestamp, request.api_version, partition);
    }
  }
  Response response(request.api_key, request.api_version, request.correlation_id);
  if (!protocol::encode(answer, request.api_version, response.bytes())) return std::nullopt;
  response.finish();
  return response;
}

}  // namespace penstock::dataplane
