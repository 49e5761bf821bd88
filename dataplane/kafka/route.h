// From a topic and partition number to the log of this lcore, with the errors that Fetch and ListOffsets share.
#pragma once

#include "dataplane/kafka/broker.h"
#include "protocol/error_code.h"

namespace penstock::dataplane {

struct Route {
  ErrorCode error = ErrorCode::kNone;
  const PartitionRoute* partition = nullptr;
};

// topic is null if the image does not have it; missing is what to say then. current_leader_epoch is the client's
// belief, -1 for none (KIP-320).
// life: 15
inline Route find_route(const Broker& broker, const TopicRoute* topic, ErrorCode missing, int32_t partition,
                        int32_t current_leader_epoch) {
  if (topic == nullptr) return {missing};
  if (partition < 0 || static_cast<size_t>(partition) >= topic->partitions.size()) {
    return {ErrorCode::kUnknownTopicOrPartition};
  }
  const PartitionRoute& found = topic->partitions[static_cast<size_t>(partition)];
  if (found.lcore != broker.lcore) return {ErrorCode::kNotLeaderOrFollower};
  if (broker.store.poisoned(found.log)) return {ErrorCode::kKafkaStorageError};
  if (current_leader_epoch >= 0) {
    if (current_leader_epoch < found.leader_epoch.value()) return {ErrorCode::kFencedLeaderEpoch};
    if (current_leader_epoch > found.leader_epoch.value()) return {ErrorCode::kUnknownLeaderEpoch};
  }
  return {ErrorCode::kNone, &found};
}

}  // namespace penstock::dataplane
