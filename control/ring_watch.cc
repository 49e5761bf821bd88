#include "control/ring_watch.h"

#include "base/log.h"

namespace penstock::control {

RingWatch::RingWatch(Health& health, ControlCounters& counters, const std::vector<RingFolder>& rings)
    : health_(health), counters_(counters) {
  for (const RingFolder& ring : rings)
    rings_[ring.ring].name = "ring-" + std::to_string(ring.ring) + " in " + ring.folder;
}

bool RingWatch::take(const dataplane::RingHealth& told) {
  const auto found = rings_.find(told.ring);
  if (found == rings_.end()) return false;
  Ring& ring = found->second;
  const storage::StoreHealth before = std::exchange(ring.health, told.health);
  const storage::StoreHealth& now = told.health;
  if (now.poisoned != before.poisoned) {
    tell(ring, "failed", now.poisoned,
         ring.name +
             ": a write to it failed; its partitions are offline, others go on. What was acknowledged is safe. Check "
             "the drive, then restart.");
  }
  if (now.disk_full != before.disk_full) {
    tell(ring, "full", now.disk_full,
         ring.name +
             ": the drive is full; produces to its partitions are refused, reads go on. Free space on it, delete "
             "topics or shorten their retention; no restart is needed.");
  }
  if (now.damaged_logs != before.damaged_logs) {
    tell(ring, "damaged", now.damaged_logs > 0,
         ring.name + ": " + std::to_string(now.damaged_logs) +
             " partition(s) have segments that fail their checksums or cannot be read; what is damaged is not served. "
             "penstock log verify names the places.");
  }
  if (now.stuck_logs != before.stuck_logs || now.stuck_file != before.stuck_file) {
    tell(ring, "stuck", now.stuck_logs > 0,
         ring.name + ": the segments of " + std::to_string(now.stuck_logs) +
             " partition(s) cannot be written; what they get stays in the ring, which takes no more once it is full. " +
             now.stuck_file);
  }
  const bool failed_now = now.poisoned && !before.poisoned;
  if (failed_now && ++failed_ == rings_.size()) {
    health_.set_not_ready(ring.name + " has failed, and no other is left. Check the drive, then restart.");
    counters_.set(Metric::ready, 0);
  }
  return failed_now;
}

void RingWatch::tell(Ring& ring, const char* what, bool is_so, const std::string& line) {
  health_.set_problem(ring.name + " " + what, is_so ? line : "");
  if (is_so)
    LOG_ERROR("%s", line.c_str());
  else
    LOG_INFO("%s: no longer %s", ring.name.c_str(), what);
}

}  // namespace penstock::control
