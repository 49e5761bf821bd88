// Virtual time. Moves only when a test or the simulator moves it.
#pragma once

#include <algorithm>

#include "base/clock.h"

namespace penstock::sim {

class SimClock final : public Clock {
 public:
  Nanos monotonic() override { return now_; }
  int64_t wall_ms() override { return epoch_ms_ + now_ / kMillisecond; }
  void advance(Nanos n) { now_ += n; }
  void advance_to(Nanos moment) { now_ = std::max(now_, moment); }
  // Somebody sets the wall clock.
  void wall_jumps(int64_t ms) { epoch_ms_ += ms; }

 private:
  int64_t epoch_ms_ = 1'700'000'000'000;
  Nanos now_ = kSecond;
};

}  // namespace penstock::sim
