#include "dataplane/kafka/list_offsets.h"

#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/kafka/route.h"
#include "protocol/api.h"
#include "protocol/codec.h"

namespace penstock::dataplane {
namespace {

// Timestamps that are not times, and the request version from which each is understood.
constexpr int64_t kLatest = -1;
constexpr int64_t kEarliest = -2;
constexpr int64_t kMaxTimestamp = -3;           // v7, KIP-734
constexpr int64_t kEarliestLocal = -4;          // v8, KIP-405
constexpr int64_t kLatestTiered = -5;           // v9, KIP-1005
constexpr int64_t kEarliestPendingUpload = -6;  // v11, KIP-1023

constexpr int16_t kLeaderEpochFrom = 4;
constexpr int16_t kOffsetNotAvailableFrom = 5;  // KIP-207

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

}  // namespace

// False: the drive is being read for it.
bool ListOffsetsHandler::look_up(Broker& broker, const PartitionRoute& route, int64_t timestamp, Answer& answer) const {
  const auto offsets = broker.store.offsets(route.log);
  if (!offsets) {
    answer.error_code = ErrorCode::kUnknownTopicOrPartition;
    return true;
  }
  switch (timestamp) {
    case kLatest:  // the last stable offset is the high watermark as long as there are no transactions
      answer.offset = offsets->durable.value();
      if (version_ >= kLeaderEpochFrom) answer.leader_epoch = route.leader_epoch.value();
      return true;
    case kEarliest:
    case kEarliestLocal: answer.offset = offsets->log_start_offset.value(); return true;
    case kLatestTiered:
    case kEarliestPendingUpload: return true;  // nothing is tiered
    default: return look_up_time(broker, route.log, timestamp, answer);
  }
}

bool ListOffsetsHandler::look_up_time(Broker& broker, storage::LogId log, int64_t timestamp, Answer& answer) const {
  if (broker.store.poisoned(log)) {
    answer.error_code = ErrorCode::kKafkaStorageError;
    return true;
  }
  const storage::TimeFound time =
      timestamp == kMaxTimestamp ? broker.store.find_max_time(log) : broker.store.find_by_time(log, timestamp);
  switch (time.status) {
    case storage::ReadStatus::kReady:
      if (!time.found) return true;  // Kafka: offset -1, timestamp -1, no error
      answer.offset = time.found->offset.value();
      answer.timestamp = time.found->timestamp;
      return true;
    case storage::ReadStatus::kPending: return false;
    case storage::ReadStatus::kDamaged:
      broker.counters.add(Metric::reads_refused_damaged);
      answer.error_code = ErrorCode::kKafkaStorageError;
      return true;
    case storage::ReadStatus::kGone: {
      // The log, or the records that the time was looked for in, just now. Both are retriable for the client.
      const auto asked_too_soon =
          version_ >= kOffsetNotAvailableFrom ? ErrorCode::kOffsetNotAvailable : ErrorCode::kLeaderNotAvailable;
      answer.error_code = broker.store.offsets(log) ? asked_too_soon : ErrorCode::kUnknownTopicOrPartition;
      return true;
    }
  }
  std::unreachable();
}

ListOffsetsHandler::State ListOffsetsHandler::begin(Broker& broker, const Request& request, ConnectionId who) {
  std::vector<std::byte> scratch;
  protocol::ListOffsetsRequest asked;
  if (request.body_bytes > kBodyMax) return State::kMalformed;
  if (!protocol::decode(contiguous_body(request, scratch), request.api_version, asked)) return State::kMalformed;
  who_ = who;
  version_ = request.api_version;
  correlation_id_ = request.correlation_id;
  if (!look_at_all(broker, asked)) return State::kMalformed;
  return finish_or_wait(broker);
}

// False: more partitions than a request may name.
bool ListOffsetsHandler::look_at_all(Broker& broker, const protocol::ListOffsetsRequest& asked) {
  std::set<std::pair<std::string_view, int32_t>> seen;
  size_t partitions = 0;
  for (const auto& topic : asked.topics) {
    partitions += 1 + topic.partitions.size();
    if (partitions > kRequestPartitionsMax) return false;
    const TopicRoute* route = broker.image->find(topic.name);
    auto& topic_answer = answer_.topics.emplace_back();
    topic_answer.name = topic.name;
    for (const auto& wanted : topic.partitions) {
      Answer& partition = topic_answer.partitions.emplace_back();
      partition.partition_index = wanted.partition_index;
      if (!seen.emplace(topic.name, wanted.partition_index).second) {
        partition.error_code = ErrorCode::kInvalidRequest;  // as Kafka answers a partition that is asked for twice
        continue;
      }
      const Route to = find_route(broker, route, ErrorCode::kUnknownTopicOrPartition, wanted.partition_index,
                                  wanted.current_leader_epoch);
      partition.error_code = to.error;
      if (to.error != ErrorCode::kNone) continue;
      if (wanted.timestamp < kEarliestPendingUpload || version_ < needed_version(wanted.timestamp)) {
        partition.error_code = ErrorCode::kUnsupportedVersion;
        continue;
      }
      if (look_up(broker, *to.partition, wanted.timestamp, partition)) continue;
      pending_.push_back({.topic = answer_.topics.size() - 1,
                          .partition = topic_answer.partitions.size() - 1,
                          .log = to.partition->log,
                          .timestamp = wanted.timestamp});
    }
  }
  return true;
}

ListOffsetsHandler::State ListOffsetsHandler::go_on(Broker& broker) {
  std::erase_if(pending_, [&](const Pending& pending) {
    Answer& answer = answer_.topics[pending.topic].partitions[pending.partition];
    return look_up_time(broker, pending.log, pending.timestamp, answer);
  });
  return finish_or_wait(broker);
}

ListOffsetsHandler::State ListOffsetsHandler::finish_or_wait(Broker& broker) {
  if (pending_.empty()) {
    wait_.reset();
    return encode_answer();
  }
  if (wait_) return State::kReading;
  if (!broker.wakeups.has_room_to_park(pending_.size())) {
    broker.wakeups.next_turn(who_);
    return State::kReading;
  }
  broker.counters.add(Metric::reads_parked);
  std::vector<storage::LogId> logs;
  logs.reserve(pending_.size());
  for (const Pending& pending : pending_) logs.push_back(pending.log);
  wait_.emplace(broker.wakeups, who_, LogWait::kNoDeadline, logs);
  return State::kReading;
}

ListOffsetsHandler::State ListOffsetsHandler::encode_answer() {
  response_ = Response(static_cast<int16_t>(ApiKey::kListOffsets), version_, correlation_id_);
  if (!protocol::encode(answer_, version_, response_.bytes())) return State::kMalformed;
  response_.finish();
  return State::kDone;
}

}  // namespace penstock::dataplane
