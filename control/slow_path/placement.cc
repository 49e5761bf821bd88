// ElectLeaders, AlterPartitionReassignments and ListPartitionReassignments: who leads, and where replicas are. With one
// broker nothing can move: what is asked is there already, or cannot be.
#include <algorithm>

#include "control/slow_path/handlers.h"

namespace penstock::control {
namespace {

constexpr int8_t kPreferred = 0;  // ElectLeaders' kinds (KIP-460)
constexpr int8_t kUnclean = 1;

const PartitionRecord* find_partition(const Call& call, const std::string& name, int32_t index) {
  const TopicPtr topic = call.controller.image().find(name);
  if (topic == nullptr || index < 0 || static_cast<size_t>(index) >= topic->record.partitions.size()) return nullptr;
  return &topic->record.partitions[static_cast<size_t>(index)];  // the image keeps it until something changes
}

ErrorCode elect(const Call& call, const std::string& name, int32_t index, int8_t kind) {
  const PartitionRecord* partition = find_partition(call, name, index);
  if (partition == nullptr) return ErrorCode::kUnknownTopicOrPartition;
  if (!call.controller.is_offline(*partition)) return ErrorCode::kElectionNotNeeded;
  return kind == kPreferred ? ErrorCode::kPreferredLeaderNotAvailable : ErrorCode::kEligibleLeadersNotAvailable;
}

}  // namespace

protocol::ElectLeadersResponse answer(const protocol::ElectLeadersRequest& request, Call& call) {
  protocol::ElectLeadersResponse response;
  const int8_t kind = call.version == 0 ? kPreferred : request.election_type;
  if (kind != kPreferred && kind != kUnclean) {
    response.error_code = ErrorCode::kInvalidRequest;
    return response;
  }
  const auto add = [&](const std::string& name, const std::vector<int32_t>& partitions, bool quiet) {
    protocol::ElectLeadersResponse::ReplicaElectionResult topic;
    topic.topic = name;
    for (const int32_t index : partitions) {
      const ErrorCode error = elect(call, name, index, kind);
      // Of those that were not named, Kafka tells only the ones where something was to do.
      if (quiet && error == ErrorCode::kElectionNotNeeded) continue;
      auto& result = topic.partition_result.emplace_back();
      result.partition_id = index;
      result.error_code = error;
      result.error_message = std::string(to_string(error));
    }
    if (!topic.partition_result.empty() || !quiet) response.replica_election_results.push_back(std::move(topic));
  };
  if (request.topic_partitions) {
    for (const auto& topic : *request.topic_partitions) add(topic.topic, topic.partitions, false);
    return response;
  }
  for (const auto& [name, topic] : call.controller.image().topics()) {
    std::vector<int32_t> all(topic->record.partitions.size());
    for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int32_t>(i);
    add(name, all, true);
  }
  return response;
}

protocol::AlterPartitionReassignmentsResponse answer(const protocol::AlterPartitionReassignmentsRequest& request,
                                                     Call& call) {
  protocol::AlterPartitionReassignmentsResponse response;
  response.error_message.reset();
  for (const auto& topic : request.topics) {
    auto& result = response.responses.emplace_back();
    result.name = topic.name;
    for (const auto& asked : topic.partitions) {
      auto& partition = result.partitions.emplace_back();
      partition.partition_index = asked.partition_index;
      partition.error_message.reset();
      const auto refuse = [&](ErrorCode error, std::string message) {
        partition.error_code = error;
        partition.error_message = std::move(message);
      };
      if (find_partition(call, topic.name, asked.partition_index) == nullptr) {
        refuse(ErrorCode::kUnknownTopicOrPartition, "Unable to find this partition.");
      } else if (!asked.replicas) {
        refuse(ErrorCode::kNoReassignmentInProgress, "No partition reassignment is in progress.");
      } else if (*asked.replicas != std::vector{call.controller.node().value()}) {
        refuse(ErrorCode::kInvalidReplicaAssignment,
               "The manual partition assignment must name each replica once, and "
               "only brokers that run: " +
                   std::to_string(call.controller.node().value()) + ".");
      }
    }
  }
  return response;
}

protocol::ListPartitionReassignmentsResponse answer(const protocol::ListPartitionReassignmentsRequest&, Call&) {
  protocol::ListPartitionReassignmentsResponse response;
  response.error_message.reset();
  return response;
}

}  // namespace penstock::control
