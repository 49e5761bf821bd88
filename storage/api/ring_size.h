// How large a ring may be, and how large one is that a machine has room for: what a start refuses, and what it and
// `penstock check` advise instead.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/units.h"

namespace penstock::storage {

struct RingBounds {
  uint64_t least;
  uint64_t most;
};

// Those of penstock.ring.bytes.
constexpr RingBounds ring_bounds() {
#define OPTION_INT(id, name, default_value, min, max, unit, help) \
  if (std::string_view(#id) == "ring_bytes") return {static_cast<uint64_t>(min), static_cast<uint64_t>(max)};
#define OPTION_BOOL(id, name, default_value, help)
#define OPTION_TEXT(id, name, default_value, allowed, help)
#include "storage/api/options.def"
#undef OPTION_INT
#undef OPTION_BOOL
#undef OPTION_TEXT
  return {};
}

// A size for each of so many rings that fits well: half of the drive's free space is left to segments, half of the
// memory to everything else. A power of two; nothing if not even the least ring fits so.
inline std::optional<uint64_t> ring_that_fits(uint64_t free_bytes, uint64_t memory_bytes, uint64_t rings) {
  const uint64_t room = std::min(free_bytes, memory_bytes) / 2 / std::max<uint64_t>(rings, 1);
  const uint64_t bytes = std::min(std::bit_floor(room), ring_bounds().most);
  if (bytes < ring_bounds().least) return std::nullopt;
  return bytes;
}

}  // namespace penstock::storage
