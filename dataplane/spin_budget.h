// SpinBudget: how long an lcore without work polls before it sleeps, learnt from how long it was without work before.
// Polling pays if work comes meanwhile; if it does not, the polling was for nothing, and the sleep comes all the same.
// After halt polling of KVM (Linux, Documentation/virt/kvm/halt-polling.rst): grown when work came soon after a sleep
// began, shrunk when it came late. Owned by one lcore.
#pragma once

#include <algorithm>

#include "base/units.h"

namespace penstock::dataplane {

class SpinBudget {
 public:
  // most: the setting. It is where the budget begins, so that the first requests of a connection find the lcore awake.
  explicit SpinBudget(Nanos most) : most_(most), now_(most) {}

  Nanos now() const { return now_; }

  // Work has come, waited after the work before it; slept: polling alone did not see it come.
  void over(Nanos waited, bool slept) {
    if (!slept || most_ == 0) return;
    // A sleeper is woken late, by about as much as it is worth to poll.
    if (waited <= 2 * most_) {
      now_ = std::min(most_, std::max(now_ * 2, most_ / 4));
    } else {
      now_ = now_ / 2 < most_ / 16 ? 0 : now_ / 2;
    }
  }

 private:
  const Nanos most_;
  Nanos now_;
};

}  // namespace penstock::dataplane
