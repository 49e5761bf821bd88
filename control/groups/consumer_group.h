// ConsumerGroup: a next-generation consumer group (KIP-848). Members tell in heartbeats what they want and what they
// own; the group decides who shall have what (the target assignment, one an epoch) and leads each member there by
// itself, so that who keeps its partitions never stops. Pure: the time is a parameter, and what changes, changes by
// applying records (apply), which the requests' outcomes carry; they are applied already when a request returns.
//
//   consumer_records.cc    records: applying, making
//   consumer_heartbeat.cc  ConsumerGroupHeartbeat: join, rejoin, go on
//   consumer_leave.cc      leaving, being thrown out, deadlines
//   consumer_classic.cc    JoinGroup and the like, of members that speak the classic protocol still
//   consumer_migration.cc  from a classic group, and back
//   consumer_patterns.cc   what patterns of topics match
//   consumer_target.cc     subscriptions, topics, the target assignment
//   consumer_describe.cc   ConsumerGroupDescribe, and what offsets ask
#pragma once

#include <cstdint>
#include <expected>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "control/groups/consumer_member.h"
#include "control/groups/consumer_settings.h"
#include "control/groups/group_record.h"
#include "control/groups/member_tally.h"
#include "control/groups/partition_owners.h"
#include "control/groups/timers.h"
#include "control/groups/topic_table.h"
#include "protocol/error_code.h"
#include "protocol/gen/consumer_group_describe.h"
#include "protocol/gen/consumer_group_heartbeat.h"
#include "protocol/gen/heartbeat.h"
#include "protocol/gen/join_group.h"
#include "protocol/gen/sync_group.h"

namespace penstock::control::groups {

// Who asks, and with what.
struct HeartbeatCaller {
  std::string client_id;
  std::string client_host;
  int16_t api_version = 0;
  std::string new_member_id;  // unused before; for a member that comes without one, as in version 0
};

// The world at the time of a request.
struct GroupContext {
  Nanos now;        // monotonic
  int64_t wall_ms;  // for records
  const ConsumerGroupSettings& settings;
  const TopicTable& topics;
  size_t record_bytes_max = 1'048'588;  // what a record may be at most
  uint64_t* regex_work = nullptr;       // left for patterns in this turn; nullptr: no bound
};

enum class ConsumerGroupState : uint8_t { kEmpty, kAssigning, kReconciling, kStable };
std::string_view to_string(ConsumerGroupState state);  // as ConsumerGroupDescribe names them

struct Refusal {
  ErrorCode error;
  std::string message;
};

// A member of a classic group that becomes a next-generation one.
struct AdoptedMember {
  std::string id;
  Subscription subscription;
  Assignment assigned;
};

class ConsumerGroup {
 public:
  using Request = protocol::ConsumerGroupHeartbeatRequest;
  using Response = protocol::ConsumerGroupHeartbeatResponse;
  using Described = protocol::ConsumerGroupDescribeResponse::DescribedGroup;

  explicit ConsumerGroup(std::string id) : id_(std::move(id)) {}

  const std::string& id() const { return id_; }
  int32_t epoch() const { return epoch_; }
  int32_t assignment_epoch() const { return assignment_epoch_; }
  const std::map<std::string, ConsumerMember, std::less<>>& members() const { return members_; }
  size_t bytes() const;           // about what it takes in memory; asked after each step
  size_t matching_bytes() const;  // beside bytes(): what a pattern has matched that is looked at
  ConsumerGroupState state() const;
  const std::map<std::string, std::string, std::less<>>& static_members() const { return static_members_; }
  // By its id, else by its instance id; nullptr if there is none.
  const ConsumerMember* find(const std::string& member_id, const std::optional<std::string>& instance_id) const;
  // Nothing of it is in the log any more.
  bool is_gone() const { return !exists_ && members_.empty() && targets_.empty() && tally_.patterns().empty(); }
  // All that records made, as text: equal texts, equal state.
  std::string dump() const;

  // A record of this group, read from the log or just made. Those of other kinds of group are passed over.
  void apply(const GroupRecord& record);
  // The log was read: sessions begin anew.
  void loaded(const GroupContext& context);

  Outcome<Response> heartbeat(const Request& request, const HeartbeatCaller& caller, const GroupContext& context);

  // Members that speak the classic protocol still, while the others have moved on or come one by one (KIP-848,
  // "Upgrade"). They have no leader: each gets its own assignment with SyncGroup.
  Outcome<protocol::JoinGroupResponse> classic_join(const protocol::JoinGroupRequest& request,
                                                    const HeartbeatCaller& caller, const GroupContext& context);
  protocol::SyncGroupResponse classic_sync(const protocol::SyncGroupRequest& request, const GroupContext& context);
  ErrorCode classic_heartbeat(const protocol::HeartbeatRequest& request, const GroupContext& context);
  Outcome<ErrorCode> classic_leave(const std::string& member_id, const std::optional<std::string>& instance_id,
                                   const GroupContext& context);
  // Whether members are there, and all of them speak the classic protocol.
  bool is_all_classic() const;

  // Of a group that has nothing yet: it takes a classic group's members over, with what they have.
  std::vector<GroupRecord> adopt(const std::vector<AdoptedMember>& members, int32_t epoch, const GroupContext& context);
  // The other way; is_all_classic().
  protocol::GroupMetadataValue as_classic(const GroupContext& context) const;

  // When on_deadline() has something to do; the largest number if there is nothing.
  Nanos next_deadline() const { return timers_.next(); }
  std::vector<GroupRecord> on_deadline(const GroupContext& context);

  Described describe(const GroupContext& context) const;

  // Tombstones of all that is in the log of it, as a group without members is deleted or becomes another kind of group.
  std::vector<GroupRecord> tombstones() const;

  // Whether a member may commit or fetch an offset (compat.md 90, 97). epoch: of the member; below 0 with no member id:
  // who is no member. api_version: of OffsetCommit. A member's own older epoch is taken for partitions that it has had
  // since (KIP-1251).
  std::optional<Refusal> check_commit(std::string_view member_id, const std::optional<std::string>& instance_id,
                                      int32_t epoch, int16_t api_version, const Uuid& topic, int32_t partition) const;
  std::optional<Refusal> check_fetch(const std::optional<std::string>& member_id, int32_t epoch) const;
  bool is_subscribed_to(std::string_view topic) const { return tally_.topics().contains(topic); }

 private:
  using Records = std::vector<GroupRecord>;
  template <class T>
  using Checked = std::expected<T, Refusal>;

  // A member that a heartbeat found or is about to make.
  struct Found {
    std::string id;
    const ConsumerMember* member = nullptr;    // nullptr: a new one
    const ConsumerMember* replaces = nullptr;  // the static member whose place it takes
  };

  // consumer_describe.cc
  MemberTally recounted() const;

  // consumer_records.cc
  void emit(GroupRecord record, Records& records);
  ConsumerMember& member_of(const std::string& member_id);
  void forget_instance(const std::string& instance_id, const std::string& member_id);
  void erase_member(const std::string& member_id);
  void set_subscription(ConsumerMember& member, const protocol::ConsumerGroupMemberMetadataValue& value);
  void set_progress(ConsumerMember& member, Progress progress);
  void apply_key(const protocol::ConsumerGroupMetadataKey& key, const std::optional<RecordValue>& value);
  void apply_key(const protocol::ConsumerGroupMemberMetadataKey& key, const std::optional<RecordValue>& value);
  void apply_key(const protocol::ConsumerGroupTargetAssignmentMetadataKey& key,
                 const std::optional<RecordValue>& value);
  void apply_key(const protocol::ConsumerGroupTargetAssignmentMemberKey& key, const std::optional<RecordValue>& value);
  void apply_key(const protocol::ConsumerGroupCurrentMemberAssignmentKey& key, const std::optional<RecordValue>& value);
  void apply_key(const protocol::ConsumerGroupRegularExpressionKey& key, const std::optional<RecordValue>& value);
  void emit_group(int32_t epoch, int64_t metadata_hash, Records& records);
  void emit_assignment_epoch(int32_t epoch, int64_t wall_ms, Records& records);
  void emit_subscription(const std::string& member_id, const Subscription& subscription, Records& records);
  void emit_target(const std::string& member_id, const Assignment& target, Records& records);
  void emit_progress(const std::string& member_id, const Progress& progress, Records& records);

  // consumer_heartbeat.cc
  Checked<Found> find_member(const Request& request, const HeartbeatCaller& caller) const;
  const ConsumerMember* holder_of(const std::string& instance_id) const;
  Checked<Found> find_static_member(const Request& request, const std::string& member_id) const;
  Checked<void> check_epoch(const ConsumerMember& member, const Request& request) const;
  void take_place(const ConsumerMember& old, const std::string& member_id, Records& records);
  bool fits(const std::string& member_id, const Subscription& subscription, const GroupContext& context) const;
  bool update_subscription(const std::string& member_id, bool is_new, Subscription wants, Records& records);
  void reconcile_member(const std::string& member_id, const std::optional<Assignment>& owned, bool changed,
                        const GroupContext& context, Records& records);
  Response respond(const ConsumerMember& member, bool with_assignment, const GroupContext& context) const;

  // consumer_classic.cc
  ErrorCode check_classic_join(const protocol::JoinGroupRequest& request, const GroupContext& context) const;
  std::expected<Found, ErrorCode> find_joining(const protocol::JoinGroupRequest& request,
                                               const HeartbeatCaller& caller) const;
  std::expected<const ConsumerMember*, ErrorCode> find_classic(const std::string& member_id,
                                                               const std::optional<std::string>& instance_id) const;
  std::string common_protocol(const std::vector<std::string>& also) const;
  bool must_rejoin(const ConsumerMember& member) const;
  bool waits_for_others(const ConsumerMember& member) const;
  void expect(char what, const ConsumerMember& member, const GroupContext& context);

  // consumer_leave.cc
  Outcome<Response> leave(const Request& request, const GroupContext& context);
  void remove_member(const std::string& member_id, const GroupContext& context, Records& records);
  void emit_member_tombstones(const std::string& member_id, Records& records);
  void drop_unused_regexes(Records& records);
  void keep_session(const ConsumerMember& member, const GroupContext& context);
  void keep_rebalance_deadline(const ConsumerMember& member, const GroupContext& context);

  // consumer_patterns.cc
  bool resolve_regexes(const GroupContext& context, Records& records);
  void begin_round(const GroupContext& context);
  bool choose_pattern(const GroupContext& context);
  bool look_at_pattern(const GroupContext& context, uint64_t& work, Records& records);

  // consumer_target.cc
  bool wants(const Subscription& subscription, const std::string& topic) const;
  bool refresh_topics(const GroupContext& context, Records& records);
  int64_t hash_topics(const TopicTable& topics) const;
  std::string preferred_assignor(const ConsumerGroupSettings& settings) const;
  bool target_is_due(const GroupContext& context);
  void make_target(const GroupContext& context, Records& records);

  std::string id_;

  // By records.
  bool exists_ = false;
  int32_t epoch_ = 0;
  int64_t metadata_hash_ = 0;
  int32_t assignment_epoch_ = 0;
  int64_t assignment_timestamp_ = 0;
  std::map<std::string, ConsumerMember, std::less<>> members_;
  std::map<std::string, Assignment, std::less<>> targets_;

  // Follows from those; of the patterns of topics, what they matched is by records, too.
  MemberTally tally_;
  std::map<std::string, std::string, std::less<>> static_members_;  // instance id to member id
  PartitionOwners owners_;

  // Of this life only.
  Timers timers_;
  std::optional<uint64_t> topics_seen_;  // the version that metadata_hash_ and the patterns are of
  Nanos regexes_next_ = 0;               // no round again before
  // All patterns are looked at in a round, in their order, when there are other topics; one that is new at once. It may
  // take many turns.
  struct Round {
    uint64_t version = 0;  // of the topics when it began
    std::string from{};    // the patterns before it were looked at
  };
  std::optional<Round> round_;
  struct Matching {
    std::string pattern;
    uint64_t version = 0;
    bool in_round = false;
    std::string from{};  // the topics before it were looked at
    std::set<std::string> topics{};
  };
  std::optional<Matching> matching_;  // the one that is looked at
  std::optional<Nanos> assigned_at_;
};

}  // namespace penstock::control::groups
