// What a partition remembers of its idempotent producers (compat lines 56 to 59 and 61).
#include "storage/log/producer_table.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "base/prng.h"

namespace penstock::storage {
namespace {

constexpr ProducerId kProducer{42};
constexpr int32_t kMost = 0x7fffffff;

ProducerBatch batch(int32_t first, int32_t last, int64_t offset, int16_t epoch = 0) {
  return {epoch, first, last, Offset{offset}, Lsn{static_cast<uint64_t>(offset)}};
}

void remember(ProducerTable& table, ProducerId producer, const ProducerBatch& batch, size_t most = 100) {
  table.remember(producer, batch, batch.base_offset.value() * 1000, most);
}

TEST(ProducerTable, RemembersTheLastFiveAndAnswersThemWithTheirOffset) {
  ProducerTable table;
  for (int32_t i = 0; i < 7; ++i) remember(table, kProducer, batch(i * 10, i * 10 + 9, i * 10), 100);
  for (int32_t i = 2; i < 7; ++i) {
    const auto check = table.check(kProducer, 0, i * 10, i * 10 + 9);
    ASSERT_EQ(check.verdict, SequenceVerdict::kRepeat);
    EXPECT_EQ(check.repeated->base_offset, Offset{i * 10});
  }
  EXPECT_EQ(table.check(kProducer, 0, 10, 19).verdict, SequenceVerdict::kTooOldRepeat);
  EXPECT_EQ(table.check(kProducer, 0, 70, 75).verdict, SequenceVerdict::kNext);
  EXPECT_EQ(table.check(kProducer, 0, 71, 75).verdict, SequenceVerdict::kGap);
  EXPECT_EQ(table.check(kProducer, 0, 60, 65).verdict, SequenceVerdict::kTooOldRepeat);  // same start, other end
}

TEST(ProducerTable, SequencesGoFromTheGreatestToZero) {
  ProducerTable table;
  remember(table, kProducer, batch(kMost - 1, kMost, 0), 100);
  EXPECT_EQ(table.check(kProducer, 0, 0, 3).verdict, SequenceVerdict::kNext);
  remember(table, kProducer, batch(0, 3, 2), 100);
  EXPECT_EQ(table.check(kProducer, 0, kMost - 1, kMost).verdict, SequenceVerdict::kRepeat);
  EXPECT_EQ(table.check(kProducer, 0, 4, 4).verdict, SequenceVerdict::kNext);
}

TEST(ProducerTable, ABatchThatWrapsInTheMiddleIsFollowedByWhatComesBehindIt) {
  ProducerTable table;
  remember(table, kProducer, batch(kMost - 1, 1, 0), 100);
  EXPECT_EQ(table.check(kProducer, 0, 2, 2).verdict, SequenceVerdict::kNext);
  EXPECT_EQ(table.check(kProducer, 0, 3, 3).verdict, SequenceVerdict::kGap);
}

TEST(ProducerTable, AnOlderEpochIsFencedANewerOneStartsAtZero) {
  ProducerTable table;
  remember(table, kProducer, batch(0, 9, 0, 3), 100);
  EXPECT_EQ(table.check(kProducer, 2, 10, 19).verdict, SequenceVerdict::kOldEpoch);
  EXPECT_EQ(table.check(kProducer, 4, 10, 19).verdict, SequenceVerdict::kGap);
  EXPECT_EQ(table.check(kProducer, 4, 0, 9).verdict, SequenceVerdict::kNext);
  remember(table, kProducer, batch(0, 9, 10, 4), 100);
  EXPECT_EQ(table.check(kProducer, 4, 0, 9).repeated->base_offset, Offset{10});  // not the old epoch's
}

TEST(ProducerTable, WhatWasRefusedBeforeTheFirstBatchIsNoRepeat) {
  ProducerTable table;
  remember(table, kProducer, batch(1, 1, 0), 100);  // its batch 0 had been refused, this one behind it was taken
  EXPECT_EQ(table.check(kProducer, 0, 0, 0).verdict, SequenceVerdict::kGap);
  EXPECT_EQ(table.check(kProducer, 0, 0, 1).verdict, SequenceVerdict::kGap);
  for (int32_t i = 2; i < 9; ++i) remember(table, kProducer, batch(i, i, i), 100);
  EXPECT_EQ(table.check(kProducer, 0, 1, 1).verdict, SequenceVerdict::kTooOldRepeat);
  EXPECT_EQ(table.check(kProducer, 0, 0, 0).verdict, SequenceVerdict::kGap);
}

TEST(ProducerTable, AnUnknownProducerMayStartAnywhere) {
  const ProducerTable table;
  EXPECT_EQ(table.check(kProducer, 7, 1234, 1240).verdict, SequenceVerdict::kNext);
}

TEST(ProducerTable, TheLongestSilentIsForgottenFirst) {
  ProducerTable table;
  for (int64_t id = 0; id < 4; ++id) remember(table, ProducerId{id}, batch(0, 0, id), 4);
  remember(table, ProducerId{0}, batch(1, 1, 4), 4);
  remember(table, ProducerId{9}, batch(0, 0, 5), 4);
  EXPECT_EQ(table.size(), 4u);
  EXPECT_EQ(table.check(ProducerId{1}, 0, 0, 0).verdict, SequenceVerdict::kNext);  // forgotten
  EXPECT_EQ(table.check(ProducerId{0}, 0, 0, 0).verdict, SequenceVerdict::kRepeat);
}

TEST(ProducerTable, ASnapshotSaysWhatIsRemembered) {
  ProducerTable table;
  for (int32_t i = 0; i < 7; ++i) remember(table, kProducer, batch(i * 10, i * 10 + 9, i * 10));
  remember(table, ProducerId{7}, batch(0, 0, 100, 3));
  const auto states = table.snapshot();
  ASSERT_EQ(states.size(), 2u);
  EXPECT_EQ(states[0].id, ProducerId{7});
  EXPECT_EQ(states[0].epoch, 3);
  const ProducerState& state = states[1];
  EXPECT_EQ(state.id, kProducer);
  EXPECT_EQ(state.held, 70);
  EXPECT_EQ(state.last_timestamp, 60'000);
  ASSERT_EQ(state.count, 5);
  for (int32_t i = 0; i < 5; ++i)
    EXPECT_EQ(state.batches[static_cast<size_t>(i)],
              (ProducerBatchState{(i + 2) * 10, (i + 2) * 10 + 9, Offset{(i + 2) * 10}}));
}

TEST(ProducerTable, WhatWasRestoredIsDurable) {
  ProducerTable table;
  remember(table, kProducer, batch(0, 0, 5));
  ProducerTable other;
  remember(other, ProducerId{1}, batch(0, 0, 1));
  other.restore(table.snapshot());
  EXPECT_EQ(other.size(), 1u);
  const auto check = other.check(kProducer, 0, 0, 0);
  ASSERT_EQ(check.verdict, SequenceVerdict::kRepeat);
  EXPECT_EQ(check.repeated->end, Lsn{0});
  EXPECT_EQ(check.repeated->base_offset, Offset{5});
}

struct Sent {
  ProducerId producer;
  ProducerBatch batch;
};

// Batches of a few producers as a log takes them: mostly in sequence, with new epochs and the circle's end.
std::vector<Sent> random_history(Prng& prng, size_t count) {
  std::map<int64_t, std::pair<int16_t, int32_t>> next;  // epoch, sequence
  std::vector<Sent> history;
  int64_t offset = 0;
  while (history.size() < count) {
    const auto id = static_cast<int64_t>(prng.below(6));
    auto& [epoch, first] = next.try_emplace(id, int16_t{0}, prng.one_in(2) ? 0 : kMost - 3).first->second;
    if (prng.one_in(30)) {
      epoch += 1;
      first = 0;
    }
    const auto records = static_cast<int32_t>(prng.between(1, 4));
    const auto last = static_cast<int32_t>((int64_t{first} + records - 1) & kMost);
    history.push_back({ProducerId{id}, batch(first, last, offset, epoch)});
    first = static_cast<int32_t>((int64_t{last} + 1) & kMost);
    offset += records;
  }
  return history;
}

// The table is a function of the batches below an offset: one that was stopped there, written and read answers and goes
// on exactly like one that saw them all.
TEST(ProducerTable, ARestoredTableGoesOnAsIfItHadSeenEverything) {
  constexpr size_t kFew = 4;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    Prng prng(seed);
    const auto history = random_history(prng, 80);
    const size_t cut = prng.below(history.size() + 1);
    ProducerTable whole;
    ProducerTable before;
    for (size_t i = 0; i < cut; ++i) {
      remember(whole, history[i].producer, history[i].batch, kFew);
      remember(before, history[i].producer, history[i].batch, kFew);
    }
    ProducerTable restored;
    restored.restore(before.snapshot());
    ASSERT_EQ(restored.snapshot(), before.snapshot()) << seed;
    for (size_t i = cut; i < history.size(); ++i) {
      for (const Sent& other : {history[i], history[prng.below(history.size())]}) {
        const ProducerBatch& b = other.batch;
        const auto expected = whole.check(other.producer, b.epoch, b.first_sequence, b.last_sequence);
        const auto got = restored.check(other.producer, b.epoch, b.first_sequence, b.last_sequence);
        ASSERT_EQ(got.verdict, expected.verdict) << seed << ' ' << i;
        if (expected.repeated != nullptr) {
          ASSERT_EQ(got.repeated->base_offset, expected.repeated->base_offset);
        }
      }
      remember(whole, history[i].producer, history[i].batch, kFew);
      remember(restored, history[i].producer, history[i].batch, kFew);
      ASSERT_EQ(restored.snapshot(), whole.snapshot()) << seed << ' ' << i;
    }
  }
}

TEST(ProducerTable, ATruncationForgetsWhatIsBehindIt) {
  ProducerTable table;
  for (int32_t i = 0; i < 3; ++i) remember(table, kProducer, batch(i, i, i));
  remember(table, ProducerId{9}, batch(0, 0, 3));
  table.truncate_from(Offset{2});
  EXPECT_EQ(table.size(), 1u);
  EXPECT_EQ(table.check(kProducer, 0, 2, 2).verdict, SequenceVerdict::kNext);
  EXPECT_EQ(table.check(kProducer, 0, 1, 1).verdict, SequenceVerdict::kRepeat);
  EXPECT_EQ(table.snapshot()[0].held, 2);
  EXPECT_EQ(table.check(ProducerId{9}, 0, 0, 0).verdict, SequenceVerdict::kNext);
}

TEST(ProducerTable, ASilentProducerExpires) {
  ProducerTable table;
  remember(table, ProducerId{1}, batch(0, 0, 1));  // at 1000 ms
  remember(table, ProducerId{2}, batch(0, 0, 2));  // at 2000 ms
  table.expire(2000);
  EXPECT_EQ(table.size(), 1u);
  EXPECT_EQ(table.check(ProducerId{2}, 0, 0, 0).verdict, SequenceVerdict::kRepeat);
}

}  // namespace
}  // namespace penstock::storage
