#include "control/slow_path/group_requests.h"

#include <algorithm>
#include <cctype>

#include "control/slow_path/slow_path.h"
#include "protocol/gen/delete_groups.h"
#include "protocol/gen/heartbeat.h"
#include "protocol/gen/leave_group.h"

namespace penstock::control {
namespace {

using groups::Coordinator;
using groups::Effects;

constexpr int16_t kDescribeTellsUnknown = 6;  // KIP-1043

bool is_any_of(const std::vector<std::string>& filter, std::string_view word) {
  const auto same = [word](const std::string& wanted) {
    return std::ranges::equal(wanted, word,
                              [](unsigned char a, unsigned char b) { return std::tolower(a) == std::tolower(b); });
  };
  return filter.empty() || std::ranges::any_of(filter, same);
}

}  // namespace

bool GroupRequests::serves(ApiKey key) {
  switch (key) {
    case ApiKey::kOffsetCommit:
    case ApiKey::kOffsetFetch:
    case ApiKey::kJoinGroup:
    case ApiKey::kHeartbeat:
    case ApiKey::kLeaveGroup:
    case ApiKey::kSyncGroup:
    case ApiKey::kDescribeGroups:
    case ApiKey::kListGroups:
    case ApiKey::kDeleteGroups:
    case ApiKey::kOffsetDelete:
    case ApiKey::kConsumerGroupHeartbeat:
    case ApiKey::kConsumerGroupDescribe: return true;
    default: return false;
  }
}

template <class Request>
std::optional<GroupRequests::Bytes> GroupRequests::decode_and_answer(std::span<const std::byte> body,
                                                                     const Asked& asked) {
  Request request;
  if (!protocol::decode_request(body, asked.asker.version, request)) return Bytes();
  return answer(request, asked);
}

std::optional<GroupRequests::Bytes> GroupRequests::begin(std::span<const std::byte> body, const Asked& asked) {
  switch (asked.api.key) {
    case ApiKey::kOffsetCommit: return decode_and_answer<protocol::OffsetCommitRequest>(body, asked);
    case ApiKey::kOffsetFetch: return decode_and_answer<protocol::OffsetFetchRequest>(body, asked);
    case ApiKey::kJoinGroup: return decode_and_answer<protocol::JoinGroupRequest>(body, asked);
    case ApiKey::kHeartbeat: return decode_and_answer<protocol::HeartbeatRequest>(body, asked);
    case ApiKey::kLeaveGroup: return decode_and_answer<protocol::LeaveGroupRequest>(body, asked);
    case ApiKey::kSyncGroup: return decode_and_answer<protocol::SyncGroupRequest>(body, asked);
    case ApiKey::kDescribeGroups: return decode_and_answer<protocol::DescribeGroupsRequest>(body, asked);
    case ApiKey::kListGroups: return decode_and_answer<protocol::ListGroupsRequest>(body, asked);
    case ApiKey::kDeleteGroups: return decode_and_answer<protocol::DeleteGroupsRequest>(body, asked);
    case ApiKey::kOffsetDelete: return decode_and_answer<protocol::OffsetDeleteRequest>(body, asked);
    case ApiKey::kConsumerGroupHeartbeat:
      return decode_and_answer<protocol::ConsumerGroupHeartbeatRequest>(body, asked);
    case ApiKey::kConsumerGroupDescribe: return decode_and_answer<protocol::ConsumerGroupDescribeRequest>(body, asked);
    default: return Bytes();
  }
}

// ---- waiting

ErrorCode GroupRequests::step(const std::string& group, groups::Ticket ticket, const Asked& asked, Open& open,
                              const std::function<void(Coordinator&, Effects&)>& work) {
  const ErrorCode error = runtime_.step(group, ticket, false, asked.now, work);
  if (error == ErrorCode::kNone) ++open.steps;
  return error;
}

std::optional<GroupRequests::Bytes> GroupRequests::answer_when_durable(groups::Ticket ticket, Open open) {
  if (open.steps == 0) return std::move(open.response);
  open_.emplace(ticket, std::move(open));
  settle();
  return std::nullopt;
}

template <class Request>
std::optional<GroupRequests::Bytes> GroupRequests::wait_for_members(
    const Request& request, const Asked& asked, Open open,
    void (Coordinator::*work)(const Request&, const groups::Caller&, groups::Now, Effects&)) {
  const groups::Caller caller{.ticket = runtime_.next_ticket(),
                              .version = asked.asker.version,
                              .client_id = asked.client_id,
                              .client_host = asked.client_host};
  open.steps = 1;
  const ErrorCode error = runtime_.step(
      request.group_id, caller.ticket, true, asked.now,
      [&](Coordinator& coordinator, Effects& effects) { (coordinator.*work)(request, caller, asked.now, effects); });
  if (error != ErrorCode::kNone) return open.refuse(error);
  open_.emplace(caller.ticket, std::move(open));
  settle();
  if (open_.contains(caller.ticket))
    parked_.emplace_back(asked.asker.lcore, dataplane::Parked{.connection = asked.asker.connection});
  return std::nullopt;
}

// What the coordinators have done becomes answers.
void GroupRequests::settle() {
  for (groups::StepDone& done : runtime_.take_done()) {
    const auto found = open_.find(done.ticket);
    if (found == open_.end()) continue;
    Open& open = found->second;
    if (done.error != ErrorCode::kNone) open.error = done.error;
    if (--open.steps > 0) continue;
    Bytes response = open.error != ErrorCode::kNone ? open.refuse(open.error)
                     : done.response                ? open.finish(*done.response)
                                                    : std::move(open.response);
    answers_.push_back(
        {.lcore = open.asker.lcore, .answer = {.connection = open.asker.connection, .response = std::move(response)}});
    open_.erase(found);
  }
}

std::vector<LateAnswer> GroupRequests::take_answers() {
  settle();
  return std::exchange(answers_, {});
}

// ---- members

std::optional<GroupRequests::Bytes> GroupRequests::answer(const protocol::JoinGroupRequest& request,
                                                          const Asked& asked) {
  const auto tell = [asked](protocol::JoinGroupResponse response) {
    if (asked.asker.version < 7 && !response.protocol_name) response.protocol_name = "";
    return encode(response, asked);
  };
  Open open{.asker = asked.asker};
  open.finish = [tell](groups::LateResponse& late) {
    return tell(std::move(std::get<protocol::JoinGroupResponse>(late)));
  };
  open.refuse = [tell, member_id = request.member_id](ErrorCode error) {
    protocol::JoinGroupResponse response;
    response.error_code = error;
    response.member_id = member_id;
    response.protocol_name = "";
    return tell(std::move(response));
  };
  return wait_for_members(request, asked, std::move(open), &Coordinator::join);
}

std::optional<GroupRequests::Bytes> GroupRequests::answer(const protocol::SyncGroupRequest& request,
                                                          const Asked& asked) {
  Open open{.asker = asked.asker};
  open.finish = [asked](groups::LateResponse& late) {
    return encode(std::get<protocol::SyncGroupResponse>(late), asked);
  };
  open.refuse = [asked](ErrorCode error) { return encode(protocol::SyncGroupResponse{.error_code = error}, asked); };
  return wait_for_members(request, asked, std::move(open), &Coordinator::sync);
}

std::optional<GroupRequests::Bytes> GroupRequests::answer(const protocol::HeartbeatRequest& request,
                                                          const Asked& asked) {
  const groups::Ticket ticket = runtime_.next_ticket();
  Open open{.asker = asked.asker};
  open.refuse = [asked](ErrorCode error) {
    // Kafka: while it is read nobody is told anything, so that nobody joins again.
    const bool loading = error == ErrorCode::kCoordinatorLoadInProgress;
    return encode(protocol::HeartbeatResponse{.error_code = loading ? ErrorCode::kNone : error}, asked);
  };
  protocol::HeartbeatResponse response;
  const ErrorCode error = step(request.group_id, ticket, asked, open, [&](Coordinator& coordinator, Effects& effects) {
    response.error_code = coordinator.heartbeat(request, asked.now, effects);
  });
  open.response = error == ErrorCode::kNone ? encode(response, asked) : open.refuse(error);
  return answer_when_durable(ticket, std::move(open));
}

std::optional<GroupRequests::Bytes> GroupRequests::answer(const protocol::LeaveGroupRequest& request,
                                                          const Asked& asked) {
  const groups::Ticket ticket = runtime_.next_ticket();
  Open open{.asker = asked.asker};
  open.refuse = [asked](ErrorCode error) { return encode(protocol::LeaveGroupResponse{.error_code = error}, asked); };
  protocol::LeaveGroupResponse response;
  const ErrorCode error = step(request.group_id, ticket, asked, open, [&](Coordinator& coordinator, Effects& effects) {
    response = coordinator.leave(request, asked.asker.version, asked.now, effects);
  });
  open.response = error == ErrorCode::kNone ? encode(response, asked) : open.refuse(error);
  return answer_when_durable(ticket, std::move(open));
}

// ---- groups

std::optional<GroupRequests::Bytes> GroupRequests::answer(const protocol::DescribeGroupsRequest& request,
                                                          const Asked& asked) {
  using Described = protocol::DescribeGroupsResponse::DescribedGroup;
  const bool tells_unknown = asked.asker.version >= kDescribeTellsUnknown;
  const auto without = [](const std::string& id, ErrorCode error) {
    Described group;
    group.group_id = id;
    group.error_code = error;
    return group;
  };
  const groups::Ticket ticket = runtime_.next_ticket();
  Open open{.asker = asked.asker};
  open.refuse = [asked, ids = request.groups, without](ErrorCode error) {
    protocol::DescribeGroupsResponse response;
    for (const std::string& id : ids) response.groups.push_back(without(id, error));
    return encode(response, asked);
  };
  AnswerRoom room = asked.room;
  protocol::DescribeGroupsResponse response;
  for (const std::string& id : request.groups) {  // as Kafka: told as often as it is named
    std::optional<Described> described;
    const ErrorCode error = step(id, ticket, asked, open,
                                 [&](Coordinator& coordinator, Effects&) { described = coordinator.describe(id); });
    if (error != ErrorCode::kNone) {
      described = without(id, error);
    } else if (!described) {
      described = without(id, tells_unknown ? ErrorCode::kGroupIdNotFound : ErrorCode::kNone);
      described->group_state = "Dead";
      if (tells_unknown) described->error_message = "Group " + id + " not found.";
    }
    if (error == ErrorCode::kNone && request.include_authorized_operations)
      described->authorized_operations = kAllGroupOperations;
    if (!room.take(protocol::DescribeGroupsResponse::kInfo, "Groups", &*described))
      return encode(response, asked, room);
    response.groups.push_back(*std::move(described));
  }
  open.response = encode(response, asked);
  return answer_when_durable(ticket, std::move(open));
}

std::optional<GroupRequests::Bytes> GroupRequests::answer(const protocol::ListGroupsRequest& request,
                                                          const Asked& asked) {
  protocol::ListGroupsResponse response;
  response.error_code = runtime_.look([&](const Coordinator& coordinator) {
    for (auto& group : coordinator.list()) {
      if (is_any_of(request.states_filter, group.group_state) && is_any_of(request.types_filter, group.group_type))
        response.groups.push_back(std::move(group));
    }
  });
  if (response.error_code != ErrorCode::kNone) response.groups.clear();
  return encode(response, asked);
}

std::optional<GroupRequests::Bytes> GroupRequests::answer(const protocol::DeleteGroupsRequest& request,
                                                          const Asked& asked) {
  const groups::Ticket ticket = runtime_.next_ticket();
  Open open{.asker = asked.asker};
  open.refuse = [asked, ids = request.groups_names](ErrorCode error) {
    protocol::DeleteGroupsResponse response;
    for (const std::string& id : ids) response.results.push_back({.group_id = id, .error_code = error});
    return encode(response, asked);
  };
  protocol::DeleteGroupsResponse response;
  for (const std::string& id : request.groups_names) {
    auto& result = response.results.emplace_back();
    result.group_id = id;
    const ErrorCode error = step(id, ticket, asked, open, [&](Coordinator& coordinator, Effects& effects) {
      result.error_code = coordinator.delete_group(id, asked.now, effects);
    });
    if (error != ErrorCode::kNone) result.error_code = error;
  }
  open.response = encode(response, asked);
  return answer_when_durable(ticket, std::move(open));
}

}  // namespace penstock::control
