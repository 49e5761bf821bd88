// BrokerSwarm: what a seed of BrokerSim draws before it begins: which faults its disks have, and how much its producers
// send. As Swarm does for StoreSim: seeds that each do some things a lot reach more than seeds that do all a little.
#pragma once

#include <array>
#include <cstdint>

#include "base/prng.h"
#include "base/units.h"

namespace penstock::sim {

// Those of SimDisk's faults that one broker survives without losing what it has acknowledged.
enum class BrokerFault : uint8_t {
  kPowerAtOp,  // power goes at some op
  kSlowDisk,
  kSegmentEio,    // a write to a segment fails once
  kSegmentShort,  // or moves half
  kNoSpaceOnce,   // a file cannot grow, once
  kFullDisk,      // no file can, until there is room again
  kRingFails,     // a write to ring or state fails or comes short: poison
  kFlushFails,    // poison
  kCount
};

struct BrokerSwarm {
  explicit BrokerSwarm(uint64_t seed) {
    Prng prng(seed, 13);
    for (bool& on : faults) on = prng.one_in(3);
    if (prng.one_in(5)) faults.fill(false);
    faults[static_cast<size_t>(BrokerFault::kPowerAtOp)] = prng.one_in(2);
    rarely = prng.one_in(2) ? 15 : 60;
    laps = prng.one_in(3);
    if (prng.one_in(2)) segment_bytes = prng.between(16, 300) * kKiB;
    punt_percent = prng.one_in(3) ? 50 : 5;
    tear_unit = prng.one_in(2) ? 512 : 4096;
  }
  bool has(BrokerFault fault) const { return faults[static_cast<size_t>(fault)]; }

  std::array<bool, static_cast<size_t>(BrokerFault::kCount)> faults{};
  uint64_t rarely = 40;  // a fault in so many steps
  bool laps = false;     // one ring is sent more than it can hold
  uint64_t segment_bytes = kGiB;
  unsigned punt_percent = 5;
  uint64_t tear_unit = 512;
};

}  // namespace penstock::sim
