#include "tests/sim/group_member.h"

#include <algorithm>

namespace penstock::sim {
namespace {

constexpr Nanos kRequestTimeout = 10 * kSecond;

bool has_all(const SimConsumer::Assignment& of, const SimConsumer::Assignment& these) {
  return std::ranges::all_of(these, [&](const auto& entry) {
    const auto at = of.find(entry.first);
    return at != of.end() && std::ranges::includes(at->second, entry.second);
  });
}

}  // namespace

std::optional<SimConsumer::Request> SimConsumer::turn(Nanos now, Prng& prng) {
  if (waits_ && now >= answer_by_) {
    waits_ = false;
    say_all_ = true;
    next_beat_ = now;
  }
  reconcile(now, prng);
  if (waits_ || now < next_beat_) return std::nullopt;
  waits_ = true;
  answer_by_ = now + kRequestTimeout;
  ++number_;
  return make_request();
}

SimConsumer::Request SimConsumer::make_request() {
  Request request;
  request.group_id = "g";
  request.member_id = id_;
  request.member_epoch = epoch_;
  request.instance_id = instance_;
  if (say_all_ || epoch_ == 0) {
    request.rebalance_timeout_ms = 30'000;
    request.subscribed_topic_names = topics_;
    request.subscribed_topic_regex = regex_.value_or("");
  }
  saying_ = owned_;
  if (say_all_ || epoch_ == 0 || said_ != owned_) {
    request.topic_partitions = control::groups::to_entries<Request::TopicPartitions>(owned_);
  }
  say_all_ = false;  // what it subscribes to while this is on its way is told with the next
  return request;
}

void SimConsumer::answered(uint64_t number, const Response& response, Nanos now) {
  if (!waits_ || number != number_) return;
  waits_ = false;
  switch (response.error_code) {
    case ErrorCode::kNone: break;
    case ErrorCode::kFencedMemberEpoch:
    case ErrorCode::kUnknownMemberId: return begin_anew(now);
    default: return begin_anew(now + kSecond);  // its instance id is still another's: it tries again
  }
  said_ = saying_;
  epoch_ = response.member_epoch;
  next_beat_ = now + response.heartbeat_interval_ms * kMillisecond;
  if (response.assignment) given_ = control::groups::to_assignment(response.assignment->topic_partitions);
}

void SimConsumer::reconcile(Nanos now, Prng& prng) {
  if (!given_ || *given_ == owned_) {
    revoked_at_.reset();
    return;
  }
  if (!has_all(*given_, owned_)) {
    if (!revoked_at_) revoked_at_ = now + static_cast<Nanos>(prng.below(3)) * kSecond;
    if (now < *revoked_at_) return;
  }
  revoked_at_.reset();
  owned_ = *given_;
  next_beat_ = now;  // it says so at once
}

void SimConsumer::begin_anew(Nanos at) {
  epoch_ = 0;
  owned_.clear();
  given_.reset();
  said_.reset();
  revoked_at_.reset();
  say_all_ = true;
  next_beat_ = at;
}

}  // namespace penstock::sim
