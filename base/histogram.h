// Histogram: counts values (latencies in nanoseconds) in log-linear buckets: 128 of equal width for each power of two,
// so that a percentile is at most 1/128 (0.8 %) above the true one, over the whole range of 64 bits, in 58 KiB that
// never grow. The shape is that of HdrHistogram. Not thread-safe: one histogram a thread, merged at the end.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "base/assert.h"

namespace penstock {

class Histogram {
 public:
  static constexpr unsigned kSubBits = 7;  // log2 of buckets a power of two: the relative error is 2^-kSubBits
  static constexpr size_t kSub = size_t{1} << kSubBits;
  // Values below kSub have a bucket each; then one group of kSub for each higher power of two.
  static constexpr size_t kBuckets = (64 - kSubBits + 1) * kSub;

  Histogram() : counts_(kBuckets, 0) {}

  void record(uint64_t value, uint64_t times = 1) {
    if (times == 0) return;
    counts_[bucket_of(value)] += times;
    count_ += times;
    sum_ += static_cast<double>(value) * static_cast<double>(times);
    min_ = std::min(min_, value);
    max_ = std::max(max_, value);
  }
  void merge(const Histogram& other) {
    for (size_t i = 0; i < kBuckets; ++i) counts_[i] += other.counts_[i];
    count_ += other.count_;
    sum_ += other.sum_;
    min_ = std::min(min_, other.min_);
    max_ = std::max(max_, other.max_);
  }
  void clear() { *this = Histogram(); }

  uint64_t count() const { return count_; }
  uint64_t min() const { return count_ == 0 ? 0 : min_; }  // exact
  uint64_t max() const { return max_; }                    // exact
  double mean() const { return count_ == 0 ? 0 : sum_ / static_cast<double>(count_); }

  // The smallest value that at least percent of all values do not exceed (nearest rank), rounded up to the end of its
  // bucket but never above max(). 0 of an empty histogram. percent in [0, 100].
  uint64_t percentile(double percent) const {
    CHECK(percent >= 0 && percent <= 100);
    if (count_ == 0) return 0;
    const uint64_t rank = rank_of(percent, count_);
    uint64_t seen = 0;
    for (size_t i = 0; i < kBuckets; ++i) {
      seen += counts_[i];
      if (seen >= rank) return std::clamp(last_of(i), min_, max_);
    }
    return max_;
  }

  // 1-based rank of the value that percentile() names among count sorted values.
  static uint64_t rank_of(double percent, uint64_t count) {
    // The small slack keeps 99.9 % of 1000 at rank 999, though 99.9 has no exact binary form.
    const double exact = percent / 100 * static_cast<double>(count);
    const auto rank = static_cast<uint64_t>(std::ceil(exact - exact * 1e-12));
    return std::clamp<uint64_t>(rank, 1, count);
  }
  static size_t bucket_of(uint64_t value) {
    if (value < kSub) return value;
    const unsigned shift = static_cast<unsigned>(std::bit_width(value)) - 1 - kSubBits;
    return (shift + 1) * kSub + static_cast<size_t>((value >> shift) - kSub);
  }
  // Greatest value that lands in bucket.
  static uint64_t last_of(size_t bucket) {
    if (bucket < kSub) return bucket;
    const unsigned shift = static_cast<unsigned>(bucket / kSub) - 1;
    const uint64_t first = (kSub + bucket % kSub) << shift;
    return first + ((uint64_t{1} << shift) - 1);
  }

 private:
  std::vector<uint64_t> counts_;
  uint64_t count_ = 0;
  double sum_ = 0;
  uint64_t min_ = std::numeric_limits<uint64_t>::max();
  uint64_t max_ = 0;
};

static_assert(Histogram::kBuckets * sizeof(uint64_t) <= 60 * 1024, "the bound that the header comment states");

}  // namespace penstock
