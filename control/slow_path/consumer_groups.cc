// ConsumerGroupHeartbeat and ConsumerGroupDescribe (KIP-848).
#include "control/slow_path/group_requests.h"
#include "control/slow_path/respond.h"
#include "control/slow_path/slow_path.h"

namespace penstock::control {
namespace {

using groups::Coordinator;
using groups::Effects;

}  // namespace

std::optional<GroupRequests::Bytes> GroupRequests::answer(const protocol::ConsumerGroupHeartbeatRequest& request,
                                                          const Asked& asked) {
  const groups::Ticket ticket = runtime_.next_ticket();
  Open open{.asker = asked.asker};
  open.refuse = [asked](ErrorCode error) {
    return encode(protocol::ConsumerGroupHeartbeatResponse{.error_code = error}, asked);
  };
  const groups::Caller caller{
      .ticket = ticket, .version = asked.asker.version, .client_id = asked.client_id, .client_host = asked.client_host};
  protocol::ConsumerGroupHeartbeatResponse response;
  const ErrorCode error = step(request.group_id, ticket, asked, open, [&](Coordinator& coordinator, Effects& effects) {
    response = coordinator.consumer_heartbeat(request, caller, asked.now, effects);
  });
  open.response = error == ErrorCode::kNone ? encode(response, asked) : open.refuse(error);
  return answer_when_durable(ticket, std::move(open));
}

std::optional<GroupRequests::Bytes> GroupRequests::answer(const protocol::ConsumerGroupDescribeRequest& request,
                                                          const Asked& asked) {
  using Response = protocol::ConsumerGroupDescribeResponse;
  const auto without = [](const std::string& id, ErrorCode error) {
    Response::DescribedGroup group;
    group.group_id = id;
    group.error_code = error;
    return group;
  };
  const groups::Ticket ticket = runtime_.next_ticket();
  Open open{.asker = asked.asker};
  open.refuse = [asked, ids = request.group_ids, without](ErrorCode error) {
    Response response;
    for (const std::string& id : ids) response.groups.push_back(without(id, error));
    return encode(response, asked);
  };
  AnswerRoom room = asked.room;
  Response response;
  for (const std::string& id : request.group_ids) {  // as Kafka: told as often as it is named
    std::optional<Response::DescribedGroup> described;
    const ErrorCode error = step(id, ticket, asked, open, [&](Coordinator& coordinator, Effects&) {
      described = coordinator.describe_consumer(id, asked.now);
    });
    if (error != ErrorCode::kNone) {
      described = without(id, error);
    } else if (!described) {
      described = without(id, ErrorCode::kGroupIdNotFound);
      described->error_message = "Group " + id + " is not a consumer group.";
    } else if (request.include_authorized_operations) {
      described->authorized_operations = kAllGroupOperations;
    }
    if (!room.take(Response::kInfo, "Groups", &*described)) return encode(response, asked, room);
    response.groups.push_back(*std::move(described));
  }
  open.response = encode(response, asked);
  return answer_when_durable(ticket, std::move(open));
}

}  // namespace penstock::control
