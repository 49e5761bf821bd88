// reconcile(): the next step of one member towards its target (KIP-848, "Reconciliation of the group"): first it gives
// up what is no longer its own, then it moves to the new epoch and gets what nobody else holds, then it waits for the
// rest. Pure.
#pragma once

#include <functional>
#include <optional>

#include "control/groups/consumer_member.h"

namespace penstock::control::groups {

struct ReconcileInput {
  int32_t target_epoch;
  const Assignment& target;
  // Whether the member wants the topic; a target of others counts as none.
  const std::function<bool(const Uuid&)>& subscribed;
  bool subscription_changed;               // with this request: what it no longer wants goes even without a new target
  const std::optional<Assignment>& owned;  // what the member says it has; nothing if it did not say
  // Whether another member has the partition, be it to give up.
  const std::function<bool(const Uuid&, int32_t)>& held_by_another;
};

Progress reconcile(const Progress& now, const ReconcileInput& input);

}  // namespace penstock::control::groups
