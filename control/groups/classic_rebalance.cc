// How a classic group rebalances: members are asked to join (by their heartbeats), all who came make a generation, its
// leader says the assignment.
#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "control/groups/classic_group.h"

namespace penstock::control::groups {

void ClassicGroup::rebalance_or_complete(Step& step) {
  if (state_ == ClassicState::kPreparingRebalance) return complete_join_if_ready(step);
  prepare_rebalance(step);
}

void ClassicGroup::prepare_rebalance(Step& step) {
  if (state_ == ClassicState::kCompletingRebalance) refuse_syncs(ErrorCode::kRebalanceInProgress, step);
  pending_sync_.clear();
  sync_deadline_ = kNever;
  const bool was_empty = state_ == ClassicState::kEmpty;
  move_to(ClassicState::kPreparingRebalance, step.now);
  initial_delay_ = was_empty;
  if (was_empty) {  // more members are on their way: one rebalance instead of one for each
    delay_ms_ = step.settings.initial_rebalance_delay_ms;
    delay_left_ms_ = std::max(rebalance_timeout_ms() - delay_ms_, 0);
    new_member_added_ = false;
    join_deadline_ = deadline_in(step.now, delay_ms_);
    return;
  }
  if (all_have_joined()) return complete_join(step);
  join_deadline_ = deadline_in(step.now, rebalance_timeout_ms());
}

void ClassicGroup::complete_join_if_ready(Step& step) {
  if (state_ == ClassicState::kPreparingRebalance && state_before_ != ClassicState::kEmpty && all_have_joined())
    complete_join(step);
}

// The delay of a group that was empty: goes on while members come, for the longest rebalance timeout at most.
void ClassicGroup::end_initial_delay(Step& step) {
  if (!new_member_added_ || delay_left_ms_ == 0) return complete_join(step);
  new_member_added_ = false;
  const int32_t delay = std::min(step.settings.initial_rebalance_delay_ms, delay_left_ms_);
  delay_left_ms_ = std::max(delay_left_ms_ - delay_ms_, 0);
  delay_ms_ = delay;
  join_deadline_ = deadline_in(step.now, delay);
}

void ClassicGroup::complete_join(Step& step) {
  join_deadline_ = kNever;
  initial_delay_ = false;
  std::vector<std::string> gone;  // static members are waited for as long as their sessions last
  for (const auto& [id, member] : members_) {
    if (!member.joining && !member.instance_id) gone.push_back(id);
  }
  for (const std::string& id : gone) remove(id);
  if (!elect_leader_that_joined() && !members_.empty()) {
    join_deadline_ = deadline_in(step.now, rebalance_timeout_ms());
    return;
  }
  next_generation(step);
}

bool ClassicGroup::elect_leader_that_joined() {
  if (!leader_) return false;
  const auto leader = members_.find(*leader_);
  if (leader != members_.end() && leader->second.joining) return true;
  const auto other = std::ranges::find_if(members_, [](const auto& m) { return m.second.joining.has_value(); });
  if (other == members_.end()) return false;
  leader_ = other->first;
  return true;
}

void ClassicGroup::next_generation(Step& step) {
  generation_ = generation_ == INT32_MAX ? 1 : generation_ + 1;
  if (members_.empty()) {
    protocol_.reset();
    leader_.reset();
    compute_subscriptions();
    move_to(ClassicState::kEmpty, step.now);
    return write(step);
  }
  protocol_ = select_protocol();
  compute_subscriptions();
  move_to(ClassicState::kCompletingRebalance, step.now);
  for (auto& [id, member] : members_) {
    if (member.joining) answer_join(member, joined(member), step);
    heard_of(member, step.now);
    member.is_new = false;
    pending_sync_.insert(id);
  }
  sync_deadline_ = deadline_in(step.now, rebalance_timeout_ms());
}

void ClassicGroup::write(Step& step) { step.effects.records.push_back(record()); }

void ClassicGroup::answer_join(ClassicMember& member, JoinResponse response, Step& step) {
  CHECK(member.joining.has_value() && joining_ > 0);
  --joining_;
  step.effects.answers.push_back(
      {.ticket = *std::exchange(member.joining, std::nullopt), .response = std::move(response)});
}

void ClassicGroup::answer_sync(ClassicMember& member, ErrorCode error, Step& step) {
  CHECK(member.syncing.has_value());
  SyncResponse response{.error_code = error};
  if (error == ErrorCode::kNone) {
    response.protocol_type = protocol_type_;
    response.protocol_name = protocol_;
    response.assignment = member.assignment;
  }
  step.effects.answers.push_back(
      {.ticket = *std::exchange(member.syncing, std::nullopt), .response = std::move(response)});
}

void ClassicGroup::refuse_syncs(ErrorCode error, Step& step) {
  for (auto& [id, member] : members_) {
    bytes_ -= member.bytes();
    member.assignment.clear();
    bytes_ += member.bytes();
    if (!member.syncing) continue;
    answer_sync(member, error, step);
    heard_of(member, step.now);
  }
}

void ClassicGroup::fail_waiting(ErrorCode error, Step& step) {
  for (auto& [id, member] : members_) {
    JoinResponse response;
    response.error_code = error;
    response.member_id = id;
    response.protocol_name = "";
    if (member.joining) answer_join(member, std::move(response), step);
    if (member.syncing) answer_sync(member, error, step);
  }
}

// ---- time

void ClassicGroup::expire(Step& step) {
  if (earliest_ > step.now.monotonic) return;
  if (join_deadline_ <= step.now.monotonic) {
    join_deadline_ = kNever;
    initial_delay_ ? end_initial_delay(step) : complete_join(step);
  }
  if (sync_deadline_ <= step.now.monotonic) expire_sync(step);
  expire_members(step);
  earliest_ = std::min(join_deadline_, sync_deadline_);
  for (const auto& [id, member] : members_) earliest_ = std::min(earliest_, member.deadline);
  earliest_ = std::min(earliest_, pending_.next());
}

// Those that have joined and not synced: gone.
void ClassicGroup::expire_sync(Step& step) {
  sync_deadline_ = kNever;
  if (pending_sync_.empty()) return;
  for (const std::string& id : std::set(pending_sync_)) remove(id);
  prepare_rebalance(step);
}

void ClassicGroup::expire_members(Step& step) {
  const Nanos now = step.now.monotonic;
  const size_t pending_before = pending_.size();
  while (const auto id = pending_.take_due(now)) pending_bytes_ -= bytes_of_pending(*id);
  if (pending_.size() < pending_before) complete_join_if_ready(step);
  std::vector<std::string> due;
  for (const auto& [id, member] : members_) {
    if (member.deadline <= now) due.push_back(id);
  }
  for (const std::string& id : due) {
    const auto found = members_.find(id);
    if (found == members_.end() || found->second.deadline > now) continue;  // the one before it changed that
    ClassicMember& member = found->second;
    if (!member.is_new && (member.joining || member.syncing)) {  // waiting is as good as a heartbeat
      member.deadline = kNever;
      continue;
    }
    JoinResponse lost;
    lost.error_code = ErrorCode::kUnknownMemberId;
    lost.protocol_name = "";
    if (member.joining) answer_join(member, std::move(lost), step);
    if (member.syncing) answer_sync(member, ErrorCode::kUnknownMemberId, step);
    remove(id);
    if (state_ == ClassicState::kPreparingRebalance) {
      if (all_have_joined() && state_before_ != ClassicState::kEmpty) complete_join(step);
    } else if (state_ != ClassicState::kEmpty) {
      prepare_rebalance(step);
    }
  }
}

}  // namespace penstock::control::groups
