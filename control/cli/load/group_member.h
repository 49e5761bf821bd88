// A member of a next-generation consumer group for the load generator: it beats, revokes at once what it is told to,
// and says so. No records are read. It counts how often it lost a partition.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "base/units.h"
#include "protocol/gen/consumer_group_heartbeat.h"

namespace penstock::cli {

class GroupMember {
 public:
  using Request = protocol::ConsumerGroupHeartbeatRequest;
  using Response = protocol::ConsumerGroupHeartbeatResponse;
  using Partitions = std::map<Uuid, std::set<int32_t>>;

  GroupMember(std::string group, std::string id, std::string topic)
      : group_(std::move(group)), id_(std::move(id)), topic_(std::move(topic)) {}

  const Partitions& owned() const { return owned_; }
  int32_t epoch() const { return epoch_; }
  bool waits() const { return waits_; }
  bool is_due(Nanos now) const { return !waits_ && !left_ && now >= next_beat_; }
  Nanos next_beat() const { return next_beat_; }
  bool has_left() const { return left_; }
  uint64_t lost() const { return lost_; }  // partitions taken from it, ever

  // The next heartbeat; then it waits for its answer.
  Request beat();
  // Its answer. True if it was refused with an error that is none of a group's life.
  bool answered(const Response& response, Nanos now);
  Request leave();

 private:
  const std::string group_;
  const std::string id_;
  const std::string topic_;
  int32_t epoch_ = 0;
  Partitions owned_;
  Partitions said_;
  Nanos next_beat_ = 0;
  bool waits_ = false;
  bool left_ = false;
  uint64_t lost_ = 0;
};

}  // namespace penstock::cli
