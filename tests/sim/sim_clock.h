// Virtual time. Moves only when a test or the simulator moves it.
#pragma once

#include <algorithm>

#include "base/clock.h"

namespace penstock::sim {

class SimClock final : public Clock {
 public:
  Nanos monotonic() override { return now_; }
  int64_t wall_ms() override { return kEpochMs + now_ / kMillisecond; }
  void advance(Nanos n) { now_ += n; }
  void advance_to(Nanos moment) { now_ = std::max(now_, moment); }

 private:
  static constexpr int64_t kEpochMs = 1'700'000'000'000;
  Nanos now_ = kSecond;
};

}  // namespace penstock::sim
