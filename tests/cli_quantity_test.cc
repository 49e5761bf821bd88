// Numbers with units: accepted forms, and that nothing else is.
#include <gtest/gtest.h>

#include <stdexcept>

#include "control/cli/quantity.h"

namespace penstock::cli {
namespace {

TEST(Quantity, Bytes) {
  EXPECT_EQ(parse_bytes("512"), 512u);
  EXPECT_EQ(parse_bytes("16KiB"), 16384u);
  EXPECT_EQ(parse_bytes("16kib"), 16384u);
  EXPECT_EQ(parse_bytes("1.5kB"), 1500u);
  EXPECT_EQ(parse_bytes("2GiB"), uint64_t{2} << 30);
  for (const char* bad : {"", "k", "1k", "1XB", "-1", "1 kB", "0.5", "1e3", "nan", "inf", "99999999999999999GB"}) {
    EXPECT_THROW(parse_bytes(bad), std::invalid_argument) << bad;
  }
}

TEST(Quantity, Durations) {
  EXPECT_EQ(parse_duration("10"), 10 * kSecond);
  EXPECT_EQ(parse_duration("0.5s"), 500 * kMillisecond);
  EXPECT_EQ(parse_duration("250us"), 250 * kMicrosecond);
  EXPECT_EQ(parse_duration("3ms"), 3 * kMillisecond);
  EXPECT_EQ(parse_duration("2m"), 120 * kSecond);
  EXPECT_EQ(parse_duration("1h"), 3600 * kSecond);
  for (const char* bad : {"", "s", "-1s", "10 s", "10days", "9999999999h"}) {
    EXPECT_THROW(parse_duration(bad), std::invalid_argument) << bad;
  }
}

TEST(Quantity, Rates) {
  const auto is = [](std::string_view text, uint64_t amount, Rate::Unit unit) {
    const Rate rate = parse_rate(text);
    EXPECT_EQ(rate.amount, amount) << text;
    EXPECT_EQ(rate.unit, unit) << text;
  };
  is("0", 0, Rate::Unit::kRecords);
  is("100000", 100'000, Rate::Unit::kRecords);
  is("100k", 100'000, Rate::Unit::kRecords);
  is("1.5M/s", 1'500'000, Rate::Unit::kRecords);
  is("50MB", 50'000'000, Rate::Unit::kBytes);
  is("64MiB/s", uint64_t{64} << 20, Rate::Unit::kBytes);
  for (const char* bad : {"", "fast", "-5", "0.5", "10MB/m", "10 k"}) {
    EXPECT_THROW(parse_rate(bad), std::invalid_argument) << bad;
  }
}

TEST(Quantity, Commas) {
  EXPECT_EQ(with_commas(0), "0");
  EXPECT_EQ(with_commas(999), "999");
  EXPECT_EQ(with_commas(1000), "1,000");
  EXPECT_EQ(with_commas(1234567), "1,234,567");
}

}  // namespace
}  // namespace penstock::cli
