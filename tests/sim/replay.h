// What a simulator's test says of a seed that it replays (PENSTOCK_SIM_SEED): tests/sim_replay_test.py compares it
// between processes.
#pragma once

#include <cstdint>
#include <cstdio>

namespace penstock::sim {

inline void print_trace(uint64_t seed, uint64_t hash) {
  std::printf("seed %llu trace %016llx\n", static_cast<unsigned long long>(seed),
              static_cast<unsigned long long>(hash));
}

}  // namespace penstock::sim
