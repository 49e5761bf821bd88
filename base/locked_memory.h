// What to do when io_uring_setup says ENOMEM. Until Linux 5.12, and again since 6.14, the queues count as locked
// memory; between the two they are a control group's as all else. Only a low limit makes the first the likely reason.
#pragma once

#include <sys/resource.h>

#include <string_view>

#include "base/units.h"

namespace penstock {

// limit: of RLIMIT_MEMLOCK, in bytes.
constexpr std::string_view hint_for_queue_memory(rlim_t limit) {
  constexpr rlim_t kPlenty = 64 * kMiB;  // for the queues of many rings, beside other memory that is locked
  if (limit != RLIM_INFINITY && limit < kPlenty)
    return "not enough locked memory: raise ulimit -l (LimitMEMLOCK= in a systemd unit)";
  return "not enough memory: free some, or allow the control group more (memory.max, MemoryMax= in a systemd unit)";
}

inline std::string_view hint_for_queue_memory() {
  rlimit limit{};
  getrlimit(RLIMIT_MEMLOCK, &limit);
  return hint_for_queue_memory(limit.rlim_cur);
}

}  // namespace penstock
