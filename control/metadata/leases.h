// Leases of an in-process store: who lives until when. The store deletes the keys of those that end.
#pragma once

#include <map>
#include <vector>

#include "base/clock.h"
#include "control/metadata/store.h"

namespace penstock::control {

class Leases {
 public:
  explicit Leases(Clock& clock) : clock_(&clock) {}

  LeaseId grant(Nanos ttl) {
    const LeaseId id{next_++};
    leases_.emplace(id, Lease{.ttl = ttl, .ends = clock_->monotonic() + ttl});
    return id;
  }
  bool alive(LeaseId id) const { return leases_.contains(id); }
  Result<void> keep_alive(LeaseId id) {
    const auto found = leases_.find(id);
    if (found == leases_.end()) return fail(Errc::kNotFound);
    found->second.ends = clock_->monotonic() + found->second.ttl;
    return {};
  }
  void end(LeaseId id) { leases_.erase(id); }
  std::vector<LeaseId> due() const {
    std::vector<LeaseId> ids;
    const Nanos now = clock_->monotonic();
    for (const auto& [id, lease] : leases_) {
      if (lease.ends <= now) ids.push_back(id);
    }
    return ids;
  }

 private:
  struct Lease {
    Nanos ttl;
    Nanos ends;
  };
  Clock* clock_;
  std::map<LeaseId, Lease> leases_;
  int64_t next_ = 1;
};

}  // namespace penstock::control
