// Registration: this broker's key in the metadata store, there as long as the broker is.
#pragma once

#include <string>

#include "base/clock.h"
#include "control/metadata/store.h"
#include "protocol/types.h"

namespace penstock::control {

class Registration {
 public:
  static constexpr Nanos kTtl = 30 * kSecond;  // others take over after this; renewed at a third of it

  // value: the broker's addresses, a line a listener.
  Registration(MetadataStore& store, Clock& clock, BrokerId node, std::string value)
      : store_(store), clock_(clock), node_(node), value_(std::move(value)) {}

  // Now and then. Registers, renews, and registers again if the lease was lost.
  Result<void> renew();
  Result<void> end();

 private:
  MetadataStore& store_;
  Clock& clock_;
  const BrokerId node_;
  const std::string value_;
  LeaseId lease_ = kNoLease;
  Nanos renew_at_ = 0;
};

}  // namespace penstock::control
