// ControlIo's reads of what only the drive has: a coordinator goes by what it is told of its log, and takes bytes that
// end inside their first batch, again and again, for damage.
#include <gtest/gtest.h>

#include "base/log.h"
#include "dataplane/control_io.h"
#include "tests/sim/store_rig.h"

namespace penstock::dataplane {
namespace {

using sim::StoreRig;
using storage::LogId;

constexpr LogId kLog{1};

class ControlReads : public testing::Test {
 protected:
  void SetUp() override {
    set_log_sink([](LogLevel, std::string_view) {});
    ASSERT_EQ(rig.open(), "");
    for (int i = 0; i < 8; ++i) ASSERT_TRUE(rig.append_to(1, 100'000));  // blocks of a cold read end inside of them
    rig.settle();
    rig.stop();
    ASSERT_EQ(rig.open(), "");
    const storage::LogToOpen log{kLog, rig.config};
    store.add(0, std::move(rig.store), {&log, 1});
  }
  std::optional<LogRead> read(Offset from, uint64_t max_bytes) {
    io.begin({.log = kLog, .from = from, .max_bytes = max_bytes, .token = 7});
    for (turns = 0; turns < 10'000; ++turns) {
      store.submit();
      rig.clock.advance(100 * kMicrosecond);
      store.poll();
      for (Event& event : io.settle(rig.clock.monotonic())) return std::get<LogRead>(std::move(event));
    }
    return std::nullopt;
  }
  std::vector<std::byte> batches(size_t from, size_t count) const {
    std::vector<std::byte> bytes;
    for (const auto& batch : std::span(rig.logs.at(1).batches).subspan(from, count))
      bytes.insert(bytes.end(), batch.bytes.begin(), batch.bytes.end());
    return bytes;
  }

  StoreRig rig{1, {1}};
  storage::StoreSet store;
  ControlIo io{store};
  int turns = 0;
};

TEST_F(ControlReads, ABatchThatTheDriveGivesInPartsIsToldWhole) {
  rig.disk.faults().slow_disk = 20;
  for (const int64_t from : {0, 2, 5}) {
    const auto told = read(Offset{from}, 5'000'000);
    ASSERT_TRUE(told);
    EXPECT_EQ(told->token, 7u);
    EXPECT_EQ(told->status, storage::ReadStatus::kReady);
    EXPECT_TRUE(told->bytes == batches(static_cast<size_t>(from), 8 - static_cast<size_t>(from))) << from;
    if (from == 0) {
      EXPECT_GT(turns, 20) << "the drive was not waited for";
    }
  }
  EXPECT_FALSE(io.retrying());
}

TEST_F(ControlReads, AtLeastOneBatchIsToldAndNoMoreThanWasAsked) {
  const auto one = read(Offset{3}, 1);
  ASSERT_TRUE(one);
  EXPECT_TRUE(one->bytes == batches(3, 1));
  const auto two = read(Offset{3}, 250'000);
  ASSERT_TRUE(two);
  EXPECT_GE(two->bytes.size(), batches(3, 2).size());
  EXPECT_LE(two->bytes.size(), 250'000u);
}

TEST_F(ControlReads, WhatRotHasTakenIsDamageAndNotTheBeginningOfABatch) {
  rig.disk.flip_bit("data/logs/00000000000000000001/00000000000000000000.log", 350'000, 3);
  const auto before = read(Offset{0}, 5'000'000);
  ASSERT_TRUE(before);
  EXPECT_EQ(before->status, storage::ReadStatus::kReady);
  EXPECT_TRUE(protocol::first_batch(before->bytes));
  const auto in_it = read(Offset{3}, 5'000'000);
  ASSERT_TRUE(in_it);
  EXPECT_EQ(in_it->status, storage::ReadStatus::kDamaged);
}

TEST_F(ControlReads, WhereNothingIsItIsGone) {
  const auto told = read(Offset{99}, 1'000);
  ASSERT_TRUE(told);
  EXPECT_EQ(told->status, storage::ReadStatus::kGone);
  EXPECT_EQ(told->offsets.durable, Offset{8});
}

}  // namespace
}  // namespace penstock::dataplane
