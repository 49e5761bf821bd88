// ForeignRings: what other lcores have said of their write-ahead rings (RingMoved). So an answer that waits for several
// rings waits in one way, wherever they are.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/api/mesh.h"
#include "storage/api/store_set.h"

namespace penstock::dataplane {

class ForeignRings {
 public:
  void moved(const RingMoved& said) {
    const auto found = std::ranges::find(rings_, said.ring, &RingMoved::ring);
    if (found == rings_.end()) {
      rings_.push_back(said);
    } else {
      *found = said;
    }
  }
  std::span<const RingMoved> rings() const { return rings_; }
  bool is_durable(storage::DurableAt at) const {
    const RingMoved* ring = find(at.ring);
    return at.lsn <= (ring == nullptr ? storage::Lsn{0} : ring->durable);  // a repeat of what a start found is at 0
  }
  bool poisoned(uint16_t ring) const {
    const RingMoved* found = find(ring);
    return found != nullptr && found->poisoned;
  }

 private:
  const RingMoved* find(uint16_t ring) const {
    const auto found = std::ranges::find(rings_, ring, &RingMoved::ring);
    return found == rings_.end() ? nullptr : &*found;
  }

  std::vector<RingMoved> rings_;  // those that were spoken of
};

}  // namespace penstock::dataplane
