// Progress: whether a connection that holds memory which others wait for brings its request forward, or takes its
// answers. One rule for each transport and for the answers of all, so that who only begins requests, or drips bytes one
// way or the other, cannot hold memory for ever. That he is not idle does not help him.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/units.h"

namespace penstock::dataplane {

class Progress {
 public:
  // So much in so long, or a sixtieth of the request (or answer) if that is more: the largest is there, or gone, in ten
  // minutes.
  static constexpr Nanos kTime = 10 * kSecond;
  static constexpr uint64_t kBytes = 64 * kKiB;
  static constexpr uint64_t kPart = 60;
  // Who has stood in line for kTime before his memory was promised, and then sends nothing in this time while others
  // stand behind him, is too slow already: a line of the silent must not cost kTime for each.
  static constexpr Nanos kTurn = 1 * kSecond;

  // Bytes that came, or that the peer took.
  void moved(uint64_t bytes) { moved_ += bytes; }
  // What follows is measured from the next look on.
  void begin_anew() { checked_at_ = 0; }
  // It could not bring anything for so long, because it had to wait for memory.
  void put_off(Nanos waited) {
    if (checked_at_ != 0) checked_at_ += waited;
  }
  // Not a byte since a look kTurn ago or longer.
  bool silent(Nanos now) const { return checked_at_ != 0 && now - checked_at_ >= kTurn && moved_ == checked_moved_; }
  bool moved_since_look() const { return checked_at_ != 0 && moved_ != checked_moved_; }
  // A look, while memory is short and the peer has to go on; it has been short since short_since. True: it was too
  // slow.
  bool too_slow(Nanos now, Nanos short_since, uint64_t request_bytes) {
    const bool watched = checked_at_ != 0 && checked_at_ >= short_since;
    if (watched && now - checked_at_ < kTime) return false;
    const bool slow = watched && moved_ - checked_moved_ < std::max(kBytes, request_bytes / kPart);
    checked_at_ = now;
    checked_moved_ = moved_;
    return slow;
  }

 private:
  uint64_t moved_ = 0;
  uint64_t checked_moved_ = 0;  // moved_ at checked_at_
  Nanos checked_at_ = 0;        // 0: not looked at
};

}  // namespace penstock::dataplane
