// What a partition remembers of its idempotent producers (compat lines 56 to 59 and 61).
#include "storage/log/producer_table.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace penstock::storage
