// The only randomness in the tree: xoshiro256** (Blackman and Vigna, 2018), seeded through splitmix64.
// Named streams (a seed and a salt) keep one subsystem's draws from shifting another's. Not for secrets.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/assert.h"

namespace penstock {

__extension__ using Wide = unsigned __int128;

class Prng {
 public:
  explicit Prng(uint64_t seed, uint64_t stream = 0) {
    uint64_t x = seed ^ (stream * 0x9e3779b97f4a7c15ULL);
    for (uint64_t& word : state_) word = splitmix(x);
  }

  uint64_t next() {
    const uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }

  // Uniform in [0, bound); bound > 0. Lemire's multiply; the bias is below 2^-32 for the bounds used here.
  uint64_t below(uint64_t bound) {
    DCHECK(bound > 0);
    return static_cast<uint64_t>((static_cast<Wide>(next()) * bound) >> 64);
  }
  // Uniform in [low, high], both included.
  uint64_t between(uint64_t low, uint64_t high) { return low + below(high - low + 1); }
  // True once in n on average.
  bool one_in(uint64_t n) { return below(n) == 0; }
  // True with probability percent / 100.
  bool chance(unsigned percent) { return below(100) < percent; }
  void fill(std::span<std::byte> out) {
    for (std::byte& b : out) b = static_cast<std::byte>(next() >> 56);
  }

 private:
  static uint64_t splitmix(uint64_t& x) {
    uint64_t z = (x += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  std::array<uint64_t, 4> state_;
};

}  // namespace penstock
