// 128 bits that stand for a record's key: SipHash-2-4 with 128 bits of output (Aumasson and Bernstein, 2012), under a
// secret of the process, so that nobody can make two keys collide. By chance, a billion keys have two alike with a
// probability of 10^-21.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/siphash.h"

namespace penstock::storage {

struct KeyHash {
  uint64_t low = 0;
  uint64_t high = 0;
  friend bool operator==(const KeyHash&, const KeyHash&) = default;
};

KeyHash hash_of(const SipKey& secret, std::span<const std::byte> key);

}  // namespace penstock::storage
