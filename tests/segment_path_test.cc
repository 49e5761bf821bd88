// The names of a log's files.
#include "storage/segment/segment_path.h"

#include <gtest/gtest.h>

namespace penstock::storage {
namespace {

TEST(SegmentPath, NamesHaveTwentyDigits) {
  EXPECT_EQ(logs_path("/data"), "/data/logs");
  EXPECT_EQ(log_path("/data", LogId{7}), "/data/logs/00000000000000000007");
  EXPECT_EQ(log_path("d", LogId{~uint64_t{0}}), "d/logs/18446744073709551615");
  EXPECT_EQ(segment_path("/data", LogId{7}, {Offset{1234}}),
            "/data/logs/00000000000000000007/00000000000000001234.log");
  EXPECT_EQ(sidecar_path("/data", LogId{7}, {Offset{0}}),
            "/data/logs/00000000000000000007/00000000000000000000.sidecar");
}

TEST(SegmentPath, WhatIsBuiltIsParsed) {
  for (const int64_t base : {int64_t{0}, int64_t{1}, int64_t{9'999'999'999}, std::numeric_limits<int64_t>::max()})
    for (const SegmentFile file : {SegmentFile::kLog, SegmentFile::kSidecar})
      EXPECT_EQ(parse_segment_name(segment_name({Offset{base}}, file)), (SegmentName{{Offset{base}}, file}));
  EXPECT_EQ(parse_log_name("00000000000000000000"), LogId{0});
  EXPECT_EQ(parse_log_name("18446744073709551615"), LogId{~uint64_t{0}});
}

TEST(SegmentPath, NothingElseIs) {
  for (const char* name : {"", "7", "0000000000000000007", "000000000000000000007", "+0000000000000000007",
                           "-0000000000000000007", " 0000000000000000007", "0000000000000000000x",
                           "0x000000000000000007", "18446744073709551616", "00000000000000000007.log"})
    EXPECT_EQ(parse_log_name(name), std::nullopt) << name;
  for (const char* name :
       {"", ".log", "7.log", "00000000000000000007", "00000000000000000007.", "00000000000000000007.logx",
        "00000000000000000007.log ", "00000000000000000007.LOG", "00000000000000000007.index",
        "00000000000000000007.log.making", "00000000000000000007.sidecar.making", "000000000000000000007.log",
        "-0000000000000000007.log", "09223372036854775808.log", "99999999999999999999.log"})
    EXPECT_EQ(parse_segment_name(name), std::nullopt) << name;
}

}  // namespace
}  // namespace penstock::storage
