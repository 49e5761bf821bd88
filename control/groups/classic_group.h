// ClassicGroup: a group of the classic protocol, in which a member that leads makes the assignment: JoinGroup,
// SyncGroup, Heartbeat, LeaveGroup. Every rule and error is that of Kafka 4.2 (GroupMetadataManager, ClassicGroup); the
// states and their moves are in docs/internals/groups.md.
//
//   Empty -> PreparingRebalance: somebody joins          PreparingRebalance -> CompletingRebalance: all have joined
//   CompletingRebalance -> Stable: the leader has said   any -> PreparingRebalance: members come, go, change
//   PreparingRebalance -> Empty: all have left
//
// What survives a restart is one record: generation, protocol, leader, members with assignments. It is written when the
// leader has said the assignment, when the group becomes empty, and when a static member comes back under a new id.
//
// Bounds: members by group.max.size, those to come by GroupSettings::pending_max, what they bring by memory_max (the
// coordinator looks at bytes() and pending_bytes()).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "control/groups/timers.h"
#include "control/groups/types.h"
#include "protocol/gen/describe_groups.h"
#include "protocol/gen/heartbeat.h"
#include "protocol/gen/leave_group.h"

namespace penstock::control::groups {

enum class ClassicState : uint8_t { kEmpty, kPreparingRebalance, kCompletingRebalance, kStable };
std::string_view to_string(ClassicState state);  // as DescribeGroups and ListGroups say it

struct ClassicMember {
  using Protocol = protocol::JoinGroupRequest::Protocol;

  std::string id{};
  std::optional<std::string> instance_id{};
  std::string client_id{};
  std::string client_host{};
  int32_t rebalance_timeout_ms = 0;
  int32_t session_timeout_ms = 0;
  std::vector<Protocol> protocols{};  // best first
  std::vector<std::byte> assignment{};

  std::optional<Ticket> joining{};  // waits for the end of the rebalance
  std::optional<Ticket> syncing{};  // waits for the leader's assignment
  bool is_new = false;              // has never been told its id
  Nanos deadline = kNever;          // dead unless heard of before

  const std::vector<std::byte>* metadata(std::string_view protocol) const;
  size_t bytes() const;
};

// One that was told its id and is to come back.
inline size_t bytes_of_pending(std::string_view member_id) {
  constexpr size_t kPlace = 256;
  return kPlace + 2 * member_id.size();
}

// JoinGroup before version 4 does not know MEMBER_ID_REQUIRED (KIP-394), before 9 not skip_assignment (KIP-814).
inline constexpr int16_t kJoinNeedsMemberId = 4;
inline constexpr int16_t kJoinMaySkipAssignment = 9;

class ClassicGroup {
 public:
  using Join = protocol::JoinGroupRequest;
  using JoinResponse = protocol::JoinGroupResponse;
  using Sync = protocol::SyncGroupRequest;
  using SyncResponse = protocol::SyncGroupResponse;

  explicit ClassicGroup(std::string id, int64_t now_ms = -1) : id_(std::move(id)), state_since_ms_(now_ms) {}

  // ---- requests. The coordinator has looked at what does not depend on the group.
  void join(const Join& request, const Caller& caller, Step& step);
  void sync(const Sync& request, const Caller& caller, Step& step);
  ErrorCode heartbeat(const protocol::HeartbeatRequest& request, Step& step);
  // Of one member, by its member id or, without that, its instance id. The caller ends with left() once for all.
  ErrorCode leave(const std::string& member_id, const std::optional<std::string>& instance_id, Step& step);
  void left(Step& step);

  // ---- offsets
  // Whether who says to be this member of this generation may commit.
  ErrorCode check_commit(const std::string& member_id, const std::optional<std::string>& instance_id,
                         int32_t generation) const;
  void committed(const std::string& member_id, Step& step);  // a commit is as good as a heartbeat
  // Kafka's rule of expiry: since when offsets grow old, of which topics never; nothing: none does now.
  struct Expiry {
    bool by_commit = true;  // counts from each commit
    int64_t since_ms = 0;   // else from here
    bool spares_subscribed = false;
  };
  std::optional<Expiry> expiry() const;
  bool is_subscribed(std::string_view topic) const;

  // ---- time
  void expire(Step& step);
  Nanos next_deadline() const { return earliest_; }

  // ---- the record
  GroupRecord record() const;
  bool fits(const GroupSettings& settings) const;  // the record, into a batch
  void replay(const protocol::GroupMetadataValue& value);
  // After a replay: members have their whole session from now on.
  void loaded(Step& step);
  // It has members that another kind of group had: they are to come together anew.
  void rebalance(Step& step) { prepare_rebalance(step); }
  // The group ends here: who waits is told.
  void fail_waiting(ErrorCode error, Step& step);

  // ---- looks
  const std::string& id() const { return id_; }
  ClassicState state() const { return state_; }
  int32_t generation() const { return generation_; }
  const std::optional<std::string>& protocol_type() const { return protocol_type_; }
  const std::optional<std::string>& protocol() const { return protocol_; }
  const std::optional<std::string>& leader() const { return leader_; }
  const std::map<std::string, ClassicMember, std::less<>>& members() const { return members_; }
  // By its id, else by its instance id; nullptr if there is none.
  const ClassicMember* find(const std::string& member_id, const std::optional<std::string>& instance_id) const;
  bool is_simple() const { return !protocol_type_ && members_.empty(); }
  bool is_deletable() const { return state_ == ClassicState::kEmpty && pending_.empty(); }
  protocol::DescribeGroupsResponse::DescribedGroup describe() const;
  size_t bytes() const;                                    // about what it takes in memory; asked after each step
  size_t pending_bytes() const { return pending_bytes_; }  // beside bytes(): of who is to come back
  size_t waiting() const;

 private:
  using Members = std::map<std::string, ClassicMember, std::less<>>;

  // ---- classic_join.cc
  bool accepts(const std::string& member_id, const GroupSettings& settings) const;
  void join_new(const Join& request, const Caller& caller, Step& step);
  void join_again(const Join& request, const Caller& caller, Step& step);
  void join_stable(const Join& request, const Caller& caller, ClassicMember& member, Step& step);
  void replace_static(const Join& request, const Caller& caller, const std::string& old_id, std::string new_id,
                      Step& step);
  void add_and_rebalance(const Join& request, const Caller& caller, std::string member_id, Step& step);
  void update_and_rebalance(const Join& request, const Caller& caller, ClassicMember& member, Step& step);
  void update(ClassicMember& member, const Join& request, const Caller& caller, Step& step);
  bool supports(const Join& request) const;
  void assign(const std::vector<Sync::Assignment>& assignments);

  // ---- classic_rebalance.cc
  void rebalance_or_complete(Step& step);
  void prepare_rebalance(Step& step);
  void complete_join_if_ready(Step& step);
  void complete_join(Step& step);
  void end_initial_delay(Step& step);
  bool elect_leader_that_joined();
  void next_generation(Step& step);
  void write(Step& step);
  void expire_sync(Step& step);
  void expire_members(Step& step);
  void answer_join(ClassicMember& member, JoinResponse response, Step& step);
  void answer_sync(ClassicMember& member, ErrorCode error, Step& step);
  void refuse_syncs(ErrorCode error, Step& step);

  // ---- classic_group.cc
  ErrorCode check_member(const std::string& member_id, const std::optional<std::string>& instance_id) const;
  bool forget_pending(const std::string& member_id);
  ClassicMember& add(ClassicMember member);
  void remove(const std::string& member_id);
  void count_protocols(const ClassicMember& member, bool more);
  std::string select_protocol() const;
  std::vector<std::string> common_protocols() const;
  int32_t rebalance_timeout_ms() const;
  bool all_have_joined() const { return members_.size() <= joining_ && pending_.empty(); }
  void move_to(ClassicState state, Now now);
  void compute_subscriptions();
  void heard_of(ClassicMember& member, Now now) { set_deadline(member, now, member.session_timeout_ms); }
  void set_deadline(ClassicMember& member, Now now, int64_t ms);
  Nanos deadline_in(Now now, int64_t ms);
  std::vector<JoinResponse::Member> told_members() const;
  JoinResponse joined(const ClassicMember& member) const;
  bool is_leader(std::string_view member_id) const { return leader_ && *leader_ == member_id; }
  bool counts_are_right() const;

  std::string id_;
  ClassicState state_ = ClassicState::kEmpty;
  ClassicState state_before_ = ClassicState::kEmpty;
  int64_t state_since_ms_;
  int32_t generation_ = 0;
  std::optional<std::string> protocol_type_;
  std::optional<std::string> protocol_;
  std::optional<std::string> leader_;
  Members members_;
  std::map<std::string, std::string, std::less<>> static_members_;  // instance id -> member id
  Timers pending_;                                                  // told their id, not come back yet; until when
  size_t pending_bytes_ = 0;                                        // of those
  std::set<std::string, std::less<>> pending_sync_;                 // told to sync, not done so yet
  std::map<std::string, size_t, std::less<>> supporters_;           // by protocol
  std::optional<std::set<std::string, std::less<>>> subscribed_;    // nothing: not known
  size_t joining_ = 0;                                              // members that wait for the end of the rebalance
  size_t bytes_ = 0;

  Nanos join_deadline_ = kNever;  // the rebalance ends without those that have not come
  bool initial_delay_ = false;    // join_deadline_ is that of a group that was empty
  int32_t delay_ms_ = 0;          // of it
  int32_t delay_left_ms_ = 0;
  bool new_member_added_ = false;
  bool member_left_ = false;  // until left()
  Nanos sync_deadline_ = kNever;
  Nanos earliest_ = kNever;  // no deadline is before it
};

}  // namespace penstock::control::groups
