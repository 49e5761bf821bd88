// How long an lcore polls before it sleeps (dataplane/spin_budget.h).
#include <gtest/gtest.h>

#include "dataplane/spin_budget.h"

namespace penstock::dataplane {
namespace {

constexpr Nanos kMost = 50 * kMicrosecond;
constexpr Nanos kLong = 5 * kMillisecond;

TEST(SpinBudget, BeginsWithAllAndKeepsItWhilePollingSeesWorkCome) {
  SpinBudget budget(kMost);
  for (int i = 0; i < 10; ++i) budget.over(kMost / 2, false);
  EXPECT_EQ(budget.now(), kMost);
}

TEST(SpinBudget, PollingForNothingEndsAfterSomeLongSleeps) {
  SpinBudget budget(kMost);
  Nanos before = budget.now();
  for (int sleeps = 0; budget.now() > 0; ++sleeps) {
    ASSERT_LT(sleeps, 10);
    budget.over(kLong, true);
    EXPECT_LT(budget.now(), before);
    before = budget.now();
  }
  budget.over(kLong, true);
  EXPECT_EQ(budget.now(), 0);
}

// A sleep that work ended soon: the next ones poll again, three are enough for all of it.
TEST(SpinBudget, WorkThatComesSoonBringsItBack) {
  SpinBudget budget(kMost);
  for (int i = 0; i < 10; ++i) budget.over(kLong, true);
  ASSERT_EQ(budget.now(), 0);
  budget.over(2 * kMost, true);
  EXPECT_GT(budget.now(), 0);
  for (int i = 0; i < 2; ++i) budget.over(kMost, true);
  EXPECT_EQ(budget.now(), kMost);
}

TEST(SpinBudget, NoneStaysNone) {
  SpinBudget budget(0);
  budget.over(0, true);
  budget.over(kLong, true);
  EXPECT_EQ(budget.now(), 0);
}

}  // namespace
}  // namespace penstock::dataplane
