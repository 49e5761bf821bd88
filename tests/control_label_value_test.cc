// label_value: what stands between the quotes of a label in Prometheus' text format.
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "base/prng.h"
#include "control/label_value.h"

namespace penstock::control {
namespace {

// n times U+FFFD.
std::string replaced(size_t n) {
  std::string text;
  for (size_t i = 0; i < n; ++i) text += kReplacement;
  return text;
}

TEST(LabelValueTest, a_backslash_a_quote_and_a_line_feed_are_escaped_and_nothing_else) {
  EXPECT_EQ(label_value(""), "");
  EXPECT_EQ(label_value("plain-id_1.x"), "plain-id_1.x");
  EXPECT_EQ(label_value(R"(a\b)"), R"(a\\b)");
  EXPECT_EQ(label_value(R"(a"b)"), R"(a\"b)");
  EXPECT_EQ(label_value("a\nb"), R"(a\nb)");
  EXPECT_EQ(label_value("\\n\"\n"), R"(\\n\"\n)") << "a backslash and an n stay apart from a line feed";
  EXPECT_EQ(label_value("\r\t{}=,'"), "\r\t{}=,'");
  EXPECT_EQ(label_value(std::string_view("a\0b", 3)), std::string_view("a\0b", 3));
}

TEST(LabelValueTest, utf8_stays_up_to_the_borders_of_each_length) {
  for (const std::string_view character :
       {"\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbd", "\xef\xbf\xbf",
        "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    const std::string text = std::string("a").append(character).append("b");
    EXPECT_EQ(label_value(text), text);
  }
}

TEST(LabelValueTest, each_byte_that_is_not_utf8_is_replaced) {
  const auto expect_replaced = [](std::string_view bytes) {
    EXPECT_EQ(label_value(bytes), replaced(bytes.size())) << "at the end";
    EXPECT_EQ(label_value(std::string("a").append(bytes).append("b")), "a" + replaced(bytes.size()) + "b");
  };
  for (const std::string_view alone : {"\x80", "\xbf", "\xfe", "\xff", "\xc3", "\xe2", "\xf0"}) expect_replaced(alone);
  for (const std::string_view cut : {"\xe2\x82", "\xf0\x9f\x98"}) expect_replaced(cut);
  for (const std::string_view overlong : {"\xc0\xaf", "\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf"})
    expect_replaced(overlong);
  for (const std::string_view surrogate : {"\xed\xa0\x80", "\xed\xbf\xbf"}) expect_replaced(surrogate);
  for (const std::string_view above : {"\xf4\x90\x80\x80", "\xf5\x80\x80\x80"}) expect_replaced(above);
}

TEST(LabelValueTest, what_follows_a_cut_character_is_kept_and_escaped) {
  EXPECT_EQ(label_value("\xe2\x82\""), replaced(2) + "\\\"");
  EXPECT_EQ(label_value("\xe2\n"), replaced(1) + "\\n");
  EXPECT_EQ(label_value("\xf0\x9f\xc3\xa9"), replaced(2) + "\xc3\xa9");
  const std::string_view euro = "\xe2\x82\xac";
  EXPECT_EQ(label_value(euro.substr(0, 2)), replaced(2)) << "what lies behind is another's";
}

// Of any bytes: at most thrice as long, whole UTF-8 (so it does not change once more), and the quotes stay closed.
TEST(LabelValueTest, any_bytes_make_a_value_of_bounded_length) {
  EXPECT_EQ(label_value(std::string(1000, '\xff')).size(), 3000u);
  EXPECT_EQ(label_value(std::string(1000, '\n')).size(), 2000u);
  Prng prng{7};
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes(prng.below(12), ' ');
    for (char& byte : bytes) byte = static_cast<char>(prng.below(256));
    const std::string value = label_value(bytes);
    ASSERT_LE(value.size(), 3 * bytes.size());
    std::string unescaped;
    for (size_t at = 0; at < value.size(); ++at) {
      ASSERT_NE(value[at], '"');
      ASSERT_NE(value[at], '\n');
      if (value[at] != '\\') {
        unescaped += value[at];
        continue;
      }
      ASSERT_LT(++at, value.size()) << "a backslash before the closing quote";
      ASSERT_NE(std::string_view("\\\"n").find(value[at]), std::string_view::npos);
      unescaped += value[at] == 'n' ? '\n' : value[at];
    }
    ASSERT_EQ(label_value(unescaped), value);
  }
}

}  // namespace
}  // namespace penstock::control
