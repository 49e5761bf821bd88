// SimClassic: a member of the classic protocol as a client library is one: it joins (and is told its id), assigns if it
// leads, syncs, beats, and joins again when it is told to, when it is thrown out, when an answer did not come, and, as
// leader, when there are other topics. Eager: it gives up all before it joins.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/units.h"
#include "control/groups/partitions.h"
#include "control/groups/topic_table.h"
#include "protocol/gen/heartbeat.h"
#include "protocol/gen/join_group.h"
#include "protocol/gen/sync_group.h"

namespace penstock::sim {

class SimClassic {
 public:
  using Request = std::variant<protocol::JoinGroupRequest, protocol::SyncGroupRequest, protocol::HeartbeatRequest>;
  using Response = std::variant<protocol::JoinGroupResponse, protocol::SyncGroupResponse, protocol::HeartbeatResponse>;
  using Assignment = control::groups::Assignment;
  using TopicTable = control::groups::TopicTable;

  explicit SimClassic(std::vector<std::string> topics) : topics_(std::move(topics)) {}

  const std::string& id() const { return id_; }  // empty: it was not told yet
  int32_t epoch() const { return generation_; }
  const Assignment& owned() const { return owned_; }
  const std::vector<std::string>& topics() const { return topics_; }

  // What it sends now, with its number; mostly nothing.
  std::optional<Request> turn(Nanos now, const TopicTable& table);
  uint64_t last_request() const { return number_; }
  // The answer to its request of this number. Late ones are nobody's.
  void answered(uint64_t number, const Response& response, Nanos now, const TopicTable& table);
  // Its connection is gone: no answer will come.
  void disconnected(Nanos now);

 private:
  enum class Phase : uint8_t { kJoin, kSync, kBeat };

  void take(const protocol::JoinGroupResponse& response, Nanos now, const TopicTable& table);
  void take(const protocol::SyncGroupResponse& response, Nanos now, const TopicTable& table);
  void take(const protocol::HeartbeatResponse& response, Nanos now, const TopicTable& table);
  void assign(const protocol::JoinGroupResponse& response, const TopicTable& table);
  void join_again(Nanos at);
  void begin_anew(Nanos at);
  Request make_request() const;

  std::vector<std::string> topics_;
  std::string id_;
  int32_t generation_ = -1;
  Phase phase_ = Phase::kJoin;
  Assignment owned_;
  bool leads_ = false;
  uint64_t topics_seen_ = 0;
  std::vector<protocol::SyncGroupRequest::Assignment> assignments_;  // of the leader
  bool waits_ = false;
  uint64_t number_ = 0;
  Nanos next_ = 0;
  Nanos answer_by_ = 0;
};

}  // namespace penstock::sim
