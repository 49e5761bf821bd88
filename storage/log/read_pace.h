// ReadPace: when the next cold read may begin. A drive that reads as fast as it can keeps writes waiting, many times
// longer than they take alone (docs/adr/0017-cold-reads-give-way.md has figures), and for those writes producers wait.
// So beside them cold reads have half of the drive's time: one is under way at once, and behind each follows a pause as
// long as it took. With no producer waiting they have all of it. Knows no drive and no clock; times are monotonic.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>

#include "base/units.h"

namespace penstock::storage {

class ReadPace {
 public:
  // Reads at the drive at once, however many blocks there are (Disk::kOpsInFlightMax).
  static constexpr size_t kReadsMax = 64;
  // So long behind a write the next is expected: producers that send a hundred requests a second and more are seen as
  // always there.
  static constexpr Nanos kCalm = 10 * kMillisecond;
  // A read that the drive took long over says little about the next.
  static constexpr Nanos kPauseMost = 10 * kMillisecond;

  // A write that producers wait for is under way, or came home since the last call.
  void note_write(Nanos now) { calm_at_ = now + kCalm; }
  void note_read(Nanos begun_at, Nanos now) { pause_until_ = now + std::min(now - begun_at, kPauseMost); }
  // under_way: reads at the drive now.
  bool may_begin(size_t under_way, Nanos now) const {
    if (now >= calm_at_) return under_way < kReadsMax;
    return under_way == 0 && now >= pause_until_;
  }
  // With no read under way and may_begin() false: when it becomes true.
  Nanos next() const { return std::min(pause_until_, calm_at_); }

 private:
  Nanos calm_at_ = std::numeric_limits<Nanos>::min();
  Nanos pause_until_ = std::numeric_limits<Nanos>::min();
};

}  // namespace penstock::storage
