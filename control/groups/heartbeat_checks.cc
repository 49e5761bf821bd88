#include "control/groups/heartbeat_checks.h"

#include <algorithm>

#include "control/groups/regex.h"

namespace penstock::control::groups {
namespace {

using Request = ConsumerGroup::Request;

Refusal invalid(std::string message) { return {.error = ErrorCode::kInvalidRequest, .message = std::move(message)}; }

bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\r\n") == std::string_view::npos; }
bool is_blank(const std::optional<std::string>& text) { return text && is_blank(std::string_view(*text)); }

std::optional<Refusal> check_names(const Request& request, int16_t api_version) {
  // From version 1 on members make their ids themselves (KIP-1082).
  const bool needs_id = api_version >= 1 || request.member_epoch > 0 || request.member_epoch == kLeaveEpoch;
  if (needs_id && is_blank(std::string_view(request.member_id))) return invalid("MemberId can't be empty.");
  if (is_blank(std::string_view(request.group_id))) return invalid("GroupId can't be empty.");
  // They are in the keys of records, whose format has two bytes for a length.
  constexpr size_t kKeyTextMax = 32'767;
  if (request.member_id.size() > kKeyTextMax) return invalid("MemberId is too long.");
  if (request.group_id.size() > kKeyTextMax) return invalid("GroupId is too long.");
  if (is_blank(request.instance_id)) return invalid("InstanceId can't be empty.");
  if (is_blank(request.rack_id)) return invalid("RackId can't be empty.");
  return std::nullopt;
}

std::optional<Refusal> check_join(const Request& request) {
  if (request.rebalance_timeout_ms == -1) return invalid("RebalanceTimeoutMs must be provided in first request.");
  if (!request.topic_partitions || !request.topic_partitions->empty()) {
    return invalid("TopicPartitions must be empty when (re-)joining.");
  }
  if (!request.subscribed_topic_names && !request.subscribed_topic_regex) {
    return invalid("Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.");
  }
  return std::nullopt;
}

}  // namespace

std::optional<Refusal> check_heartbeat(const Request& request, int16_t api_version,
                                       const ConsumerGroupSettings& settings) {
  if (auto problem = check_names(request, api_version)) return problem;
  if (request.member_epoch == kJoinEpoch) {
    if (auto problem = check_join(request)) return problem;
  } else if (request.member_epoch == kStaticLeaveEpoch) {
    if (!request.instance_id) return invalid("InstanceId can't be null.");
  } else if (request.member_epoch < kStaticLeaveEpoch) {
    return invalid("MemberEpoch is invalid.");
  }
  if (request.rebalance_timeout_ms < -1) return invalid("RebalanceTimeoutMs is invalid.");
  if (request.server_assignor &&
      std::ranges::find(settings.assignors, *request.server_assignor) == settings.assignors.end()) {
    std::string known;
    for (const std::string& name : settings.assignors) known += (known.empty() ? "" : ", ") + name;
    return Refusal{.error = ErrorCode::kUnsupportedAssignor,
                   .message = "ServerAssignor " + *request.server_assignor +
                              " is not supported. Supported assignors: " + known + "."};
  }
  if (request.subscribed_topic_regex && !request.subscribed_topic_regex->empty()) {
    if (auto good = check_regex(*request.subscribed_topic_regex); !good) {
      return Refusal{.error = ErrorCode::kInvalidRegularExpression, .message = std::move(good.error())};
    }
  }
  return std::nullopt;
}

}  // namespace penstock::control::groups
