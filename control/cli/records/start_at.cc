#include "control/cli/records/start_at.h"

#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <limits>
#include <optional>
#include <stdexcept>

#include "control/cli/quantity.h"

namespace penstock::cli {
namespace {

std::optional<int64_t> number(std::string_view text) {
  int64_t out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return out;
}

// The digits of text[at, at + count), between least and most.
std::optional<int> digits(std::string_view text, size_t at, size_t count, int least, int most) {
  if (text.size() < at + count) return std::nullopt;
  int out = 0;
  for (const char c : text.substr(at, count)) {
    if (c < '0' || c > '9') return std::nullopt;
    out = 10 * out + (c - '0');
  }
  if (out < least || out > most) return std::nullopt;
  return out;
}

// RFC 3339 in UTC: a date alone, with a time, with milliseconds; Z may stand at the end.
std::optional<int64_t> calendar(std::string_view text) {
  if (text.ends_with('Z')) text.remove_suffix(1);
  const auto year = digits(text, 0, 4, 1970, 9999);
  const auto month = digits(text, 5, 2, 1, 12);
  const auto day = digits(text, 8, 2, 1, 31);
  if (!year || !month || !day || text[4] != '-' || text[7] != '-') return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*year), std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  int64_t ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::sys_days(date).time_since_epoch()).count();
  if (text.size() == 10) return ms;
  const auto hour = digits(text, 11, 2, 0, 23);
  const auto minute = digits(text, 14, 2, 0, 59);
  const auto second = digits(text, 17, 2, 0, 59);
  if (!hour || !minute || !second || (text[10] != 'T' && text[10] != ' ') || text[13] != ':' || text[16] != ':')
    return std::nullopt;
  ms += ((*hour * 60 + *minute) * 60 + *second) * int64_t{1000};
  if (text.size() == 19) return ms;
  const auto fraction = digits(text, 20, 3, 0, 999);
  if (!fraction || text[19] != '.' || text.size() != 23) return std::nullopt;
  return ms + *fraction;
}

}  // namespace

int64_t parse_time(std::string_view text, int64_t now_ms) {
  if (text.starts_with('-')) return now_ms - parse_duration(text.substr(1)) / kMillisecond;
  if (const auto ms = number(text)) return *ms;
  if (const auto ms = calendar(text)) return *ms;
  throw std::invalid_argument(
      fmt::format("'{}' is no time; write 2026-01-02T03:04:05Z, milliseconds since 1970, or -10m", text));
}

StartAt parse_start(std::string_view text, int64_t now_ms) {
  using Kind = StartAt::Kind;
  if (text == "beginning") return {Kind::kBeginning, 0};
  if (text == "end") return {Kind::kEnd, 0};
  if (text.starts_with('@')) return {Kind::kTime, parse_time(text.substr(1), now_ms)};
  const auto n = number(text);
  if (!n || *n == std::numeric_limits<int64_t>::min())
    throw std::invalid_argument(fmt::format("'{}' is none of beginning, end, OFFSET, -LAST and @TIME", text));
  return *n < 0 ? StartAt{Kind::kLast, -*n} : StartAt{Kind::kOffset, *n};
}

}  // namespace penstock::cli
