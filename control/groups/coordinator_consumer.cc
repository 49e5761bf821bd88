// Next-generation groups among a coordinator's: their requests, and groups that change their kind.
#include <algorithm>

#include "control/controller/uuid_text.h"
#include "control/groups/classic_subscription.h"
#include "control/groups/coordinator.h"
#include "control/groups/heartbeat_checks.h"

namespace penstock::control::groups {
namespace {

using Response = ConsumerGroup::Response;

Response refused(ErrorCode error, std::string message) {
  Response response;
  response.error_code = error;
  response.error_message = std::move(message);
  return response;
}

void append(std::vector<GroupRecord> records, Effects& effects) {
  std::ranges::move(records, std::back_inserter(effects.records));
}

// As the new kind of group keeps it. Nothing: its assignor's messages are not a consumer's, or say more than one needs.
std::optional<AdoptedMember> adopted(const ClassicMember& member, const std::string& assignor,
                                     const TopicTable& topics) {
  if (member.protocols.empty()) return std::nullopt;
  const auto wants = read_subscription(member.protocols.front().metadata, topics);
  const auto has = read_assignment(member.assignment, topics);
  if (!wants || !has || says_more_than_partitions(member.assignment, assignor)) return std::nullopt;
  AdoptedMember as{.id = member.id, .subscription = {}, .assigned = *has};
  as.subscription.instance_id = member.instance_id;
  as.subscription.rack_id = wants->rack_id;
  as.subscription.client_id = member.client_id;
  as.subscription.client_host = member.client_host;
  as.subscription.topic_names = wants->topics;
  as.subscription.rebalance_timeout_ms = member.rebalance_timeout_ms;
  auto& classic = as.subscription.classic.emplace();
  classic.session_timeout_ms = member.session_timeout_ms;
  for (const auto& protocol : member.protocols) classic.protocols.emplace_back(protocol.name, protocol.metadata);
  return as;
}

}  // namespace

const ConsumerGroup* consumer_of(const Group* group) {
  return group == nullptr ? nullptr : std::get_if<ConsumerGroup>(&group->body);
}
ConsumerGroup* consumer_of(Group* group) {
  return group == nullptr ? nullptr : std::get_if<ConsumerGroup>(&group->body);
}

HeartbeatCaller Coordinator::heartbeat_caller(const Caller& caller, const std::string& member_id) {
  return {.client_id = caller.client_id,
          .client_host = caller.client_host,
          .api_version = caller.version,
          .new_member_id = member_id.empty() ? to_text(random_uuid(prng_)) : ""};
}

template <class Work>
auto Coordinator::with_context(const std::string& id, Now now, Work work) const {
  const ConsumerGroupSettings settings = world_.settings_of(id);
  return work(GroupContext{.now = now.monotonic,
                           .wall_ms = now.wall_ms,
                           .settings = settings,
                           .topics = world_.topics,
                           .record_bytes_max = settings_.write_bytes_max,
                           .regex_work = world_.regex_work});
}

bool Coordinator::lacks_memory(const ConsumerGroup& group, const ConsumerGroup::Request& request) const {
  if (!full()) return false;
  const ConsumerMember* member = group.find(request.member_id, request.instance_id);
  if (member == nullptr) return request.member_epoch == kJoinEpoch;
  size_t wants = request.subscribed_topic_regex.value_or("").size();
  if (request.subscribed_topic_names) {
    for (const std::string& topic : *request.subscribed_topic_names) wants += topic.size();
  }
  return is_over() && wants > bytes_of(member->subscription);
}

Response Coordinator::consumer_heartbeat(const ConsumerGroup::Request& request, const Caller& caller, Now now,
                                         Effects& effects) {
  return with_context(request.group_id, now, [&](const GroupContext& context) {
    return consumer_heartbeat(request, caller, context, now, effects);
  });
}

Response Coordinator::consumer_heartbeat(const ConsumerGroup::Request& request, const Caller& caller,
                                         const GroupContext& context, Now now, Effects& effects) {
  const std::string& id = request.group_id;
  if (auto problem = check_heartbeat(request, caller.version, context.settings)) {
    return refused(problem->error, std::move(problem->message));
  }
  Group* group = find(id);
  const bool joins = request.member_epoch == kJoinEpoch;
  if (consumer_of(group) == nullptr) {
    if (!joins) return refused(ErrorCode::kGroupIdNotFound, "Group " + id + " not found.");
    if (full()) return refused(ErrorCode::kCoordinatorNotAvailable, "The groups' memory is full.");
    return first_heartbeat(request, caller, now, effects);
  } else if (lacks_memory(*consumer_of(group), request)) {
    return refused(ErrorCode::kCoordinatorNotAvailable, "The groups' memory is full.");
  }
  auto outcome = consumer_of(group)->heartbeat(request, heartbeat_caller(caller, request.member_id), context);
  append(std::move(outcome.records), effects);
  after_consumer_step(id, now, effects);
  return std::move(outcome.response);
}

// Of a group that is not there, or is a classic one: it becomes another when who asks is let in, and not before.
Response Coordinator::first_heartbeat(const ConsumerGroup::Request& request, const Caller& caller, Now now,
                                      Effects& effects) {
  const std::string& id = request.group_id;
  Group* group = find(id);
  ConsumerGroup consumer(id);
  std::vector<GroupRecord> records;
  if (group != nullptr && !adopt(std::get<ClassicGroup>(group->body), now, consumer, records)) {
    return refused(ErrorCode::kGroupIdNotFound, "Group " + id + " is not a consumer group.");
  }
  auto outcome = with_context(id, now, [&](const GroupContext& context) {
    return consumer.heartbeat(request, heartbeat_caller(caller, request.member_id), context);
  });
  if (outcome.response.error_code != ErrorCode::kNone) return std::move(outcome.response);
  if (group == nullptr) group = &make(id, now.wall_ms);
  // Who waits for the others need not any more: it joins again, and is let in at once.
  Step the_step = step(now, effects);
  std::get<ClassicGroup>(group->body).fail_waiting(ErrorCode::kRebalanceInProgress, the_step);
  if (std::exchange(group->recorded, false)) {
    effects.records.push_back(make_tombstone(protocol::GroupMetadataKey{.group = id}));
  }
  append(std::move(records), effects);
  append(std::move(outcome.records), effects);
  group->body = std::move(consumer);
  after_consumer_step(id, now, effects);
  return std::move(outcome.response);
}

void Coordinator::consumer_join(const protocol::JoinGroupRequest& request, const Caller& caller, Now now,
                                Effects& effects) {
  auto outcome = with_context(request.group_id, now, [&](const GroupContext& context) {
    return consumer_of(find(request.group_id))
        ->classic_join(request, heartbeat_caller(caller, request.member_id), context);
  });
  append(std::move(outcome.records), effects);
  effects.answers.push_back({.ticket = caller.ticket, .response = std::move(outcome.response)});
  after_consumer_step(request.group_id, now, effects);
}

void Coordinator::consumer_sync(const protocol::SyncGroupRequest& request, const Caller& caller, Now now,
                                Effects& effects) {
  auto response = with_context(request.group_id, now, [&](const GroupContext& context) {
    return consumer_of(find(request.group_id))->classic_sync(request, context);
  });
  effects.answers.push_back({.ticket = caller.ticket, .response = std::move(response)});
  after_consumer_step(request.group_id, now, effects);
}

ErrorCode Coordinator::consumer_classic_beat(const protocol::HeartbeatRequest& request, Now now, Effects& effects) {
  const ErrorCode error = with_context(request.group_id, now, [&](const GroupContext& context) {
    return consumer_of(find(request.group_id))->classic_heartbeat(request, context);
  });
  after_consumer_step(request.group_id, now, effects);
  return error;
}

protocol::LeaveGroupResponse Coordinator::consumer_leave(const protocol::LeaveGroupRequest& request, int16_t version,
                                                         Now now, Effects& effects) {
  constexpr int16_t kSeveral = 3;
  protocol::LeaveGroupResponse response;
  const auto leave_one = [&](const std::string& member, const std::optional<std::string>& instance) {
    auto outcome = with_context(request.group_id, now, [&](const GroupContext& context) {
      return consumer_of(find(request.group_id))->classic_leave(member, instance, context);
    });
    append(std::move(outcome.records), effects);
    return outcome.response;
  };
  if (version < kSeveral) response.error_code = leave_one(request.member_id, std::nullopt);
  for (const auto& member : request.members) {
    response.members.push_back({.member_id = member.member_id,
                                .group_instance_id = member.group_instance_id,
                                .error_code = leave_one(member.member_id, member.group_instance_id)});
  }
  after_consumer_step(request.group_id, now, effects);
  return response;
}

void Coordinator::consumer_expire(const std::string& id, Now now, Effects& effects) {
  append(
      with_context(id, now, [&](const GroupContext& context) { return consumer_of(find(id))->on_deadline(context); }),
      effects);
  after_consumer_step(id, now, effects);
}

void Coordinator::consumer_loaded(const std::string& id, Now now) {
  with_context(id, now, [&](const GroupContext& context) { consumer_of(find(id))->loaded(context); });
}

std::optional<ConsumerGroup::Described> Coordinator::describe_consumer(const std::string& id, Now now) const {
  const auto found = groups_.find(id);
  const ConsumerGroup* consumer = found == groups_.end() ? nullptr : consumer_of(&found->second);
  if (consumer == nullptr) return std::nullopt;
  return with_context(id, now, [&](const GroupContext& context) { return consumer->describe(context); });
}

void Coordinator::after_consumer_step(const std::string& id, Now now, Effects& effects) {
  Group* group = find(id);
  maybe_to_classic(id, *group, now, effects);
  if (const ConsumerGroup* consumer = consumer_of(group)) group->recorded = !consumer->is_gone();
  touched(id);
  erase_if_nothing(id);
}

// ---- groups that change their kind

// The members of a classic group as a next-generation one has them; an empty one has none, also while somebody that was
// told its id has not come back. False: it cannot become one (Kafka: validateOnlineUpgrade).
bool Coordinator::adopt(const ClassicGroup& classic, Now now, ConsumerGroup& consumer,
                        std::vector<GroupRecord>& records) const {
  if (classic.state() == ClassicState::kEmpty) return true;
  const ConsumerGroupSettings settings = world_.settings_of(classic.id());
  if (!settings.may_upgrade || classic.protocol_type() != "consumer") return false;
  if (classic.members().size() > static_cast<size_t>(settings.max_size)) return false;
  std::vector<AdoptedMember> members;
  for (const auto& [member_id, member] : classic.members()) {
    auto as = adopted(member, classic.protocol().value_or(""), world_.topics);
    if (!as) return false;
    members.push_back(*std::move(as));
  }
  records = with_context(classic.id(), now, [&](const GroupContext& context) {
    return consumer.adopt(members, std::max(classic.generation(), 1), context);
  });
  return true;
}

// Without members it is a classic group again as soon as somebody wants one.
void Coordinator::empty_to_classic(const std::string& id, Group& group, Now now, Effects& effects) {
  append(consumer_of(&group)->tombstones(), effects);
  group.body = ClassicGroup(id, now.wall_ms);
  group.recorded = false;
  touched(id);
}

// When the last member of the new protocol is gone, the others find a leader among themselves.
void Coordinator::maybe_to_classic(const std::string& id, Group& group, Now now, Effects& effects) {
  const ConsumerGroup* consumer = consumer_of(&group);
  if (consumer == nullptr || !consumer->is_all_classic() || !world_.settings_of(id).may_downgrade) return;
  const auto value = with_context(id, now, [&](const GroupContext& context) { return consumer->as_classic(context); });
  ClassicGroup classic(id, now.wall_ms);
  classic.replay(value);
  if (!classic.fits(settings_)) return;  // all members in one record: they go on as they are
  append(consumer->tombstones(), effects);
  effects.records.push_back(make_record(protocol::GroupMetadataKey{.group = id}, value));
  group.body = std::move(classic);
  group.recorded = true;
  Step the_step = step(now, effects);
  std::get<ClassicGroup>(group.body).loaded(the_step);
  std::get<ClassicGroup>(group.body).rebalance(the_step);
}

// What a step of theirs wanted written cannot be: these groups begin anew, with the offsets that they have. What the
// log has of their members goes, and so does what it was to have.
void Coordinator::start_over(const std::set<std::string>& ids, Now now, Effects& effects) {
  for (GroupRecord& record : effects.records) {
    const bool is_offset = std::holds_alternative<protocol::OffsetCommitKey>(record.key);
    if (!is_offset && ids.contains(group_of(record))) record.value.reset();
  }
  Step the_step = step(now, effects);
  for (const std::string& id : ids) {
    Group* group = find(id);
    if (group == nullptr) continue;
    if (const ConsumerGroup* consumer = consumer_of(group)) {
      append(consumer->tombstones(), effects);
    } else {
      std::get<ClassicGroup>(group->body).fail_waiting(ErrorCode::kUnknownMemberId, the_step);
      effects.records.push_back(make_tombstone(protocol::GroupMetadataKey{.group = id}));
    }
    group->body = ClassicGroup(id, now.wall_ms);
    group->recorded = false;
    touched(id);
    erase_if_nothing(id);
  }
}

void Coordinator::replay_consumer(const std::string& id, const GroupRecord& record) {
  Group* group = find(id);
  if (consumer_of(group) == nullptr) {
    if (!record.value) return;
    if (group == nullptr) group = &make(id, -1);
    group->body = ConsumerGroup(id);
  }
  consumer_of(group)->apply(record);
  group->recorded = !consumer_of(group)->is_gone();
}

}  // namespace penstock::control::groups
