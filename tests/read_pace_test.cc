// When cold reads may begin beside writes, and without them: the rules of ReadPace, a case each.
#include "storage/log/read_pace.h"

#include <gtest/gtest.h>

namespace penstock::storage {
namespace {

constexpr Nanos kStart = 5 * kSecond;
constexpr Nanos kRead = 300'000;

TEST(ReadPace, WithoutWritesTheDriveIsTheReadersAlone) {
  ReadPace pace;
  for (size_t under_way = 0; under_way < ReadPace::kReadsMax; ++under_way)
    EXPECT_TRUE(pace.may_begin(under_way, kStart)) << under_way;
  EXPECT_FALSE(pace.may_begin(ReadPace::kReadsMax, kStart));
  pace.note_read(kStart, kStart + kRead);
  EXPECT_TRUE(pace.may_begin(0, kStart + kRead));
}

TEST(ReadPace, BesideWritesOneReadIsUnderWayAndRestsAsLongAsItTook) {
  ReadPace pace;
  pace.note_write(kStart);
  EXPECT_TRUE(pace.may_begin(0, kStart));
  EXPECT_FALSE(pace.may_begin(1, kStart));
  pace.note_read(kStart, kStart + kRead);
  EXPECT_FALSE(pace.may_begin(0, kStart + kRead));
  EXPECT_FALSE(pace.may_begin(0, kStart + 2 * kRead - 1));
  EXPECT_EQ(pace.next(), kStart + 2 * kRead);
  EXPECT_TRUE(pace.may_begin(0, kStart + 2 * kRead));
  EXPECT_FALSE(pace.may_begin(1, kStart + 2 * kRead));
}

TEST(ReadPace, ASlowReadRestsNoLongerThanTheBound) {
  ReadPace pace;
  const Nanos end = kStart + kSecond;
  pace.note_write(end);
  pace.note_read(kStart, end);
  EXPECT_LE(pace.next(), end + ReadPace::kPauseMost);
  EXPECT_TRUE(pace.may_begin(0, end + ReadPace::kPauseMost));
}

TEST(ReadPace, WhenWritesEndReadsHaveTheDriveAgain) {
  ReadPace pace;
  pace.note_write(kStart);
  EXPECT_FALSE(pace.may_begin(8, kStart + ReadPace::kCalm - 1));
  EXPECT_TRUE(pace.may_begin(8, kStart + ReadPace::kCalm));
}

}  // namespace
}  // namespace penstock::storage
