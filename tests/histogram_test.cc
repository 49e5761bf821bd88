// The histogram against an exact sort, over distributions that latencies have and over the edges of its buckets.
#include "base/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "base/prng.h"

namespace penstock {
namespace {

constexpr double kPercents[] = {0, 1, 10, 25, 50, 75, 90, 95, 99, 99.9, 99.99, 100};

uint64_t exact_percentile(const std::vector<uint64_t>& sorted, double percent) {
  return sorted[Histogram::rank_of(percent, sorted.size()) - 1];
}

void expect_near_exact(std::vector<uint64_t> values) {
  Histogram histogram;
  for (const uint64_t v : values) histogram.record(v);
  std::ranges::sort(values);
  ASSERT_EQ(histogram.count(), values.size());
  EXPECT_EQ(histogram.min(), values.front());
  EXPECT_EQ(histogram.max(), values.back());
  for (const double percent : kPercents) {
    const uint64_t exact = exact_percentile(values, percent);
    const uint64_t got = histogram.percentile(percent);
    EXPECT_GE(got, exact) << percent;
    EXPECT_LE(got - exact, exact / Histogram::kSub) << percent << " of " << values.size();
  }
}

TEST(Histogram, EmptyIsZero) {
  const Histogram histogram;
  EXPECT_EQ(histogram.count(), 0u);
  EXPECT_EQ(histogram.min(), 0u);
  EXPECT_EQ(histogram.max(), 0u);
  EXPECT_EQ(histogram.mean(), 0);
  EXPECT_EQ(histogram.percentile(50), 0u);
}

TEST(Histogram, OneValueIsEveryPercentile) {
  for (const uint64_t v : {uint64_t{0}, uint64_t{1}, uint64_t{127}, uint64_t{128}, uint64_t{1'000'003},
                           std::numeric_limits<uint64_t>::max()}) {
    Histogram histogram;
    histogram.record(v);
    for (const double percent : kPercents) EXPECT_EQ(histogram.percentile(percent), v);
  }
}

TEST(Histogram, RanksOfRoundShares) {
  EXPECT_EQ(Histogram::rank_of(99.9, 1000), 999u);
  EXPECT_EQ(Histogram::rank_of(50, 2), 1u);
  EXPECT_EQ(Histogram::rank_of(50, 3), 2u);
  EXPECT_EQ(Histogram::rank_of(0, 10), 1u);
  EXPECT_EQ(Histogram::rank_of(100, 10), 10u);
}

TEST(Histogram, BucketsTileTheRange) {
  for (size_t bucket = 0; bucket + 1 < Histogram::kBuckets; ++bucket) {
    const uint64_t last = Histogram::last_of(bucket);
    ASSERT_EQ(Histogram::bucket_of(last), bucket);
    ASSERT_EQ(Histogram::bucket_of(last + 1), bucket + 1);
  }
  EXPECT_EQ(Histogram::last_of(Histogram::kBuckets - 1), std::numeric_limits<uint64_t>::max());
}

TEST(Histogram, AgreesWithSort) {
  Prng prng(20, 1);
  for (int round = 0; round < 60; ++round) {
    const uint64_t count = prng.between(1, 5000);
    const unsigned top_bits = static_cast<unsigned>(prng.between(1, 63));
    std::vector<uint64_t> values;
    for (uint64_t i = 0; i < count; ++i) {
      // Magnitude first, then a value of it: long tails, as latencies have.
      const uint64_t bound = uint64_t{1} << prng.between(1, top_bits);
      values.push_back(round % 2 == 0 ? prng.below(bound) : bound / 2 + prng.below(16));
    }
    expect_near_exact(std::move(values));
  }
}

TEST(Histogram, MergeEqualsRecordingIntoOne) {
  Prng prng(20, 2);
  Histogram left, right, both;
  for (int i = 0; i < 10'000; ++i) {
    const uint64_t v = prng.next() >> prng.below(64);
    (prng.one_in(3) ? left : right).record(v);
    both.record(v);
  }
  left.merge(right);
  EXPECT_EQ(left.count(), both.count());
  EXPECT_EQ(left.min(), both.min());
  EXPECT_EQ(left.max(), both.max());
  EXPECT_NEAR(left.mean() / both.mean(), 1, 1e-9);
  for (const double percent : kPercents) EXPECT_EQ(left.percentile(percent), both.percentile(percent));
}

TEST(Histogram, TimesCountsLikeRepeating) {
  Histogram repeated, weighted;
  for (int i = 0; i < 1000; ++i) repeated.record(777);
  repeated.record(5);
  weighted.record(777, 1000);
  weighted.record(5);
  weighted.record(1, 0);
  EXPECT_EQ(repeated.min(), weighted.min());
  for (const double percent : kPercents) EXPECT_EQ(repeated.percentile(percent), weighted.percentile(percent));
}

}  // namespace
}  // namespace penstock
