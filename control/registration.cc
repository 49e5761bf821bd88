#include "control/registration.h"

#include "control/controller/keys.h"

namespace penstock::control {

Result<void> Registration::renew() {
  const Nanos now = clock_.monotonic();
  if (lease_ != kNoLease) {
    if (now < renew_at_) return {};
    const auto kept = store_.keep_alive(lease_);
    if (kept) {
      renew_at_ = now + kTtl / 3;
      return {};
    }
    if (kept.error().code != Errc::kNotFound) return kept;
    lease_ = kNoLease;
  }
  const LeaseId lease = TRY(store_.grant_lease(kTtl));
  const Transaction put{.conditions = {},
                        .writes = {{.key = keys::broker(node_), .value = value_, .lease = lease}},
                        .from_reserve = true};
  TRY_VOID(store_.commit(put));
  lease_ = lease;
  renew_at_ = now + kTtl / 3;
  return {};
}

Result<void> Registration::end() {
  if (lease_ == kNoLease) return {};
  TRY_VOID(store_.revoke(lease_));
  lease_ = kNoLease;
  return {};
}

}  // namespace penstock::control
