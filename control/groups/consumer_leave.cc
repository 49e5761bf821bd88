// Timers are named by what they wait for and the member: s a sign of life, r that it lets go, j and y JoinGroup and
// SyncGroup of a classic one; t is the group's next target, x what patterns match.
//
// Members that go: of their own will, or because they were silent or would not let go.
#include "control/groups/consumer_group.h"

namespace penstock::control::groups {

Outcome<ConsumerGroup::Response> ConsumerGroup::leave(const Request& request, const GroupContext& context) {
  Outcome<Response> outcome;
  const auto refuse = [&](ErrorCode error, std::string message) {
    outcome.response.error_code = error;
    outcome.response.error_message = std::move(message);
    return outcome;
  };
  std::string id = request.member_id;
  if (request.instance_id) {
    const auto known = static_members_.find(*request.instance_id);
    if (known == static_members_.end()) {
      return refuse(ErrorCode::kUnknownMemberId, "Instance id " + *request.instance_id + " is unknown.");
    }
    if (known->second != id) {
      return refuse(ErrorCode::kFencedInstanceId, "Static member " + id + " with instance id " + *request.instance_id +
                                                      " was fenced by member " + known->second + ".");
    }
  }
  const auto at = members_.find(id);
  if (at == members_.end()) {
    return refuse(ErrorCode::kUnknownMemberId, "Member " + id + " is not a member of group " + id_ + ".");
  }
  if (request.member_epoch == kStaticLeaveEpoch) {
    // It keeps its place until its session ends; what it was to give up, it has given up.
    emit_progress(id,
                  {.epoch = kStaticLeaveEpoch,
                   .previous_epoch = at->second.progress.epoch,
                   .state = MemberState::kStable,
                   .assigned = at->second.progress.assigned},
                  outcome.records);
    timers_.cancel("r" + id);
  } else {
    remove_member(id, context, outcome.records);
  }
  outcome.response.member_id = std::move(id);
  outcome.response.member_epoch = request.member_epoch;
  return outcome;
}

void ConsumerGroup::emit_member_tombstones(const std::string& member_id, Records& records) {
  const std::string id = member_id;  // the member may be what it is a name of
  emit(make_tombstone(protocol::ConsumerGroupCurrentMemberAssignmentKey{.group_id = id_, .member_id = id}), records);
  emit(make_tombstone(protocol::ConsumerGroupTargetAssignmentMemberKey{.group_id = id_, .member_id = id}), records);
  emit(make_tombstone(protocol::ConsumerGroupMemberMetadataKey{.group_id = id_, .member_id = id}), records);
  for (const char kind : {'s', 'r', 'j', 'y'}) timers_.cancel(kind + id);
}

void ConsumerGroup::remove_member(const std::string& member_id, const GroupContext& context, Records& records) {
  emit_member_tombstones(member_id, records);
  drop_unused_regexes(records);
  emit_group(epoch_ + 1, hash_topics(context.topics), records);
  // Nobody is left to assign to, and so nothing is left to do.
  if (members_.empty()) emit_assignment_epoch(epoch_, context.wall_ms, records);
}

void ConsumerGroup::drop_unused_regexes(Records& records) {
  std::vector<std::string> unused;
  for (const auto& [regex, is] : tally_.patterns()) {
    if (is.users == 0) unused.push_back(regex);
  }
  for (const std::string& regex : unused) {
    emit(make_tombstone(protocol::ConsumerGroupRegularExpressionKey{.group_id = id_, .regular_expression = regex}),
         records);
  }
}

void ConsumerGroup::keep_session(const ConsumerMember& member, const GroupContext& context) {
  const int32_t timeout =
      member.is_classic() ? member.subscription.classic->session_timeout_ms : context.settings.session_timeout_ms;
  timers_.set("s" + member.id, context.now + timeout * kMillisecond);
}

void ConsumerGroup::keep_rebalance_deadline(const ConsumerMember& member, const GroupContext& context) {
  const std::string name = "r" + member.id;
  if (member.progress.state != MemberState::kUnrevoked) {
    timers_.cancel(name);
  } else if (!timers_.is_set(name)) {
    const int32_t timeout = member.subscription.rebalance_timeout_ms;
    timers_.set(name, context.now + (timeout >= 0 ? timeout : context.settings.session_timeout_ms) * kMillisecond);
  }
}

void ConsumerGroup::loaded(const GroupContext& context) {
  for (const auto& [id, member] : members_) {
    keep_session(member, context);
    keep_rebalance_deadline(member, context);
  }
}

std::vector<GroupRecord> ConsumerGroup::on_deadline(const GroupContext& context) {
  Records records;
  while (const std::optional<std::string> name = timers_.take_due(context.now)) {
    if (*name == "t") {
      if (epoch_ > assignment_epoch_ && !members_.empty()) make_target(context, records);
      continue;
    }
    if (*name == "x") {
      if (refresh_topics(context, records)) emit_group(epoch_ + 1, hash_topics(context.topics), records);
      continue;
    }
    const std::string id = name->substr(1);
    if (members_.contains(id)) remove_member(id, context, records);
  }
  return records;
}

}  // namespace penstock::control::groups
