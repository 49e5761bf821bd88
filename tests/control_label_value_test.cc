// Labels' values: whatever clients name their groups and topics, a scrape stays readable.
#include <gtest/gtest.h>

#include "control/label_value.h"

namespace penstock::control {
namespace {

TEST(LabelValueTest, what_ends_a_value_is_escaped) {
  EXPECT_EQ(label_value("plain-group_1.x"), "plain-group_1.x");
  EXPECT_EQ(label_value("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
  EXPECT_EQ(label_value(""), "");
  EXPECT_EQ(label_value("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"), "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
}

TEST(LabelValueTest, what_is_no_utf8_is_replaced_byte_by_byte) {
  const std::string r(kReplacement);
  EXPECT_EQ(label_value("a\x80"
                        "b"),
            "a" + r + "b")
      << "a continuation alone";
  EXPECT_EQ(label_value("\xc3"), r) << "cut off";
  EXPECT_EQ(label_value("\xe2\x82"), r + r);
  EXPECT_EQ(label_value("\xe2\x82\""), r + r + "\\\"") << "what stands behind it is still escaped";
  EXPECT_EQ(label_value("\xc0\xaf"), r + r) << "overlong";
  EXPECT_EQ(label_value("\xe0\x9f\xbf"), r + r + r);
  EXPECT_EQ(label_value("\xed\xa0\x80"), r + r + r) << "a surrogate";
  EXPECT_EQ(label_value("\xf4\x90\x80\x80"), r + r + r + r) << "above U+10FFFF";
  EXPECT_EQ(label_value("\xff\xfe"), r + r);
}

}  // namespace
}  // namespace penstock::control
