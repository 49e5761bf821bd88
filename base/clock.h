// The Clock seam: the only way to ask the time. Real in base/system_clock.h, virtual in tests/sim.
#pragma once

#include <cstdint>

#include "base/units.h"

namespace penstock {

class Clock {
 public:
  // Nanoseconds of a clock that never goes back. Zero is arbitrary.
  virtual Nanos monotonic() = 0;
  // Milliseconds since 1970 (Kafka's timestamps). May jump.
  virtual int64_t wall_ms() = 0;

 protected:
  ~Clock() = default;
};

}  // namespace penstock
