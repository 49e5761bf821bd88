// Sizes and times with their unit in the name.
#pragma once

#include <cstddef>
#include <cstdint>

namespace penstock {

inline constexpr uint64_t kKiB = 1024;
inline constexpr uint64_t kMiB = 1024 * kKiB;
inline constexpr uint64_t kGiB = 1024 * kMiB;

using Nanos = int64_t;  // a duration, or a moment of the monotonic clock
inline constexpr Nanos kMicrosecond = 1'000;
inline constexpr Nanos kMillisecond = 1'000'000;
inline constexpr Nanos kSecond = 1'000'000'000;

constexpr uint64_t align_up(uint64_t n, uint64_t unit) { return (n + unit - 1) / unit * unit; }
constexpr uint64_t align_down(uint64_t n, uint64_t unit) { return n / unit * unit; }

}  // namespace penstock
