#include "tests/sim/classic_member.h"

#include <algorithm>

#include "base/assert.h"
#include "base/bytes.h"
#include "control/groups/assignor.h"
#include "control/groups/classic_subscription.h"
#include "protocol/codec.h"
#include "protocol/gen/embedded.h"

namespace penstock::sim {
namespace {

using control::groups::Holding;

constexpr Nanos kBeat = 3 * kSecond;
constexpr Nanos kPause = 100 * kMillisecond;
constexpr Nanos kRequestTimeout = 10 * kSecond;
constexpr int32_t kRebalanceTimeoutMs = 30'000;
constexpr int32_t kSessionTimeoutMs = 20'000;
constexpr int16_t kSubscription = 1;  // the first version that says what is owned

std::vector<std::byte> subscription_to(const std::vector<std::string>& topics) {
  protocol::ConsumerProtocolSubscription message;
  message.topics = topics;
  std::vector<std::byte> bytes(sizeof kSubscription);
  store_be<int16_t>(bytes.data(), kSubscription);
  CHECK(protocol::encode(message, kSubscription, bytes));
  return bytes;
}

}  // namespace

std::optional<SimClassic::Request> SimClassic::turn(Nanos now, const TopicTable& table) {
  if (waits_ && now >= answer_by_) disconnected(now);
  if (waits_ || now < next_) return std::nullopt;
  if (phase_ == Phase::kBeat && leads_ && topics_seen_ != table.version()) join_again(now);
  waits_ = true;
  answer_by_ = now + kRequestTimeout + (phase_ == Phase::kJoin ? kRebalanceTimeoutMs * kMillisecond : 0);
  ++number_;
  return make_request();
}

SimClassic::Request SimClassic::make_request() const {
  if (phase_ == Phase::kJoin) {
    protocol::JoinGroupRequest request;
    request.group_id = "g";
    request.member_id = id_;
    request.session_timeout_ms = kSessionTimeoutMs;
    request.rebalance_timeout_ms = kRebalanceTimeoutMs;
    request.protocol_type = "consumer";
    request.protocols = {{.name = "range", .metadata = subscription_to(topics_)}};
    return request;
  }
  if (phase_ == Phase::kSync) {
    protocol::SyncGroupRequest request;
    request.group_id = "g";
    request.member_id = id_;
    request.generation_id = generation_;
    request.assignments = assignments_;
    return request;
  }
  protocol::HeartbeatRequest request;
  request.group_id = "g";
  request.member_id = id_;
  request.generation_id = generation_;
  return request;
}

void SimClassic::disconnected(Nanos now) {
  if (!waits_) return;
  waits_ = false;
  next_ = now + kPause;
  if (phase_ != Phase::kBeat) join_again(now + kPause);
}

void SimClassic::answered(uint64_t number, const Response& response, Nanos now, const TopicTable& table) {
  if (!waits_ || number != number_) return;
  waits_ = false;
  std::visit([&](const auto& is) { take(is, now, table); }, response);
}

void SimClassic::take(const protocol::JoinGroupResponse& response, Nanos now, const TopicTable& table) {
  switch (response.error_code) {
    case ErrorCode::kNone: break;
    case ErrorCode::kMemberIdRequired: id_ = response.member_id; return join_again(now);
    case ErrorCode::kRebalanceInProgress:
    case ErrorCode::kCoordinatorNotAvailable: return join_again(now + kPause);
    default: return begin_anew(now + kPause);
  }
  id_ = response.member_id;
  generation_ = response.generation_id;
  leads_ = response.leader == id_;
  assignments_.clear();
  if (leads_) assign(response, table);
  phase_ = Phase::kSync;
  next_ = now;
}

void SimClassic::take(const protocol::SyncGroupResponse& response, Nanos now, const TopicTable& table) {
  switch (response.error_code) {
    case ErrorCode::kNone: break;
    case ErrorCode::kRebalanceInProgress:
    case ErrorCode::kUnknownServerError: return join_again(now + kPause);
    default: return begin_anew(now + kPause);
  }
  owned_ = control::groups::read_assignment(response.assignment, table).value();
  phase_ = Phase::kBeat;
  next_ = now + kBeat;
}

void SimClassic::take(const protocol::HeartbeatResponse& response, Nanos now, const TopicTable&) {
  switch (response.error_code) {
    case ErrorCode::kNone: next_ = now + kBeat; return;
    case ErrorCode::kRebalanceInProgress: return join_again(now);
    default: return begin_anew(now);
  }
}

void SimClassic::assign(const protocol::JoinGroupResponse& response, const TopicTable& table) {
  topics_seen_ = table.version();
  control::groups::AssignorInput input;
  std::vector<std::string> names;
  for (const auto& [name, facts] : table.topics()) {
    names.push_back(name);
    input.topics.push_back({.id = facts.id, .partitions = facts.partitions});
  }
  for (const auto& member : response.members) {
    auto& asks = input.members.emplace_back();
    asks.id = member.member_id;
    const auto wants = control::groups::read_subscription(member.metadata, table).value();
    for (uint32_t place = 0; place < names.size(); ++place) {
      if (std::ranges::find(wants.topics, names[place]) != wants.topics.end()) asks.topics.push_back(place);
    }
  }
  const auto output = control::groups::assign_range(input);
  for (size_t i = 0; i < output.size(); ++i) {
    Holding holding;
    for (const auto& [topic, partitions] : output[i]) {
      for (const int32_t partition : partitions) holding[topic][partition] = 0;
    }
    assignments_.push_back({.member_id = response.members[i].member_id,
                            .assignment = control::groups::write_assignment(kSubscription, holding, table)});
  }
}

void SimClassic::join_again(Nanos at) {
  owned_.clear();
  phase_ = Phase::kJoin;
  next_ = at;
}

void SimClassic::begin_anew(Nanos at) {
  id_.clear();
  generation_ = -1;
  leads_ = false;
  join_again(at);
}

}  // namespace penstock::sim
