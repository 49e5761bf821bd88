#include "control/groups/coordinator.h"

#include <algorithm>

#include "base/assert.h"
#include "base/log.h"

namespace penstock::control::groups {
namespace {

constexpr size_t kGroupOverhead = 512;

void answer(const Caller& caller, LateResponse response, Effects& effects) {
  effects.answers.push_back({.ticket = caller.ticket, .response = std::move(response)});
}

void refuse_join(ErrorCode error, const protocol::JoinGroupRequest& request, const Caller& caller, Effects& effects) {
  protocol::JoinGroupResponse response;
  response.error_code = error;
  response.member_id = request.member_id;
  response.protocol_name = "";
  answer(caller, std::move(response), effects);
}

// Whether the texts fit Kafka's records; the member's id will be one of the others and a UUID.
bool texts_fit(const protocol::JoinGroupRequest& request, const Caller& caller) {
  constexpr size_t kMost = kTextMax - 64;
  const size_t stem = request.group_instance_id ? request.group_instance_id->size() : caller.client_id.size();
  return request.group_id.size() <= kMost && stem <= kMost && caller.client_id.size() <= kMost &&
         request.protocol_type.size() <= kMost &&
         std::ranges::all_of(request.protocols, [](const auto& protocol) { return protocol.name.size() <= kMost; });
}

size_t metadata_bytes(const std::vector<ClassicMember::Protocol>& protocols) {
  size_t bytes = 0;
  for (const auto& protocol : protocols) bytes += protocol.name.size() + protocol.metadata.size();
  return bytes;
}

ErrorCode check_join(const protocol::JoinGroupRequest& request, const Caller& caller, const GroupSettings& settings) {
  if (request.group_id.empty()) return ErrorCode::kInvalidGroupId;
  if (request.session_timeout_ms < settings.min_session_timeout_ms ||
      request.session_timeout_ms > settings.max_session_timeout_ms)
    return ErrorCode::kInvalidSessionTimeout;
  if (!texts_fit(request, caller)) return ErrorCode::kInvalidRequest;
  // It could never be written down.
  if (metadata_bytes(request.protocols) > settings.write_bytes_max) return ErrorCode::kMessageTooLarge;
  return ErrorCode::kNone;
}

// What a member said when it joined. Nothing: there is no such member.
std::optional<size_t> said_before(const Group* group, const protocol::JoinGroupRequest& request) {
  if (group == nullptr) return std::nullopt;
  if (const ConsumerGroup* consumer = consumer_of(group)) {
    const ConsumerMember* member = consumer->find(request.member_id, request.group_instance_id);
    return member == nullptr ? std::nullopt : std::optional(bytes_of(member->subscription));
  }
  const ClassicMember* member = std::get<ClassicGroup>(group->body).find(request.member_id, request.group_instance_id);
  return member == nullptr ? std::nullopt : std::optional(metadata_bytes(member->protocols));
}

bool is_deletable(const Group& group) {
  const ConsumerGroup* consumer = consumer_of(&group);
  return consumer != nullptr ? consumer->members().empty() : std::get<ClassicGroup>(group.body).is_deletable();
}

}  // namespace

Coordinator::~Coordinator() {
  for (const auto& [id, group] : groups_) {
    memory_.bytes -= group.counted;
    memory_.members -= group.members;
    --memory_.groups;
  }
}

// ---- the map

Group* Coordinator::find(const std::string& id) {
  const auto found = groups_.find(id);
  return found == groups_.end() ? nullptr : &found->second;
}

Group& Coordinator::make(const std::string& id, int64_t now_ms) {
  ++memory_.groups;
  return groups_.emplace(id, Group(ClassicGroup(id, now_ms))).first->second;
}

// After anything was done with it: what it holds, and when it wants to be looked at, may be another.
void Coordinator::touched(const std::string& id) {
  Group* group = find(id);
  if (group == nullptr) return;
  const auto [bytes, members, deadline] =
      std::visit([](const auto& body) { return std::tuple(body.bytes(), body.members().size(), body.next_deadline()); },
                 group->body);
  const auto* classic = std::get_if<ClassicGroup>(&group->body);
  const size_t pending = classic == nullptr ? consumer_of(group)->matching_bytes() : classic->pending_bytes();
  const size_t now_holds = kGroupOverhead + id.size() + bytes + pending + group->offsets.bytes();
  memory_.bytes += now_holds - std::exchange(group->counted, now_holds);
  memory_.members += members - std::exchange(group->members, members);
  if (classic != nullptr) {
    const bool is_new = std::exchange(group->generation, classic->generation()) != classic->generation();
    if (is_new && loaded_) ++memory_.generations;
  }
  if (deadline == group->timer) return;
  if (group->timer != kNever) timers_.erase({group->timer, id});
  group->timer = deadline;
  if (deadline != kNever) timers_.emplace(deadline, id);
}

void Coordinator::erase_if_nothing(const std::string& id) {
  const auto found = groups_.find(id);
  if (found == groups_.end()) return;
  Group& group = found->second;
  if (group.recorded || !group.offsets.empty() || !is_deletable(group)) return;
  if (group.timer != kNever) timers_.erase({group.timer, id});
  memory_.bytes -= group.counted;
  memory_.members -= group.members;
  --memory_.groups;
  groups_.erase(found);
}

// ---- members

bool Coordinator::lacks_memory(const Group* group, const protocol::JoinGroupRequest& request) const {
  if (!full()) return false;
  const auto had = said_before(group, request);
  return !had || (is_over() && metadata_bytes(request.protocols) > *had);
}

void Coordinator::join(const protocol::JoinGroupRequest& request, const Caller& caller, Now now, Effects& effects) {
  if (const ErrorCode error = check_join(request, caller, settings_); error != ErrorCode::kNone)
    return refuse_join(error, request, caller, effects);
  Group* group = find(request.group_id);
  const ConsumerGroup* empty = consumer_of(group);
  const bool is_nobody = group == nullptr || (empty != nullptr && empty->members().empty());
  if (is_nobody && !request.member_id.empty())
    return refuse_join(ErrorCode::kUnknownMemberId, request, caller, effects);
  if (lacks_memory(group, request)) return refuse_join(ErrorCode::kCoordinatorNotAvailable, request, caller, effects);
  if (const ConsumerGroup* consumer = consumer_of(group)) {
    if (!consumer->members().empty()) return consumer_join(request, caller, now, effects);
    empty_to_classic(request.group_id, *group, now, effects);
  }
  if (group == nullptr) {
    // Kafka makes the group also for a member that it then refuses; ours goes again with erase_if_nothing().
    group = &make(request.group_id, now.wall_ms);
  }
  Step the_step = step(now, effects);
  auto& classic = std::get<ClassicGroup>(group->body);
  const size_t records_before = effects.records.size();
  classic.join(request, caller, the_step);
  if (!group->recorded && !classic.is_deletable() && effects.records.size() == records_before) {
    // So that the group is there after a restart, as Kafka has it.
    effects.records.push_back(ClassicGroup(request.group_id, now.wall_ms).record());
  }
  group->recorded = group->recorded || effects.records.size() > records_before;
  touched(request.group_id);
  erase_if_nothing(request.group_id);
}

void Coordinator::sync(const protocol::SyncGroupRequest& request, const Caller& caller, Now now, Effects& effects) {
  const auto refuse = [&](ErrorCode error) {
    answer(caller, protocol::SyncGroupResponse{.error_code = error}, effects);
  };
  if (request.group_id.empty()) return refuse(ErrorCode::kInvalidGroupId);
  Group* group = find(request.group_id);
  if (group == nullptr) return refuse(ErrorCode::kUnknownMemberId);
  if (consumer_of(group) != nullptr) return consumer_sync(request, caller, now, effects);
  Step the_step = step(now, effects);
  std::get<ClassicGroup>(group->body).sync(request, caller, the_step);
  touched(request.group_id);
}

ErrorCode Coordinator::heartbeat(const protocol::HeartbeatRequest& request, Now now, Effects& effects) {
  if (request.group_id.empty()) return ErrorCode::kInvalidGroupId;
  Group* group = find(request.group_id);
  if (group == nullptr) return ErrorCode::kUnknownMemberId;
  if (consumer_of(group) != nullptr) return consumer_classic_beat(request, now, effects);
  Step the_step = step(now, effects);
  const ErrorCode error = std::get<ClassicGroup>(group->body).heartbeat(request, the_step);
  touched(request.group_id);
  return error;
}

protocol::LeaveGroupResponse Coordinator::leave(const protocol::LeaveGroupRequest& request, int16_t version, Now now,
                                                Effects& effects) {
  constexpr int16_t kSeveral = 3;
  protocol::LeaveGroupResponse response;
  Group* group = find(request.group_id);
  if (request.group_id.empty() || group == nullptr) {
    if (request.group_id.empty()) {
      response.error_code = ErrorCode::kInvalidGroupId;
    } else if (version < kSeveral) {
      response.error_code = ErrorCode::kUnknownMemberId;
    } else {  // as Kafka tells it: of each that would leave
      for (const auto& member : request.members) {
        response.members.push_back({.member_id = member.member_id,
                                    .group_instance_id = member.group_instance_id,
                                    .error_code = ErrorCode::kUnknownMemberId});
      }
    }
    return response;
  }
  if (consumer_of(group) != nullptr) return consumer_leave(request, version, now, effects);
  Step the_step = step(now, effects);
  auto& classic = std::get<ClassicGroup>(group->body);
  if (version < kSeveral) {
    response.error_code = classic.leave(request.member_id, std::nullopt, the_step);
  }
  for (const auto& member : request.members) {
    response.members.push_back({.member_id = member.member_id,
                                .group_instance_id = member.group_instance_id,
                                .error_code = classic.leave(member.member_id, member.group_instance_id, the_step)});
  }
  classic.left(the_step);
  touched(request.group_id);
  return response;
}

// ---- groups

ErrorCode Coordinator::delete_group(const std::string& id, Now, Effects& effects) {
  Group* group = find(id);
  if (group == nullptr) return ErrorCode::kGroupIdNotFound;
  // Kafka asks for the state alone: who was told its id and has not come back is no member.
  const auto* classic = std::get_if<ClassicGroup>(&group->body);
  const bool is_empty = classic != nullptr ? classic->state() == ClassicState::kEmpty : is_deletable(*group);
  if (!is_empty) return ErrorCode::kNonEmptyGroup;
  remove_offsets(group->offsets.select(id, [](const auto&, const auto&) { return true; }), effects);
  erase_group(id, effects);
  return ErrorCode::kNone;
}

// It is empty, and so are its offsets.
void Coordinator::erase_group(const std::string& id, Effects& effects) {
  Group* group = find(id);
  if (group == nullptr) return;
  if (ConsumerGroup* consumer = consumer_of(group)) {
    for (GroupRecord& record : consumer->tombstones()) {
      consumer->apply(record);
      effects.records.push_back(std::move(record));
    }
    group->recorded = false;
  } else {
    group->body = ClassicGroup(id);  // without those that were to come back
  }
  if (std::exchange(group->recorded, false))
    effects.records.push_back(make_tombstone(protocol::GroupMetadataKey{.group = id}));
  erase_if_nothing(id);
}

std::optional<protocol::DescribeGroupsResponse::DescribedGroup> Coordinator::describe(const std::string& id) const {
  const auto found = groups_.find(id);
  if (found == groups_.end() || consumer_of(&found->second) != nullptr) return std::nullopt;
  return std::get<ClassicGroup>(found->second.body).describe();
}

std::vector<protocol::ListGroupsResponse::ListedGroup> Coordinator::list() const {
  std::vector<protocol::ListGroupsResponse::ListedGroup> listed;
  for (const auto& [id, group] : groups_) {
    if (const ConsumerGroup* consumer = consumer_of(&group)) {
      listed.push_back({.group_id = id,
                        .protocol_type = "consumer",
                        .group_state = std::string(to_string(consumer->state())),
                        .group_type = "consumer"});
      continue;
    }
    const auto& classic = std::get<ClassicGroup>(group.body);
    listed.push_back({.group_id = id,
                      .protocol_type = classic.protocol_type().value_or(""),
                      .group_state = std::string(to_string(classic.state())),
                      .group_type = "classic"});
  }
  return listed;
}

// ---- time

void Coordinator::expire(Now now, Effects& effects) {
  Step the_step = step(now, effects);
  while (!timers_.empty() && timers_.begin()->first <= now.monotonic) {
    const std::string id = timers_.begin()->second;
    Group& group = groups_.find(id)->second;
    timers_.erase(timers_.begin());
    group.timer = kNever;
    if (consumer_of(&group) != nullptr) {
      consumer_expire(id, now, effects);
      continue;
    }
    std::get<ClassicGroup>(group.body).expire(the_step);
    touched(id);
    erase_if_nothing(id);
  }
  if (check_offsets_at_ <= now.monotonic) expire_offsets(now, effects);
}

Nanos Coordinator::next_deadline() const {
  return timers_.empty() ? check_offsets_at_ : std::min(timers_.begin()->first, check_offsets_at_);
}

// ---- the log

void Coordinator::replay(const GroupRecord& record) {
  const std::string& id = group_of(record);
  if (const auto* key = std::get_if<protocol::OffsetCommitKey>(&record.key)) {
    const auto* value = record.value ? &std::get<protocol::OffsetCommitValue>(*record.value) : nullptr;
    Group* group = find(id);
    if (group == nullptr && value == nullptr) return;
    if (group == nullptr) group = &make(id, -1);
    if (value == nullptr) {
      group->offsets.erase(key->topic, key->partition);
    } else {
      group->offsets.put(key->topic, key->partition, *value);
    }
  } else if (std::holds_alternative<protocol::GroupMetadataKey>(record.key)) {
    Group* group = find(id);
    if (!record.value && (group == nullptr || consumer_of(group) != nullptr)) return;
    if (group == nullptr) group = &make(id, -1);
    if (consumer_of(group) != nullptr) group->body = ClassicGroup(id, -1);
    group->recorded = record.value.has_value();
    auto& classic = std::get<ClassicGroup>(group->body);
    classic.replay(record.value ? std::get<protocol::GroupMetadataValue>(*record.value)
                                : protocol::GroupMetadataValue{});
  } else {
    replay_consumer(id, record);
  }
  touched(id);
  erase_if_nothing(id);
}

void Coordinator::loaded(Now now, Effects& effects) {
  loaded_ = true;
  Step the_step = step(now, effects);
  for (auto& [id, group] : groups_) {
    if (consumer_of(&group) != nullptr) {
      consumer_loaded(id, now);
    } else {
      std::get<ClassicGroup>(group.body).loaded(the_step);
    }
    touched(id);
  }
  check_offsets_at_ = now.monotonic + settings_.offsets_check_interval_ms * kMillisecond;
}

void Coordinator::fail_waiting(ErrorCode error, Now now, Effects& effects) {
  Step the_step = step(now, effects);
  for (auto& [id, group] : groups_) {
    if (auto* classic = std::get_if<ClassicGroup>(&group.body)) classic->fail_waiting(error, the_step);
  }
}

}  // namespace penstock::control::groups
