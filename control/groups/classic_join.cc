// JoinGroup, SyncGroup, Heartbeat and LeaveGroup of a classic group, in the order of Kafka's GroupMetadataManager.
#include <algorithm>
#include <ranges>
#include <utility>

#include "control/controller/uuid_text.h"
#include "control/groups/classic_group.h"

namespace penstock::control::groups {
namespace {

// Kafka: classicGroupNewMemberJoinTimeoutMs. Who has never been told its id cannot send heartbeats.
constexpr int64_t kNewMemberJoinMs = 5 * 60 * 1000;

ClassicGroup::JoinResponse refused(ErrorCode error, std::string member_id) {
  ClassicGroup::JoinResponse response;
  response.error_code = error;
  response.member_id = std::move(member_id);
  response.protocol_name = "";  // before version 7 it cannot be null
  return response;
}

void answer(const Caller& caller, LateResponse response, Step& step) {
  step.effects.answers.push_back({.ticket = caller.ticket, .response = std::move(response)});
}

// Before version 1 there was one timeout for both.
int32_t rebalance_timeout(const ClassicGroup::Join& request, const Caller& caller) {
  return caller.version == 0 ? request.session_timeout_ms : std::max(request.rebalance_timeout_ms, 0);
}

bool disagree(const std::optional<std::string>& said, const std::optional<std::string>& is) {
  return said && is && *said != *is;
}

}  // namespace

// ---- JoinGroup

void ClassicGroup::join(const Join& request, const Caller& caller, Step& step) {
  if (!accepts(request.member_id, step.settings)) {
    remove(request.member_id);
    return answer(caller, refused(ErrorCode::kGroupMaxSizeReached, ""), step);
  }
  if (!supports(request))
    return answer(caller, refused(ErrorCode::kInconsistentGroupProtocol, request.member_id), step);
  if (request.member_id.empty()) return join_new(request, caller, step);
  join_again(request, caller, step);
}

// Who is in, or waits to be, stays in.
bool ClassicGroup::accepts(const std::string& member_id, const GroupSettings& settings) const {
  const auto most = static_cast<size_t>(settings.group_max_size);
  const auto member = members_.find(member_id);
  switch (state_) {
    case ClassicState::kEmpty: return true;
    case ClassicState::kPreparingRebalance:
      return (member != members_.end() && member->second.joining) || joining_ < most;
    case ClassicState::kCompletingRebalance:
    case ClassicState::kStable: return member != members_.end() || members_.size() < most;
  }
  std::unreachable();
}

bool ClassicGroup::supports(const Join& request) const {
  if (state_ == ClassicState::kEmpty && members_.empty())
    return !request.protocol_type.empty() && !request.protocols.empty();
  if (protocol_type_ != request.protocol_type) return false;
  return std::ranges::any_of(request.protocols, [this](const auto& protocol) {
    const auto count = supporters_.find(protocol.name);
    return (count == supporters_.end() ? 0 : count->second) == members_.size();  // of nobody, any is all's
  });
}

void ClassicGroup::join_new(const Join& request, const Caller& caller, Step& step) {
  const std::string& stem = request.group_instance_id ? *request.group_instance_id : caller.client_id;
  std::string new_id = stem + "-" + to_hyphenated_text(random_uuid(step.prng));
  if (request.group_instance_id) {
    const auto holder = static_members_.find(*request.group_instance_id);
    if (holder != static_members_.end())
      return replace_static(request, caller, std::string(holder->second), std::move(new_id), step);
    return add_and_rebalance(request, caller, std::move(new_id), step);
  }
  if (caller.version < kJoinNeedsMemberId) return add_and_rebalance(request, caller, std::move(new_id), step);
  if (pending_.size() >= step.settings.pending_max)
    return answer(caller, refused(ErrorCode::kCoordinatorNotAvailable, ""), step);  // it asks again
  pending_.set(new_id, deadline_in(step.now, request.session_timeout_ms));
  pending_bytes_ += bytes_of_pending(new_id);
  answer(caller, refused(ErrorCode::kMemberIdRequired, std::move(new_id)), step);
}

void ClassicGroup::join_again(const Join& request, const Caller& caller, Step& step) {
  if (pending_.is_set(request.member_id)) {
    if (!request.group_instance_id) return add_and_rebalance(request, caller, request.member_id, step);
    return answer(caller, refused(ErrorCode::kUnknownServerError, request.member_id), step);  // static ones never wait
  }
  if (const ErrorCode error = check_member(request.member_id, request.group_instance_id); error != ErrorCode::kNone)
    return answer(caller, refused(error, request.member_id), step);
  ClassicMember& member = members_.find(request.member_id)->second;
  switch (state_) {
    case ClassicState::kPreparingRebalance: return update_and_rebalance(request, caller, member, step);
    case ClassicState::kCompletingRebalance:
      // With the same metadata it did not get the first answer.
      if (member.protocols == request.protocols) return answer(caller, joined(member), step);
      return update_and_rebalance(request, caller, member, step);
    case ClassicState::kStable: return join_stable(request, caller, member, step);
    case ClassicState::kEmpty: return answer(caller, refused(ErrorCode::kUnknownMemberId, request.member_id), step);
  }
}

// A leader that joins wants a new assignment, also when its own metadata is as before.
void ClassicGroup::join_stable(const Join& request, const Caller& caller, ClassicMember& member, Step& step) {
  if (is_leader(member.id) || member.protocols != request.protocols)
    return update_and_rebalance(request, caller, member, step);
  auto response = joined(member);
  response.members.clear();
  answer(caller, std::move(response), step);
}

// A static member has come back without its member id (KIP-345): it goes on under a new one, and the old is fenced.
void ClassicGroup::replace_static(const Join& request, const Caller& caller, const std::string& old_id,
                                  std::string new_id, Step& step) {
  const std::optional<std::string> leader_before = leader_;
  ClassicMember member = members_.find(old_id)->second;
  ClassicMember& old = members_.find(old_id)->second;
  if (old.joining) answer_join(old, refused(ErrorCode::kFencedInstanceId, old_id), step);
  if (old.syncing) answer_sync(old, ErrorCode::kFencedInstanceId, step);
  const bool led = is_leader(old_id);
  const bool was_pending_sync = pending_sync_.contains(old_id);
  remove(old_id);
  member.id = new_id;
  member.joining.reset();
  member.syncing.reset();
  ClassicMember& replaced = add(std::move(member));
  if (led) leader_ = new_id;
  if (was_pending_sync) pending_sync_.insert(new_id);
  heard_of(replaced, step.now);
  update(replaced, request, caller, step);
  if (state_ == ClassicState::kStable) {
    if (select_protocol() != protocol_ || !fits(step.settings)) return rebalance_or_complete(step);
    compute_subscriptions();
    write(step);
    JoinResponse response = joined(replaced);
    if (caller.version >= kJoinMaySkipAssignment) {
      response.skip_assignment = led;
    } else {
      response.members.clear();
      response.leader = leader_before.value_or("");  // so it takes itself for a follower and asks for its assignment
    }
    return answer_join(replaced, std::move(response), step);
  }
  // In between the leader may have been told the old id: what it says would not fit.
  if (state_ == ClassicState::kCompletingRebalance) return prepare_rebalance(step);
  complete_join_if_ready(step);
}

void ClassicGroup::add_and_rebalance(const Join& request, const Caller& caller, std::string member_id, Step& step) {
  if (members_.empty()) protocol_type_ = request.protocol_type;
  if (state_ == ClassicState::kPreparingRebalance && state_before_ == ClassicState::kEmpty) new_member_added_ = true;
  ClassicMember& member = add({.id = std::move(member_id),
                               .instance_id = request.group_instance_id,
                               .client_id = caller.client_id,
                               .client_host = caller.client_host,
                               .rebalance_timeout_ms = rebalance_timeout(request, caller),
                               .session_timeout_ms = request.session_timeout_ms,
                               .protocols = request.protocols,
                               .joining = caller.ticket,
                               .is_new = true});
  set_deadline(member, step.now, kNewMemberJoinMs);
  rebalance_or_complete(step);
}

void ClassicGroup::update_and_rebalance(const Join& request, const Caller& caller, ClassicMember& member, Step& step) {
  update(member, request, caller, step);
  rebalance_or_complete(step);
}

void ClassicGroup::update(ClassicMember& member, const Join& request, const Caller& caller, Step& step) {
  // A client that asks again has given up waiting for the first answer.
  if (member.joining) answer_join(member, refused(ErrorCode::kRebalanceInProgress, member.id), step);
  bytes_ -= member.bytes();
  count_protocols(member, false);
  member.protocols = request.protocols;
  member.rebalance_timeout_ms = rebalance_timeout(request, caller);
  member.session_timeout_ms = request.session_timeout_ms;
  member.client_id = caller.client_id;
  member.client_host = caller.client_host;
  member.joining = caller.ticket;
  ++joining_;
  count_protocols(member, true);
  bytes_ += member.bytes();
}

std::vector<ClassicGroup::JoinResponse::Member> ClassicGroup::told_members() const {
  std::vector<JoinResponse::Member> told;
  for (const auto& [id, member] : members_) {
    const auto* metadata = protocol_ ? member.metadata(*protocol_) : nullptr;
    told.push_back({.member_id = id,
                    .group_instance_id = member.instance_id,
                    .metadata = metadata == nullptr ? std::vector<std::byte>() : *metadata});
  }
  return told;
}

// The leader is told who there is.
ClassicGroup::JoinResponse ClassicGroup::joined(const ClassicMember& member) const {
  JoinResponse response;
  response.generation_id = generation_;
  response.protocol_type = protocol_type_;
  response.protocol_name = protocol_.value_or("");
  response.leader = leader_.value_or("");
  response.member_id = member.id;
  if (is_leader(member.id)) response.members = told_members();
  return response;
}

// ---- SyncGroup

void ClassicGroup::sync(const Sync& request, const Caller& caller, Step& step) {
  const auto refuse = [&](ErrorCode error) { answer(caller, SyncResponse{.error_code = error}, step); };
  if (const ErrorCode error = check_member(request.member_id, request.group_instance_id); error != ErrorCode::kNone)
    return refuse(error);
  if (request.generation_id != generation_) return refuse(ErrorCode::kIllegalGeneration);
  if (disagree(request.protocol_type, protocol_type_) || disagree(request.protocol_name, protocol_))
    return refuse(ErrorCode::kInconsistentGroupProtocol);
  if (state_ == ClassicState::kEmpty) return refuse(ErrorCode::kUnknownMemberId);
  if (state_ == ClassicState::kPreparingRebalance) return refuse(ErrorCode::kRebalanceInProgress);
  ClassicMember& member = members_.find(request.member_id)->second;
  if (member.syncing) answer_sync(member, ErrorCode::kRebalanceInProgress, step);  // it has given that one up
  member.syncing = caller.ticket;
  pending_sync_.erase(member.id);
  if (pending_sync_.empty()) sync_deadline_ = kNever;
  if (state_ == ClassicState::kStable) return answer_sync(member, ErrorCode::kNone, step);
  if (!is_leader(member.id)) return;
  assign(request.assignments);
  if (!fits(step.settings)) {  // as Kafka, whose append fails then
    refuse_syncs(ErrorCode::kUnknownServerError, step);
    return rebalance_or_complete(step);
  }
  move_to(ClassicState::kStable, step.now);
  write(step);
  for (auto& [id, each] : members_) {
    if (!each.syncing) continue;
    answer_sync(each, ErrorCode::kNone, step);
    heard_of(each, step.now);
  }
}

// Who is not named has nothing; of two that name one, the first counts.
void ClassicGroup::assign(const std::vector<Sync::Assignment>& assignments) {
  for (auto& [id, member] : members_) {
    bytes_ -= member.bytes();
    member.assignment.clear();
  }
  for (const auto& said : std::views::reverse(assignments)) {
    const auto member = members_.find(said.member_id);
    if (member != members_.end()) member->second.assignment = said.assignment;
  }
  for (const auto& [id, member] : members_) bytes_ += member.bytes();
}

// ---- Heartbeat and LeaveGroup

ErrorCode ClassicGroup::heartbeat(const protocol::HeartbeatRequest& request, Step& step) {
  if (const ErrorCode error = check_member(request.member_id, request.group_instance_id); error != ErrorCode::kNone)
    return error;
  if (request.generation_id != generation_) return ErrorCode::kIllegalGeneration;
  heard_of(members_.find(request.member_id)->second, step.now);
  return state_ == ClassicState::kPreparingRebalance ? ErrorCode::kRebalanceInProgress : ErrorCode::kNone;
}

ErrorCode ClassicGroup::leave(const std::string& member_id, const std::optional<std::string>& instance_id, Step& step) {
  std::string id = member_id;
  if (id.empty()) {  // an operator takes a static member out
    const auto holder = instance_id ? static_members_.find(*instance_id) : static_members_.end();
    if (holder == static_members_.end()) return ErrorCode::kUnknownMemberId;
    id = holder->second;
  } else if (forget_pending(id)) {
    complete_join_if_ready(step);
    return ErrorCode::kNone;
  } else if (const ErrorCode error = check_member(id, instance_id); error != ErrorCode::kNone) {
    return error;
  }
  ClassicMember& member = members_.find(id)->second;
  if (member.joining) answer_join(member, refused(ErrorCode::kUnknownMemberId, ""), step);
  if (member.syncing) answer_sync(member, ErrorCode::kUnknownMemberId, step);
  remove(id);
  member_left_ = true;
  return ErrorCode::kNone;
}

void ClassicGroup::left(Step& step) {
  if (std::exchange(member_left_, false)) rebalance_or_complete(step);
}

}  // namespace penstock::control::groups
