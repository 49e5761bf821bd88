// OnLcore: who owns this object. First member of what one lcore owns; owner_.check() is the first line of each entry
// point. It binds to the thread of the first check (or of the last hand_over) and takes no time in release.
#pragma once

#include "base/assert.h"

#ifdef PENSTOCK_DCHECK
#include <thread>
#endif

namespace penstock {

#ifdef PENSTOCK_DCHECK
class OnLcore {
 public:
  void check() {
    if (owner_ == std::thread::id{}) owner_ = std::this_thread::get_id();
    CHECK(owner_ == std::this_thread::get_id());
  }
  // The current owner gives the object away; the next check binds it.
  void hand_over() { owner_ = std::thread::id{}; }

 private:
  std::thread::id owner_;
};
#else
class OnLcore {
 public:
  void check() {}
  void hand_over() {}
};
#endif

}  // namespace penstock
