// Which leader epoch gave which offsets: the rules of Kafka's LeaderEpochFileCache (KIP-101, KIP-320), one test a rule,
// and the whole against a list of every offset's epoch.
#include "storage/log/epoch_cache.h"

#include <gtest/gtest.h>

#include <map>

#include "base/prng.h"

namespace penstock::storage {
namespace {

EpochCache cache_of(std::initializer_list<std::pair<int32_t, int64_t>> entries) {
  EpochCache cache;
  for (const auto& [epoch, start] : entries) cache.assign(LeaderEpoch{epoch}, Offset{start});
  return cache;
}

std::vector<std::pair<int32_t, int64_t>> all(std::span<const EpochEntry> entries) {
  std::vector<std::pair<int32_t, int64_t>> pairs;
  for (const EpochEntry& entry : entries) pairs.emplace_back(entry.epoch.value(), entry.start.value());
  return pairs;
}
using Pairs = std::vector<std::pair<int32_t, int64_t>>;

std::pair<int32_t, int64_t> end_of(const EpochCache& cache, int32_t epoch, int64_t log_end = 100) {
  const EpochEnd end = cache.end_offset_for(LeaderEpoch{epoch}, Offset{log_end});
  return {end.epoch.value(), end.end.value()};
}
using End = std::pair<int32_t, int64_t>;

TEST(EpochCache, OnlyTheFirstBatchOfAnEpochIsRemembered) {
  EXPECT_EQ(all(cache_of({{0, 0}, {0, 5}, {2, 10}, {2, 11}, {2, 40}}).entries()), (Pairs{{0, 0}, {2, 10}}));
  EXPECT_EQ(cache_of({{0, 0}, {2, 10}}).latest(), LeaderEpoch{2});
  EXPECT_EQ(EpochCache().latest(), kNoLeaderEpoch);
}

TEST(EpochCache, OfAnOffset) {
  const EpochCache cache = cache_of({{1, 5}, {3, 10}});
  EXPECT_EQ(cache.at(Offset{4}), kNoLeaderEpoch);
  EXPECT_EQ(cache.at(Offset{5}), LeaderEpoch{1});
  EXPECT_EQ(cache.at(Offset{9}), LeaderEpoch{1});
  EXPECT_EQ(cache.at(Offset{10}), LeaderEpoch{3});
  EXPECT_EQ(cache.at(Offset{11}), LeaderEpoch{3});
}

TEST(EpochCache, NoEpochTellsNothing) {
  EXPECT_EQ(all(cache_of({{-1, 0}, {1, 5}, {-1, 7}}).entries()), (Pairs{{1, 5}}));
}

TEST(EpochCache, AnOlderEpochBehindTheLatestTellsNothing) {
  EXPECT_EQ(all(cache_of({{3, 10}, {2, 20}}).entries()), (Pairs{{3, 10}}));
}

TEST(EpochCache, EntriesThatContradictANewOneGiveWay) {
  EXPECT_EQ(all(cache_of({{1, 0}, {2, 10}, {3, 20}, {4, 15}}).entries()), (Pairs{{1, 0}, {2, 10}, {4, 15}}));
  EXPECT_EQ(all(cache_of({{1, 0}, {2, 10}, {3, 20}, {2, 15}}).entries()), (Pairs{{1, 0}, {2, 15}}));
  EXPECT_EQ(all(cache_of({{5, 10}, {6, 10}}).entries()), (Pairs{{6, 10}}));
}

TEST(EpochCache, TheLatestEpochEndsAtTheLogsEnd) { EXPECT_EQ(end_of(cache_of({{1, 0}, {2, 10}}), 2), (End{2, 100})); }

TEST(EpochCache, AnEarlierEpochEndsWhereTheNextBegins) {
  EXPECT_EQ(end_of(cache_of({{1, 0}, {2, 10}, {5, 30}}), 1), (End{1, 10}));
  EXPECT_EQ(end_of(cache_of({{1, 0}, {2, 10}, {5, 30}}), 2), (End{2, 30}));
}

TEST(EpochCache, AnEpochThatGaveNothingIsAnsweredWithTheOneBelow) {
  EXPECT_EQ(end_of(cache_of({{1, 0}, {2, 10}, {5, 30}}), 4), (End{2, 30}));
}

TEST(EpochCache, BelowTheFirstTheFirstsStart) { EXPECT_EQ(end_of(cache_of({{4, 10}, {5, 30}}), 2), (End{2, 10})); }

TEST(EpochCache, WhatIsAboveTheLatestOrNoEpochIsNotKnown) {
  EXPECT_EQ(end_of(cache_of({{4, 10}}), 5), (End{-1, -1}));
  EXPECT_EQ(end_of(cache_of({{4, 10}}), -1), (End{-1, -1}));
  EXPECT_EQ(end_of({}, 0), (End{-1, -1}));
}

TEST(EpochCache, ATruncationDropsEpochsThatBeginAtOrBehindIt) {
  EpochCache cache = cache_of({{1, 0}, {2, 10}, {3, 20}});
  cache.truncate_from(Offset{21});
  EXPECT_EQ(all(cache.entries()), (Pairs{{1, 0}, {2, 10}, {3, 20}}));
  cache.truncate_from(Offset{20});
  EXPECT_EQ(all(cache.entries()), (Pairs{{1, 0}, {2, 10}}));
  cache.truncate_from(Offset{0});
  EXPECT_TRUE(cache.entries().empty());
}

TEST(EpochCache, ATrimMovesTheStartOfTheEpochThatHoldsTheNewBeginning) {
  EpochCache cache = cache_of({{1, 5}, {2, 10}, {3, 20}});
  cache.trim_to(Offset{4});
  EXPECT_EQ(all(cache.entries()), (Pairs{{1, 5}, {2, 10}, {3, 20}}));
  cache.trim_to(Offset{15});
  EXPECT_EQ(all(cache.entries()), (Pairs{{2, 15}, {3, 20}}));
  cache.trim_to(Offset{20});
  EXPECT_EQ(all(cache.entries()), (Pairs{{3, 20}}));
  cache.trim_to(Offset{1000});
  EXPECT_EQ(all(cache.entries()), (Pairs{{3, 1000}}));
}

TEST(EpochCache, ASnapshotHasTheEpochsOfWhatIsBelowAndRestores) {
  const EpochCache cache = cache_of({{1, 0}, {2, 10}, {3, 20}});
  EXPECT_EQ(all(cache.snapshot(Offset{20})), (Pairs{{1, 0}, {2, 10}}));
  EXPECT_EQ(all(cache.snapshot(Offset{21})), (Pairs{{1, 0}, {2, 10}, {3, 20}}));
  EXPECT_TRUE(cache.snapshot(Offset{0}).empty());
  EpochCache other = cache_of({{9, 9}});
  other.restore(cache.snapshot(Offset{20}));
  EXPECT_EQ(all(other.entries()), (Pairs{{1, 0}, {2, 10}}));
}

// Every offset's epoch in a list says what the cache must say.
TEST(EpochCache, AgreesWithAListOfAllOffsets) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Prng prng(seed);
    EpochCache cache;
    std::vector<int32_t> epochs;  // of each offset from start on
    int64_t start = 0;
    int32_t epoch = 0;
    for (int step = 0; step < 60; ++step) {
      const auto end = start + static_cast<int64_t>(epochs.size());
      if (prng.one_in(4)) epoch += static_cast<int32_t>(prng.below(3));
      if (prng.one_in(10) && !epochs.empty()) {
        const auto keep = prng.below(epochs.size() + 1);
        epochs.resize(keep);
        cache.truncate_from(Offset{start + static_cast<int64_t>(keep)});
      } else if (prng.one_in(10) && epochs.size() > 1) {
        const auto cut = static_cast<int64_t>(prng.below(epochs.size()));  // the last offset stays
        epochs.erase(epochs.begin(), epochs.begin() + cut);
        start += cut;
        cache.trim_to(Offset{start});
      } else {
        cache.assign(LeaderEpoch{epoch}, Offset{end});
        epochs.insert(epochs.end(), prng.between(1, 5), epoch);
      }
      const int64_t log_end = start + static_cast<int64_t>(epochs.size());
      for (int32_t asked = 0; asked <= epoch + 1; ++asked) {
        End expected{-1, -1};
        if (!epochs.empty() && asked == epochs.back()) {
          expected = {asked, log_end};
        } else {
          const auto higher = std::ranges::upper_bound(epochs, asked);
          if (higher != epochs.end())
            expected = {higher == epochs.begin() ? asked : *std::prev(higher), start + (higher - epochs.begin())};
        }
        ASSERT_EQ(end_of(cache, asked, log_end), expected) << "seed " << seed << " step " << step << " epoch " << asked;
      }
    }
  }
}

}  // namespace
}  // namespace penstock::storage
