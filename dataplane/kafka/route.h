// From a topic and partition number to the log and its lcore, and the checks that Fetch, ListOffsets and
// OffsetForLeaderEpoch share.
#pragma once

#include "dataplane/kafka/broker.h"
#include "protocol/error_code.h"

namespace penstock::dataplane {

struct Route {
  ErrorCode error = ErrorCode::kNone;
  const PartitionRoute* partition = nullptr;
};

// topic is null if the image does not have it; missing is what to say then.
// life: 15
inline Route find_route(const TopicRoute* topic, ErrorCode missing, int32_t partition) {
  if (topic == nullptr) return {missing};
  if (partition < 0 || static_cast<size_t>(partition) >= topic->partitions.size()) {
    return {ErrorCode::kUnknownTopicOrPartition};
  }
  return {ErrorCode::kNone, &topic->partitions[static_cast<size_t>(partition)]};
}

// current_leader_epoch is the client's belief, -1 for none (KIP-320).
inline ErrorCode check_epoch(int32_t current_leader_epoch, LeaderEpoch leader_epoch) {
  if (current_leader_epoch < 0 || current_leader_epoch == leader_epoch.value()) return ErrorCode::kNone;
  return current_leader_epoch < leader_epoch.value() ? ErrorCode::kFencedLeaderEpoch : ErrorCode::kUnknownLeaderEpoch;
}

}  // namespace penstock::dataplane
