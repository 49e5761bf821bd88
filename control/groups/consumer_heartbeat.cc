// ConsumerGroupHeartbeat of members that come or stay.
#include <algorithm>

#include "base/assert.h"
#include "control/groups/consumer_group.h"
#include "control/groups/heartbeat_checks.h"
#include "control/groups/reconcile.h"

namespace penstock::control::groups {
namespace {

using Response = ConsumerGroup::Response;

std::unexpected<Refusal> refuse(ErrorCode error, std::string message) {
  return std::unexpected(Refusal{.error = error, .message = std::move(message)});
}

Outcome<Response> refused(Refusal refusal) {
  Outcome<Response> outcome;
  outcome.response.error_code = refusal.error;
  outcome.response.error_message = std::move(refusal.message);
  return outcome;
}

bool is_part_of(const std::optional<Assignment>& owned, const Holding& assigned) {
  if (!owned) return false;
  return std::ranges::all_of(*owned, [&](const auto& entry) {
    return std::ranges::all_of(entry.second,
                               [&](int32_t partition) { return has_partition(assigned, entry.first, partition); });
  });
}

std::optional<Assignment> owned_of(const ConsumerGroup::Request& request) {
  if (!request.topic_partitions) return std::nullopt;
  return to_assignment(*request.topic_partitions);
}

// It was told long ago, and still has not said that it owns what it may; or this coordinator has not heard yet.
bool must_hear_again(const ConsumerMember& member, const GroupContext& context) {
  if (!member.reported) return true;
  return *member.reported != fingerprint(member.progress.assigned) &&
         context.now >= member.told_at + context.settings.heartbeat_interval_ms * kMillisecond;
}

// What it wants now: what it does not say is as before.
Subscription updated(const ConsumerMember* before, const ConsumerGroup::Request& request,
                     const HeartbeatCaller& caller) {
  Subscription now = before == nullptr ? Subscription{} : before->subscription;
  if (request.instance_id) now.instance_id = request.instance_id;
  if (request.rack_id) now.rack_id = request.rack_id;
  if (request.rebalance_timeout_ms != -1) now.rebalance_timeout_ms = request.rebalance_timeout_ms;
  if (request.server_assignor) now.server_assignor = request.server_assignor;
  if (request.subscribed_topic_names) {
    now.topic_names = *request.subscribed_topic_names;
    std::ranges::sort(now.topic_names);
    now.topic_names.erase(std::unique(now.topic_names.begin(), now.topic_names.end()), now.topic_names.end());
  }
  if (request.subscribed_topic_regex) {
    now.regex = request.subscribed_topic_regex->empty() ? std::nullopt : request.subscribed_topic_regex;
  }
  now.client_id = caller.client_id;
  now.client_host = caller.client_host;
  now.classic.reset();
  return now;
}

// A member that says everything again wants to hear everything again: its last answer may have been lost.
bool is_full(const ConsumerGroup::Request& request) {
  return request.member_epoch == kJoinEpoch || (request.rebalance_timeout_ms != -1 && request.topic_partitions &&
                                                (request.subscribed_topic_names || request.subscribed_topic_regex));
}

}  // namespace

Outcome<Response> ConsumerGroup::heartbeat(const Request& request, const HeartbeatCaller& caller,
                                           const GroupContext& context) {
  if (auto problem = check_heartbeat(request, caller.api_version, context.settings)) return refused(*problem);
  if (request.member_epoch < kJoinEpoch) return leave(request, context);
  const Checked<Found> found = find_member(request, caller);
  if (!found) return refused(found.error());
  const bool is_new = found->member == nullptr && found->replaces == nullptr;
  if (is_new && members_.size() >= static_cast<size_t>(context.settings.max_size)) {
    return refused({.error = ErrorCode::kGroupMaxSizeReached,
                    .message = "The consumer group has reached its maximum capacity of " +
                               std::to_string(context.settings.max_size) + " members."});
  }
  Subscription wants = updated(found->member != nullptr ? found->member : found->replaces, request, caller);
  if (!fits(found->id, wants, context)) {
    return refused({.error = ErrorCode::kMessageTooLarge,
                    .message = "What the member says of itself does not fit a record of at most " +
                               std::to_string(context.record_bytes_max) + " bytes."});
  }
  // A member that begins anew while it was in the middle: were this request a late one, then whoever sent it is further
  // already, with partitions that this request gives away. A new epoch makes sure that it will notice.
  const bool begins_anew = found->member != nullptr && request.member_epoch == kJoinEpoch &&
                           found->member->progress.epoch != kStaticLeaveEpoch &&
                           (found->member->progress.previous_epoch != 0 || !found->member->progress.revoking.empty());
  Outcome<Response> outcome;
  Records& records = outcome.records;
  const std::string id = found->id;
  if (found->replaces != nullptr) take_place(*found->replaces, id, records);
  const Holding had = is_new ? Holding{} : members_.find(id)->second.progress.assigned;
  const std::string assignor = preferred_assignor(context.settings);
  const bool changed = update_subscription(id, is_new, std::move(wants), records);
  const bool other_assignor = preferred_assignor(context.settings) != assignor;
  const bool other_topics = refresh_topics(context, records);
  if (changed) drop_unused_regexes(records);
  if (changed || other_topics || other_assignor || begins_anew || epoch_ == 0) {
    emit_group(epoch_ + 1, hash_topics(context.topics), records);
  }
  if (begins_anew || target_is_due(context)) make_target(context, records);
  reconcile_member(id, owned_of(request), changed || other_topics, context, records);
  ConsumerMember& member = members_.find(id)->second;
  keep_session(member, context);
  if (request.topic_partitions) member.reported = fingerprint(to_assignment(*request.topic_partitions));
  const bool tells = is_full(request) || member.progress.assigned != had || must_hear_again(member, context);
  if (tells) {
    member.told_at = context.now;
    if (!member.reported) member.reported = fingerprint(member.progress.assigned);
  }
  outcome.response = respond(member, tells, context);
  return outcome;
}

ConsumerGroup::Checked<ConsumerGroup::Found> ConsumerGroup::find_member(const Request& request,
                                                                        const HeartbeatCaller& caller) const {
  const std::string& id = request.member_id.empty() ? caller.new_member_id : request.member_id;
  CHECK(!id.empty());
  if (request.instance_id) return find_static_member(request, id);
  const auto at = members_.find(id);
  if (at == members_.end()) {
    if (request.member_epoch == kJoinEpoch) return Found{.id = id};
    return refuse(ErrorCode::kUnknownMemberId, "Member " + id + " is not a member of group " + id_ + ".");
  }
  if (auto good = check_epoch(at->second, request); !good) return std::unexpected(good.error());
  return Found{.id = id, .member = &at->second};
}

const ConsumerMember* ConsumerGroup::holder_of(const std::string& instance_id) const {
  const auto known = static_members_.find(instance_id);
  const auto at = known == static_members_.end() ? members_.end() : members_.find(known->second);
  return at == members_.end() ? nullptr : &at->second;
}

const ConsumerMember* ConsumerGroup::find(const std::string& member_id,
                                          const std::optional<std::string>& instance_id) const {
  const auto at = members_.find(member_id);
  if (at != members_.end()) return &at->second;
  return instance_id ? holder_of(*instance_id) : nullptr;
}

ConsumerGroup::Checked<ConsumerGroup::Found> ConsumerGroup::find_static_member(const Request& request,
                                                                               const std::string& member_id) const {
  const std::string& instance = *request.instance_id;
  const bool joins = request.member_epoch == kJoinEpoch;
  const ConsumerMember* holder = holder_of(instance);
  if (holder == nullptr) {
    if (!joins) return refuse(ErrorCode::kUnknownMemberId, "Instance id " + instance + " is unknown.");
    const auto same = members_.find(member_id);
    return Found{.id = member_id, .member = same == members_.end() ? nullptr : &same->second};
  }
  const ConsumerMember& is = *holder;
  if (is.id == member_id) {
    if (auto good = check_epoch(is, request); !good) return std::unexpected(good.error());
    return Found{.id = member_id, .member = &is};
  }
  if (!joins) {
    return refuse(ErrorCode::kFencedInstanceId, "Static member " + member_id + " with instance id " + instance +
                                                    " was fenced by member " + is.id + ".");
  }
  // One of the new protocol says so when it stops. A classic one does not: who comes under its name is it, started
  // again.
  if (!is.is_classic() && is.progress.epoch != kStaticLeaveEpoch) {
    return refuse(ErrorCode::kUnreleasedInstanceId, "Static member " + member_id + " with instance id " + instance +
                                                        " cannot join the group because the instance id is owned by " +
                                                        is.id + " member.");
  }
  if (members_.contains(member_id)) {
    return refuse(ErrorCode::kInvalidRequest, "Member id " + member_id + " has another instance id.");
  }
  return Found{.id = member_id, .replaces = &is};
}

ConsumerGroup::Checked<void> ConsumerGroup::check_epoch(const ConsumerMember& member, const Request& request) const {
  const int32_t known = member.progress.epoch;
  if (request.member_epoch == known || request.member_epoch == kJoinEpoch) return {};
  const auto fence = [&](std::string_view how) {
    return refuse(ErrorCode::kFencedMemberEpoch,
                  "The consumer group member has a " + std::string(how) + " member epoch (" +
                      std::to_string(request.member_epoch) + ") than the one known by the group coordinator (" +
                      std::to_string(known) + "). The member must abandon all its partitions and rejoin.");
  };
  if (request.member_epoch > known) return fence("greater");
  // The answer that had the new epoch may have been lost: then it owns nothing that it should not.
  const Progress& is = member.progress;
  if (request.member_epoch == is.previous_epoch && is_part_of(owned_of(request), is.assigned)) return {};
  return fence("smaller");
}

// A static member comes back as another member: it gets all that it had, and nobody else notices (KIP-345).
void ConsumerGroup::take_place(const ConsumerMember& old, const std::string& member_id, Records& records) {
  const std::string old_id = old.id;
  const Subscription subscription = old.subscription;
  const Progress progress{.assigned = old.progress.assigned};
  const auto had = targets_.find(old_id);
  const Assignment target = had == targets_.end() ? Assignment{} : had->second;
  emit_member_tombstones(old_id, records);
  emit_subscription(member_id, subscription, records);
  emit_target(member_id, target, records);
  emit_progress(member_id, progress, records);
}

// Whether it can be written down.
bool ConsumerGroup::fits(const std::string& member_id, const Subscription& subscription,
                         const GroupContext& context) const {
  // What a record and a batch add, and more than that.
  constexpr size_t kAround = 256;
  return bytes_of(subscription) + id_.size() + member_id.size() + kAround <= context.record_bytes_max;
}

// True if it wants other topics than before.
bool ConsumerGroup::update_subscription(const std::string& member_id, bool is_new, Subscription wants,
                                        Records& records) {
  const Subscription before = is_new ? Subscription{} : members_.find(member_id)->second.subscription;
  const bool changed = is_new || wants.topic_names != before.topic_names || wants.regex != before.regex;
  if (is_new || wants != before) emit_subscription(member_id, wants, records);
  return changed;
}

void ConsumerGroup::reconcile_member(const std::string& member_id, const std::optional<Assignment>& owned, bool changed,
                                     const GroupContext& context, Records& records) {
  const ConsumerMember& member = members_.find(member_id)->second;
  const auto target = targets_.find(member_id);
  const Assignment none;
  const auto subscribed = [&](const Uuid& topic) {
    const std::string* name = context.topics.name_of(topic);
    return name != nullptr && wants(member.subscription, *name);
  };
  const Progress next = reconcile(member.progress, {.target_epoch = assignment_epoch_,
                                                    .target = target == targets_.end() ? none : target->second,
                                                    .subscribed = subscribed,
                                                    .subscription_changed = changed,
                                                    .owned = owned,
                                                    .held_by_another = [&](const Uuid& topic, int32_t partition) {
                                                      return owners_.is_held_by_another(member_id, topic, partition);
                                                    }});
  if (next != member.progress) {
    emit_progress(member_id, next, records);
    timers_.cancel("r" + member_id);
  }
  keep_rebalance_deadline(member, context);
}

Response ConsumerGroup::respond(const ConsumerMember& member, bool with_assignment, const GroupContext& context) const {
  Response response;
  response.member_id = member.id;
  response.member_epoch = member.progress.epoch;
  const bool is_looked_for = member.subscription.regex && tally_.resolved(*member.subscription.regex) == nullptr;
  const bool waits =
      is_looked_for || member.progress.state == MemberState::kUnreleased || member.progress.epoch < epoch_;
  const int32_t interval = context.settings.heartbeat_interval_ms;
  response.heartbeat_interval_ms = waits ? std::max(1, interval / kWaitingShare) : interval;
  if (with_assignment) {
    response.assignment.emplace().topic_partitions = to_entries<Response::TopicPartitions>(member.progress.assigned);
  }
  return response;
}

}  // namespace penstock::control::groups
