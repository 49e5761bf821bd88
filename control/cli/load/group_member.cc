#include "control/cli/load/group_member.h"

namespace penstock::cli {

GroupMember::Request GroupMember::beat() {
  constexpr int32_t kRebalanceTimeoutMs = 60'000;
  Request request;
  request.group_id = group_;
  request.member_id = id_;
  request.member_epoch = epoch_;
  if (epoch_ == 0) {
    request.rebalance_timeout_ms = kRebalanceTimeoutMs;
    request.subscribed_topic_names.emplace().push_back(topic_);
  }
  if (epoch_ == 0 || said_ != owned_) {
    auto& entries = request.topic_partitions.emplace();
    for (const auto& [topic, partitions] : owned_) {
      entries.push_back({.topic_id = topic, .partitions = {partitions.begin(), partitions.end()}});
    }
  }
  said_ = owned_;
  waits_ = true;
  return request;
}

bool GroupMember::answered(const Response& response, Nanos now) {
  waits_ = false;
  if (left_) return false;
  switch (response.error_code) {
    case ErrorCode::kNone: break;
    case ErrorCode::kUnknownMemberId:
    case ErrorCode::kFencedMemberEpoch:
      for (const auto& [topic, partitions] : owned_) lost_ += partitions.size();
      owned_.clear();
      said_.clear();
      epoch_ = 0;
      next_beat_ = now;
      return false;
    case ErrorCode::kCoordinatorLoadInProgress:
    case ErrorCode::kCoordinatorNotAvailable:
    case ErrorCode::kNotCoordinator: next_beat_ = now + 100 * kMillisecond; return false;
    default: next_beat_ = now + kSecond; return true;
  }
  epoch_ = response.member_epoch;
  next_beat_ = now + response.heartbeat_interval_ms * kMillisecond;
  if (!response.assignment) return false;
  Partitions given;
  for (const auto& entry : response.assignment->topic_partitions) {
    if (!entry.partitions.empty()) given[entry.topic_id] = {entry.partitions.begin(), entry.partitions.end()};
  }
  for (const auto& [topic, partitions] : owned_) {
    for (const int32_t partition : partitions) lost_ += given[topic].contains(partition) ? 0 : 1;
  }
  std::erase_if(given, [](const auto& entry) { return entry.second.empty(); });
  if (given != owned_) next_beat_ = now;
  owned_ = std::move(given);
  return false;
}

GroupMember::Request GroupMember::leave() {
  Request request;
  request.group_id = group_;
  request.member_id = id_;
  request.member_epoch = -1;
  left_ = true;
  waits_ = true;
  owned_.clear();
  return request;
}

}  // namespace penstock::cli
