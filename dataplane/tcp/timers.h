// Wheel: which connection's earliest deadline has come. Four levels of 64 slots, a tick of 64 us (RACK waits a quarter
// of a round trip, which is that short in a rack of machines), 18 minutes in all; what is later waits at the end and is
// put in again. One node a connection, whatever number of deadlines it has: they lie in its Tcb, and a node that fires
// early finds nothing due and is put in again, so that an ACK that moves a deadline on costs no list operation.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "base/units.h"

namespace penstock::dataplane::tcp {

inline constexpr Nanos kNever = std::numeric_limits<Nanos>::max();

class Wheel {
 public:
  static constexpr int kTickBits = 16;  // 65.536 us
  static constexpr Nanos kTick = Nanos{1} << kTickBits;

  explicit Wheel(size_t nodes);

  // Node's deadline is at, if that is earlier than the one it has; a later one is found when it fires.
  void arm(uint32_t node, Nanos at);
  void disarm(uint32_t node);
  bool armed(uint32_t node) const { return nodes_[node].slot != kNone; }
  // When node will come out of expire(); kNever if it is not armed.
  Nanos fires_at(uint32_t node) const;

  // Takes out one node whose tick is not after now. The caller calls until nothing comes.
  std::optional<uint32_t> expire(Nanos now);
  // No node fires before this; kNever if none is armed. May be early (a tick of a coarse level), never late.
  Nanos next() const;

 private:
  static constexpr int kLevels = 4;
  static constexpr int kSlotBits = 6;
  static constexpr uint32_t kSlots = 1u << kSlotBits;
  static constexpr uint32_t kNone = 0xffff'ffff;

  struct Node {
    uint64_t tick = 0;
    uint32_t next = kNone;
    uint32_t previous = kNone;
    uint32_t slot = kNone;  // level * kSlots + place
  };

  void link(uint32_t node);
  void unlink(uint32_t node);
  void cascade(int level);
  uint64_t next_tick() const;

  std::vector<Node> nodes_;
  std::array<uint32_t, kLevels * kSlots> heads_;
  std::array<uint64_t, kLevels> used_{};  // a bit for each slot that is not empty
  uint64_t tick_ = 0;                     // slots before it are empty
};

}  // namespace penstock::dataplane::tcp
