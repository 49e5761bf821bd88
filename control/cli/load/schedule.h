// The open loop's timetable: when each request is due, whatever happened to the earlier ones. Latency is counted from
// there, so a broker that stalls pays for every request that it made wait (no coordinated omission).
#pragma once

#include <cstdint>

#include "base/assert.h"
#include "base/prng.h"
#include "base/units.h"

namespace penstock::cli {

class Schedule {
 public:
  // Request i, from 0 on, carries units_per_request; units_per_second are offered. Exact: no rounding adds up.
  Schedule(Nanos start, uint64_t units_per_request, uint64_t units_per_second)
      : start_(start), per_request_(static_cast<Wide>(units_per_request) * kSecond), per_second_(units_per_second) {
    CHECK(units_per_request > 0 && units_per_second > 0);
  }

  Nanos due(uint64_t i) const { return start_ + static_cast<Nanos>(i * per_request_ / per_second_); }

  // How many requests, from 0 on, are due at now or before.
  uint64_t due_by(Nanos now) const {
    if (now < start_) return 0;
    const Wide reached = static_cast<Wide>(now - start_ + 1) * per_second_;
    return static_cast<uint64_t>((reached + per_request_ - 1) / per_request_);
  }

 private:
  Nanos start_;
  Wide per_request_;  // units x nanoseconds a second
  uint64_t per_second_;
};

}  // namespace penstock::cli
