// Coordinator: the groups of one partition of __consumer_offsets, and what they have committed. Pure: requests, records
// and deadlines in; responses, records to append and late answers out. Whoever owns it writes the records down and
// holds each answer back until all records before it are durable (group_runtime.h); if one cannot be written, it makes
// a new coordinator of what the log has.
//
// Bounds: GroupSettings; what it holds counts into GroupMemory, which all coordinators of a broker share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "control/groups/classic_group.h"
#include "control/groups/consumer_group.h"
#include "control/groups/consumer_world.h"
#include "control/groups/offsets.h"
#include "control/groups/types.h"
#include "protocol/gen/delete_groups.h"
#include "protocol/gen/describe_groups.h"
#include "protocol/gen/leave_group.h"
#include "protocol/gen/list_groups.h"
#include "protocol/gen/offset_commit.h"
#include "protocol/gen/offset_delete.h"
#include "protocol/gen/offset_fetch.h"

namespace penstock::control::groups {

struct GroupMemory {
  size_t bytes = 0;
  size_t groups = 0;
  size_t members = 0;
  uint64_t generations = 0;  // that classic groups have begun
};

struct Group {
  explicit Group(ClassicGroup classic) : body(std::move(classic)) {}

  std::variant<ClassicGroup, ConsumerGroup> body;
  OffsetTable offsets;
  bool recorded = false;   // a record of the group itself is in the log
  Nanos timer = kNever;    // its place among the coordinator's timers
  size_t counted = 0;      // in GroupMemory
  size_t members = 0;      // likewise
  int32_t generation = 0;  // likewise
};

// nullptr if it is none, or a group of the other kind.
const ConsumerGroup* consumer_of(const Group* group);
ConsumerGroup* consumer_of(Group* group);

inline const ConsumerWorld kEmptyWorld;

class Coordinator {
 public:
  Coordinator(const GroupSettings& settings, Prng& prng, GroupMemory& memory, const ConsumerWorld& world = kEmptyWorld)
      : settings_(settings), prng_(prng), memory_(memory), world_(world) {}
  ~Coordinator();
  Coordinator(const Coordinator&) = delete;
  Coordinator& operator=(const Coordinator&) = delete;

  // ---- requests. join and sync answer through effects, at once or later.
  void join(const protocol::JoinGroupRequest& request, const Caller& caller, Now now, Effects& effects);
  void sync(const protocol::SyncGroupRequest& request, const Caller& caller, Now now, Effects& effects);
  ErrorCode heartbeat(const protocol::HeartbeatRequest& request, Now now, Effects& effects);
  protocol::LeaveGroupResponse leave(const protocol::LeaveGroupRequest& request, int16_t version, Now now,
                                     Effects& effects);
  ConsumerGroup::Response consumer_heartbeat(const ConsumerGroup::Request& request, const Caller& caller, Now now,
                                             Effects& effects);
  // Topics have their names and ids. response has the request's topics and partitions; those with an error are left
  // alone.
  void commit(const protocol::OffsetCommitRequest& request, int16_t version, Now now, Effects& effects,
              protocol::OffsetCommitResponse& response);
  // Topics have their names, in request and response.
  protocol::OffsetFetchResponse::Group fetch(const protocol::OffsetFetchRequest::Group& request) const;
  // response as for commit.
  void delete_offsets(const protocol::OffsetDeleteRequest& request, Now now, Effects& effects,
                      protocol::OffsetDeleteResponse& response);
  ErrorCode delete_group(const std::string& id, Now now, Effects& effects);
  // Nothing: there is no such group.
  std::optional<protocol::DescribeGroupsResponse::DescribedGroup> describe(const std::string& id) const;
  // Nothing: there is no such next-generation group.
  std::optional<ConsumerGroup::Described> describe_consumer(const std::string& id, Now now) const;
  std::vector<protocol::ListGroupsResponse::ListedGroup> list() const;

  // ---- what happens
  void topics_deleted(std::span<const std::string> topics, Now now, Effects& effects);
  void expire(Now now, Effects& effects);
  Nanos next_deadline() const;
  // Of effects, which a step has just come to, something can never be written, of these groups. Changes effects into
  // what is to be written instead.
  void start_over(const std::set<std::string>& ids, Now now, Effects& effects);

  // ---- the log
  void replay(const GroupRecord& record);
  // All of the log was replayed: time begins.
  void loaded(Now now, Effects& effects);
  // It is another's from now on, or must be read again: who waits is told.
  void fail_waiting(ErrorCode error, Now now, Effects& effects);

  const std::map<std::string, Group, std::less<>>& groups() const { return groups_; }

 private:
  using Groups = std::map<std::string, Group, std::less<>>;

  Step step(Now now, Effects& effects) { return {settings_, prng_, now, effects}; }
  Group* find(const std::string& id);
  Group& make(const std::string& id, int64_t now_ms);
  void touched(const std::string& id);
  void erase_if_nothing(const std::string& id);
  // At the bound nothing new is taken. What is there may be replaced, and be larger than before by an eighth of all, so
  // that members that are in go on.
  bool full() const { return memory_.bytes >= settings_.memory_max; }
  bool is_over() const { return memory_.bytes >= settings_.memory_max + settings_.memory_max / 8; }
  bool lacks_memory(const Group* group, const protocol::JoinGroupRequest& request) const;
  bool lacks_memory(const ConsumerGroup& group, const ConsumerGroup::Request& request) const;
  ErrorCode commit_to(Group& group, const protocol::OffsetCommitRequest& request, int16_t version, Now now,
                      Effects& effects, protocol::OffsetCommitResponse& response);
  void remove_offsets(std::vector<protocol::OffsetCommitKey> keys, Effects& effects);
  void expire_offsets(Now now, Effects& effects);
  void expire_offsets_of(const std::string& id, Group& group, Now now, Effects& effects);
  void erase_group(const std::string& id, Effects& effects);

  // ---- coordinator_consumer.cc
  HeartbeatCaller heartbeat_caller(const Caller& caller, const std::string& member_id);
  ConsumerGroup::Response consumer_heartbeat(const ConsumerGroup::Request& request, const Caller& caller,
                                             const GroupContext& context, Now now, Effects& effects);
  template <class Work>
  auto with_context(const std::string& id, Now now, Work work) const;
  void consumer_join(const protocol::JoinGroupRequest& request, const Caller& caller, Now now, Effects& effects);
  void consumer_sync(const protocol::SyncGroupRequest& request, const Caller& caller, Now now, Effects& effects);
  ErrorCode consumer_classic_beat(const protocol::HeartbeatRequest& request, Now now, Effects& effects);
  protocol::LeaveGroupResponse consumer_leave(const protocol::LeaveGroupRequest& request, int16_t version, Now now,
                                              Effects& effects);
  void consumer_expire(const std::string& id, Now now, Effects& effects);
  void consumer_loaded(const std::string& id, Now now);
  void after_consumer_step(const std::string& id, Now now, Effects& effects);
  ConsumerGroup::Response first_heartbeat(const ConsumerGroup::Request& request, const Caller& caller, Now now,
                                          Effects& effects);
  bool adopt(const ClassicGroup& classic, Now now, ConsumerGroup& consumer, std::vector<GroupRecord>& records) const;
  void empty_to_classic(const std::string& id, Group& group, Now now, Effects& effects);
  void maybe_to_classic(const std::string& id, Group& group, Now now, Effects& effects);
  void replay_consumer(const std::string& id, const GroupRecord& record);

  const GroupSettings& settings_;
  Prng& prng_;
  GroupMemory& memory_;
  const ConsumerWorld& world_;
  Groups groups_;
  std::set<std::pair<Nanos, std::string>> timers_;
  Nanos check_offsets_at_ = kNever;
  bool loaded_ = false;
  std::optional<std::string> check_from_;  // the check goes on with this group
};

}  // namespace penstock::control::groups
