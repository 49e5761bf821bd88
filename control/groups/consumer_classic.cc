// JoinGroup, SyncGroup, Heartbeat and LeaveGroup in a next-generation group: members that speak the classic protocol
// still.
#include <algorithm>

#include "control/groups/classic_subscription.h"
#include "control/groups/consumer_group.h"

namespace penstock::control::groups {
namespace {

using JoinRequest = protocol::JoinGroupRequest;
using JoinResponse = protocol::JoinGroupResponse;

constexpr std::string_view kConsumerType = "consumer";
constexpr int16_t kNeedsMemberId = 4;  // the version of JoinGroup from which MEMBER_ID_REQUIRED is known (KIP-394)

std::vector<std::string> names_of(const std::vector<JoinRequest::Protocol>& protocols) {
  std::vector<std::string> names;
  for (const auto& protocol : protocols) names.push_back(protocol.name);
  return names;
}

}  // namespace

// The first that all classic members know, and those who come; empty if there is none.
std::string ConsumerGroup::common_protocol(const std::vector<std::string>& also) const {
  for (const std::string& name : also) {
    if (tally_.classic_supporters(name) == tally_.classic()) return name;
  }
  return "";
}

ErrorCode ConsumerGroup::check_classic_join(const JoinRequest& request, const GroupContext& context) const {
  if (request.protocol_type != kConsumerType || request.protocols.empty()) return ErrorCode::kInconsistentGroupProtocol;
  if (common_protocol(names_of(request.protocols)).empty()) return ErrorCode::kInconsistentGroupProtocol;
  if (!read_subscription(request.protocols.front().metadata, context.topics)) {
    return ErrorCode::kInconsistentGroupProtocol;
  }
  const bool is_known = members_.contains(request.member_id) ||
                        (request.group_instance_id && static_members_.contains(*request.group_instance_id));
  if (!is_known && members_.size() >= static_cast<size_t>(context.settings.max_size)) {
    return ErrorCode::kGroupMaxSizeReached;
  }
  return ErrorCode::kNone;
}

std::expected<ConsumerGroup::Found, ErrorCode> ConsumerGroup::find_joining(const JoinRequest& request,
                                                                           const HeartbeatCaller& caller) const {
  const std::string id = request.member_id.empty() ? caller.new_member_id : request.member_id;
  const auto at = members_.find(id);
  const Found as_it_is{.id = id, .member = at == members_.end() ? nullptr : &at->second, .replaces = nullptr};
  if (!request.group_instance_id) {
    if (request.member_id.empty() && caller.api_version >= kNeedsMemberId) {
      return std::unexpected(ErrorCode::kMemberIdRequired);
    }
    return as_it_is;
  }
  const ConsumerMember* holder = holder_of(*request.group_instance_id);
  if (holder == nullptr) {
    if (!request.member_id.empty() && as_it_is.member == nullptr) return std::unexpected(ErrorCode::kUnknownMemberId);
    return as_it_is;
  }
  if (holder->id == id) return as_it_is;
  if (!request.member_id.empty()) return std::unexpected(ErrorCode::kFencedInstanceId);
  // It was started again, maybe with the other protocol than before. As in Kafka the place of a living member of the
  // new protocol is kept only from others of the new protocol.
  return Found{.id = id, .member = nullptr, .replaces = holder};
}

Outcome<JoinResponse> ConsumerGroup::classic_join(const JoinRequest& request, const HeartbeatCaller& caller,
                                                  const GroupContext& context) {
  Outcome<JoinResponse> outcome;
  JoinResponse& response = outcome.response;
  response.member_id = request.member_id;
  response.protocol_name = "";
  response.error_code = check_classic_join(request, context);
  if (response.error_code != ErrorCode::kNone) return outcome;
  const auto found = find_joining(request, caller);
  if (!found) {
    response.error_code = found.error();
    if (found.error() == ErrorCode::kMemberIdRequired) response.member_id = caller.new_member_id;
    return outcome;
  }
  const auto wants = *read_subscription(request.protocols.front().metadata, context.topics);
  const std::string id = found->id;
  const bool is_new = found->member == nullptr && found->replaces == nullptr;
  Subscription now{.instance_id = request.group_instance_id,
                   .rack_id = wants.rack_id,
                   .client_id = caller.client_id,
                   .client_host = caller.client_host,
                   .topic_names = wants.topics,
                   .regex = std::nullopt,
                   .rebalance_timeout_ms =
                       request.rebalance_timeout_ms > 0 ? request.rebalance_timeout_ms : request.session_timeout_ms,
                   .server_assignor = std::nullopt,
                   .classic = ClassicMetadata{.session_timeout_ms = request.session_timeout_ms, .protocols = {}}};
  for (const auto& protocol : request.protocols) now.classic->protocols.emplace_back(protocol.name, protocol.metadata);
  if (!fits(id, now, context)) {
    response.error_code = ErrorCode::kMessageTooLarge;
    return outcome;
  }
  Records& records = outcome.records;
  if (found->replaces != nullptr) take_place(*found->replaces, id, records);
  const Subscription before = is_new ? Subscription{} : members_.find(id)->second.subscription;
  if (now != before) emit_subscription(id, now, records);
  const bool changed = is_new || now.topic_names != before.topic_names || now.regex != before.regex;
  const bool other_topics = refresh_topics(context, records);
  if (changed) drop_unused_regexes(records);
  if (changed || other_topics || epoch_ == 0) emit_group(epoch_ + 1, hash_topics(context.topics), records);
  if (target_is_due(context)) make_target(context, records);
  reconcile_member(id, wants.owned, changed || other_topics, context, records);
  const ConsumerMember& member = members_.find(id)->second;
  keep_session(member, context);
  timers_.cancel("j" + id);
  expect('y', member, context);
  response.member_id = id;
  response.generation_id = member.progress.epoch;
  response.protocol_type = kConsumerType;
  response.protocol_name = common_protocol(names_of(request.protocols));
  return outcome;
}

std::expected<const ConsumerMember*, ErrorCode> ConsumerGroup::find_classic(
    const std::string& member_id, const std::optional<std::string>& instance_id) const {
  if (instance_id) {
    const auto known = static_members_.find(*instance_id);
    if (known == static_members_.end()) return std::unexpected(ErrorCode::kUnknownMemberId);
    if (known->second != member_id) return std::unexpected(ErrorCode::kFencedInstanceId);
  }
  const auto at = members_.find(member_id);
  if (at == members_.end() || !at->second.is_classic()) return std::unexpected(ErrorCode::kUnknownMemberId);
  return &at->second;
}

protocol::SyncGroupResponse ConsumerGroup::classic_sync(const protocol::SyncGroupRequest& request,
                                                        const GroupContext& context) {
  protocol::SyncGroupResponse response;
  const auto refuse = [&](ErrorCode error) {
    response.error_code = error;
    return response;
  };
  const auto found = find_classic(request.member_id, request.group_instance_id);
  if (!found) return refuse(found.error());
  const ConsumerMember& member = **found;
  if (request.generation_id != member.progress.epoch) return refuse(ErrorCode::kIllegalGeneration);
  std::vector<std::string> names;
  for (const auto& [name, metadata] : member.subscription.classic->protocols) names.push_back(name);
  const std::string protocol = common_protocol(names);
  if ((request.protocol_type && *request.protocol_type != kConsumerType) ||
      (request.protocol_name && *request.protocol_name != protocol)) {
    return refuse(ErrorCode::kInconsistentGroupProtocol);
  }
  keep_session(member, context);
  timers_.cancel("y" + member.id);
  if (epoch_ > member.progress.epoch && member.progress.state != MemberState::kUnrevoked) {
    expect('j', member, context);
    return refuse(ErrorCode::kRebalanceInProgress);
  }
  const auto wants = read_subscription(member.subscription.classic->protocols.front().second, context.topics);
  response.protocol_type = kConsumerType;
  response.protocol_name = protocol;
  response.assignment = write_assignment(wants ? wants->version : int16_t{0}, member.progress.assigned, context.topics);
  return response;
}

ErrorCode ConsumerGroup::classic_heartbeat(const protocol::HeartbeatRequest& request, const GroupContext& context) {
  const auto found = find_classic(request.member_id, request.group_instance_id);
  if (!found) return found.error();
  const ConsumerMember& member = **found;
  if (request.generation_id != member.progress.epoch) return ErrorCode::kIllegalGeneration;
  keep_session(member, context);
  if (!must_rejoin(member)) return ErrorCode::kNone;
  expect('j', member, context);
  return ErrorCode::kRebalanceInProgress;
}

// A classic member moves on by joining again: when there is a new target, when it must say that it let go, and when
// what it waited for is free.
bool ConsumerGroup::must_rejoin(const ConsumerMember& member) const {
  if (epoch_ > member.progress.epoch || member.progress.state == MemberState::kUnrevoked) return true;
  return member.progress.state == MemberState::kUnreleased && !waits_for_others(member);
}

bool ConsumerGroup::waits_for_others(const ConsumerMember& member) const {
  const auto target = targets_.find(member.id);
  if (target == targets_.end()) return false;
  for (const auto& [topic, partitions] : target->second) {
    for (const int32_t partition : partitions) {
      if (owners_.is_held_by_another(member.id, topic, partition)) return true;
    }
  }
  return false;
}

// It is thrown out if it does not come in time.
void ConsumerGroup::expect(char what, const ConsumerMember& member, const GroupContext& context) {
  const std::string name = what + member.id;
  if (!timers_.is_set(name)) {
    timers_.set(name, context.now + member.subscription.rebalance_timeout_ms * kMillisecond);
  }
}

Outcome<ErrorCode> ConsumerGroup::classic_leave(const std::string& member_id,
                                                const std::optional<std::string>& instance_id,
                                                const GroupContext& context) {
  std::string id = member_id;
  if (instance_id) {
    const auto known = static_members_.find(*instance_id);
    if (known == static_members_.end()) return {.response = ErrorCode::kUnknownMemberId, .records = {}};
    if (!id.empty() && known->second != id) return {.response = ErrorCode::kFencedInstanceId, .records = {}};
    id = known->second;
  }
  if (!members_.contains(id)) return {.response = ErrorCode::kUnknownMemberId, .records = {}};
  Outcome<ErrorCode> outcome{.response = ErrorCode::kNone, .records = {}};
  remove_member(id, context, outcome.records);
  return outcome;
}

bool ConsumerGroup::is_all_classic() const { return !members_.empty() && tally_.classic() == members_.size(); }

}  // namespace penstock::control::groups
