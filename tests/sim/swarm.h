// Swarm: what a seed of StoreSim draws before it begins: which operations and which faults are on, and how often. A
// seed that does everything a little reaches less than many that each do some things a lot (swarm testing, Groce 2012).
#pragma once

#include <array>
#include <cstdint>

#include "base/prng.h"
#include "storage/api/types.h"
#include "tests/sim/sim_disk.h"

namespace penstock::sim {

enum class SimStep : uint8_t {
  kAppend,
  kRepeat,
  kOpenLog,
  kDropLog,
  kPlan,
  kReadOn,
  kFindTime,
  kEpochEnd,
  kTrim,
  kTruncate,
  kConfig,
  kLeap,
  kFault,
  kTurn,
  kCount
};

enum class SimFault : uint8_t {
  kSegmentEio,        // a write to a segment fails once
  kSegmentShort,      // or moves half
  kSegmentEioAlways,  // every write to one log fails, until it is over
  kNoSpaceOnce,       // a file cannot grow, once
  kFullDisk,          // no file can, until there is room again
  kSlowDisk,
  kReadEio,     // a read fails once
  kRingFails,   // a write to ring or state fails or comes short: poison
  kFlushFails,  // poison
  kLies,        // a flush or a durable write says it is done and is not
  kRot,         // of a sealed segment a bit turns, a block is lost, or another lies in its place; or the file is gone
  kUnreadable,  // a place in one cannot be read, however often it is tried
  kPowerAtOp,   // power goes at some op
  kCount
};

struct Swarm {
  Swarm() = default;
  explicit Swarm(uint64_t seed);

  SimStep draw_step(Prng& prng) const;
  bool has(SimFault fault) const { return faults[static_cast<size_t>(fault)]; }
  // Settings of a life: drawn anew each time, so that one life's folder is the next one's with others.
  storage::StorageOptions draw_options(Prng& prng) const;
  storage::LogConfig draw_config(Prng& prng) const;

  std::array<unsigned, static_cast<size_t>(SimStep::kCount)> weights{};
  std::array<bool, static_cast<size_t>(SimFault::kCount)> faults{};
  uint64_t ring_bytes = 4 * kMiB;
  size_t logs_most = 8;
  size_t value_bytes = 300;    // of a record, about
  unsigned large_percent = 2;  // batches of about large_bytes
  size_t large_bytes = 100'000;
  bool same_size = false;  // all batches have the same number of bytes
  int64_t time_jitter_ms = 1000;
  uint64_t segment_bytes_min = 16 * kKiB;
  uint64_t segment_bytes_max = 300 * kKiB;
  bool small_caches = false;
  bool few_files = false;
  bool few_producers = false;  // some are forgotten
  bool scrub = false;
  bool retention = false;
  bool compact = false;  // some logs are compacted:
  unsigned compact_percent = 70;
  uint64_t keys = 20;          // of a log
  unsigned stop_percent = 25;  // lives that end with a stop; of the others
  unsigned kill_percent = 20;  // so many with the process, the rest with power
  unsigned recovery_crash_percent = 20;
  Nanos turn_most = 300 * kMicrosecond;
  unsigned long_turn_percent = 10;
};

}  // namespace penstock::sim
