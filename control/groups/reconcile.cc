#include "control/groups/reconcile.h"

namespace penstock::control::groups {
namespace {

// A member that does not say what it owns is taken to own it all.
bool still_owns(const std::optional<Assignment>& owned, const Holding& revoking) {
  if (revoking.empty()) return false;
  if (!owned) return true;
  for (const auto& [topic, partitions] : *owned) {
    for (const int32_t partition : partitions) {
      if (has_partition(revoking, topic, partition)) return true;
    }
  }
  return false;
}

struct Split {
  Holding kept;
  Holding revoking;
  Assignment free;  // of the target: nobody holds it
  bool unreleased = false;
};

const std::set<int32_t> kNoPartitions;

const std::set<int32_t>& wanted_of(const ReconcileInput& input, const Uuid& topic) {
  const auto at = input.target.find(topic);
  return at == input.target.end() || !input.subscribed(topic) ? kNoPartitions : at->second;
}

Split split(const Progress& now, const ReconcileInput& input) {
  Split result;
  for (const auto& [topic, partitions] : now.assigned) {
    const std::set<int32_t>& wanted = wanted_of(input, topic);
    for (const auto& [partition, epoch] : partitions) {
      (wanted.contains(partition) ? result.kept : result.revoking)[topic].emplace(partition, epoch);
    }
  }
  for (const auto& [topic, partitions] : input.target) {
    for (const int32_t partition : wanted_of(input, topic)) {
      if (has_partition(result.kept, topic, partition)) continue;
      if (input.held_by_another(topic, partition)) {
        result.unreleased = true;
      } else {
        result.free[topic].insert(partition);
      }
    }
  }
  return result;
}

Progress next(const Progress& now, const ReconcileInput& input) {
  Split parts = split(now, input);
  Progress then = now;
  if (still_owns(input.owned, parts.revoking)) {
    then.state = MemberState::kUnrevoked;  // it stays in its epoch until it has let go
    then.assigned = std::move(parts.kept);
    // With what it was to give up before. It says that it has; but who stays in an epoch can commit what it owned
    // there, and this may be a late request of a time before it owned it. Others get it when the epoch ends.
    for (const auto& [topic, partitions] : parts.revoking)
      then.revoking[topic].insert(partitions.begin(), partitions.end());
    return then;
  }
  then.move_to_epoch(input.target_epoch);
  then.state = parts.unreleased ? MemberState::kUnreleased : MemberState::kStable;
  then.assigned = std::move(parts.kept);
  then.revoking.clear();
  for (const auto& [topic, partitions] : parts.free) {
    for (const int32_t partition : partitions) then.assigned[topic].emplace(partition, input.target_epoch);
  }
  return then;
}

// Takes away what is no longer subscribed to, and nothing else: between two targets.
Progress drop_unsubscribed(const Progress& now, const ReconcileInput& input) {
  Progress then = now;
  for (auto at = then.assigned.begin(); at != then.assigned.end();) {
    if (input.subscribed(at->first)) {
      ++at;
      continue;
    }
    then.revoking[at->first].insert(at->second.begin(), at->second.end());
    at = then.assigned.erase(at);
  }
  if (then.assigned == now.assigned) return now;
  if (still_owns(input.owned, then.revoking)) {
    then.state = MemberState::kUnrevoked;
  } else {
    then.revoking.clear();
  }
  return then;
}

}  // namespace

Progress reconcile(const Progress& now, const ReconcileInput& input) {
  const auto stay = [&] { return input.subscription_changed ? drop_unsubscribed(now, input) : now; };
  switch (now.state) {
    case MemberState::kStable: return now.epoch != input.target_epoch ? next(now, input) : stay();
    case MemberState::kUnrevoked: return still_owns(input.owned, now.revoking) ? stay() : next(now, input);
    case MemberState::kUnreleased: return next(now, input);
  }
  return now;
}

}  // namespace penstock::control::groups
