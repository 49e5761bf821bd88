// The kernel's clocks behind the Clock seam.
#pragma once

#include <ctime>

#include "base/clock.h"

namespace penstock {

class SystemClock final : public Clock {
 public:
  Nanos monotonic() override { return read(CLOCK_MONOTONIC); }
  int64_t wall_ms() override { return read(CLOCK_REALTIME) / kMillisecond; }

 private:
  static Nanos read(clockid_t id) {
    timespec now;
    clock_gettime(id, &now);
    return now.tv_sec * kSecond + now.tv_nsec;
  }
};

}  // namespace penstock
