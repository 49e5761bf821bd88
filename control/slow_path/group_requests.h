// GroupRequests: the APIs of groups and their offsets, between the frames that clients send and the coordinators
// (control/groups). An answer leaves when all that it speaks of is durable, or, of JoinGroup and SyncGroup, when the
// other members have come.
//
// Bounds: a connection asks one thing at a time; the bytes of what is with control are bounded (dataplane/kafka/
// broker.h, kSlowBytesMax), but those of a request that waits for other members, whose bound is the groups' memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "control/groups/group_runtime.h"
#include "control/slow_path/late_answer.h"
#include "control/slow_path/respond.h"
#include "protocol/api.h"
#include "protocol/gen/find_coordinator.h"
#include "protocol/header.h"

namespace penstock::control {

// Bits of the operations that a client may do with a group, by Kafka's operation codes: without an authorizer, all.
inline constexpr int32_t kAllGroupOperations = 0b1101'0100'1000;

class GroupRequests {
 public:
  using Bytes = std::vector<std::byte>;

  // A request's surroundings.
  struct Asked {
    const protocol::Api& api;
    LateAsker asker;
    std::string client_id;
    std::string client_host;
    groups::Now now;
    AnswerRoom room;
  };

  GroupRequests(Controller& controller, ControlCounters& counters, uint64_t seed)
      : controller_(controller), counters_(counters), runtime_(controller, counters, seed) {}

  static bool serves(ApiKey key);
  // The whole answer if it may leave at once; else it is one of take_answers(). Empty: the body is not of its version.
  std::optional<Bytes> begin(std::span<const std::byte> body, const Asked& asked);
  protocol::FindCoordinatorResponse find_coordinator(const protocol::FindCoordinatorRequest& request, int16_t version,
                                                     const AdvertisedAddress& address, AnswerRoom& room);

  groups::GroupRuntime& runtime() { return runtime_; }
  // What has been done since: answers, and connections whose requests' bytes are not needed any more.
  std::vector<LateAnswer> take_answers();
  std::vector<std::pair<uint16_t, dataplane::Parked>> take_parked() { return std::exchange(parked_, {}); }

 private:
  struct Open {
    LateAsker asker;
    size_t steps = 0;  // that are not over
    Bytes response{};  // of requests that are answered when all is durable
    std::function<Bytes(groups::LateResponse&)> finish{};
    std::function<Bytes(ErrorCode)> refuse{};
    ErrorCode error = ErrorCode::kNone;
  };

  template <class Request>
  std::optional<Bytes> decode_and_answer(std::span<const std::byte> body, const Asked& asked);
  template <class Response>
  static Bytes encode(const Response& response, const Asked& asked) {
    return encode(response, asked, asked.room);
  }
  template <class Response>
  static Bytes encode(const Response& response, const Asked& asked, const AnswerRoom& room) {
    return respond(asked.api, asked.asker.version, asked.asker.correlation, response, room);
  }
  template <class Request>
  std::optional<Bytes> wait_for_members(const Request& request, const Asked& asked, Open open,
                                        void (groups::Coordinator::*work)(const Request&, const groups::Caller&,
                                                                          groups::Now, groups::Effects&));
  std::optional<Bytes> answer_when_durable(groups::Ticket ticket, Open open);
  ErrorCode step(const std::string& group, groups::Ticket ticket, const Asked& asked, Open& open,
                 const std::function<void(groups::Coordinator&, groups::Effects&)>& work);
  void settle();

  std::optional<Bytes> answer(const protocol::JoinGroupRequest& request, const Asked& asked);
  std::optional<Bytes> answer(const protocol::SyncGroupRequest& request, const Asked& asked);
  std::optional<Bytes> answer(const protocol::HeartbeatRequest& request, const Asked& asked);
  std::optional<Bytes> answer(const protocol::LeaveGroupRequest& request, const Asked& asked);
  std::optional<Bytes> answer(protocol::OffsetCommitRequest& request, const Asked& asked);
  std::optional<Bytes> answer(protocol::OffsetFetchRequest& request, const Asked& asked);
  std::optional<Bytes> answer(const protocol::OffsetDeleteRequest& request, const Asked& asked);
  std::optional<Bytes> answer(const protocol::DescribeGroupsRequest& request, const Asked& asked);
  std::optional<Bytes> answer(const protocol::ListGroupsRequest& request, const Asked& asked);
  std::optional<Bytes> answer(const protocol::DeleteGroupsRequest& request, const Asked& asked);
  std::optional<Bytes> answer(const protocol::ConsumerGroupHeartbeatRequest& request, const Asked& asked);
  std::optional<Bytes> answer(const protocol::ConsumerGroupDescribeRequest& request, const Asked& asked);

  protocol::OffsetFetchResponse::Group fetch(protocol::OffsetFetchRequest::Group& request, groups::Ticket ticket,
                                             const Asked& asked, Open& open);

  Controller& controller_;
  ControlCounters& counters_;
  groups::GroupRuntime runtime_;
  std::unordered_map<groups::Ticket, Open> open_;
  std::vector<LateAnswer> answers_;
  std::vector<std::pair<uint16_t, dataplane::Parked>> parked_;
};

}  // namespace penstock::control
