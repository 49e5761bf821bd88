#include "control/cli/quantity.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <stdexcept>

namespace penstock::cli {
namespace {

struct Split {
  double number;
  std::string unit;  // lower case
};

std::optional<Split> split(std::string_view text) {
  Split out{};
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), out.number, std::chars_format::fixed);
  if (error != std::errc{} || out.number < 0 || !std::isfinite(out.number)) return std::nullopt;
  out.unit.assign(end, text.data() + text.size());
  std::ranges::transform(out.unit, out.unit.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c; });
  return out;
}

std::optional<double> byte_unit(std::string_view unit) {
  if (unit == "b") return 1;
  if (unit == "kb") return 1e3;
  if (unit == "mb") return 1e6;
  if (unit == "gb") return 1e9;
  if (unit == "kib") return 1024;
  if (unit == "mib") return 1024.0 * 1024;
  if (unit == "gib") return 1024.0 * 1024 * 1024;
  if (unit == "tib") return 1024.0 * 1024 * 1024 * 1024;  // as settings take it
  return std::nullopt;
}

// Above this a double no longer holds each integer; nothing typed here comes near.
constexpr double kMost = 9e15;

uint64_t whole(double value, std::string_view text) {
  if (value > kMost || value != std::floor(value)) {
    throw std::invalid_argument(fmt::format("'{}' is not a whole number within reason", text));
  }
  return static_cast<uint64_t>(value);
}

}  // namespace

uint64_t parse_bytes(std::string_view text) {
  const auto parts = split(text);
  const auto unit = parts ? (parts->unit.empty() ? std::optional(1.0) : byte_unit(parts->unit)) : std::nullopt;
  if (!unit) throw std::invalid_argument(fmt::format("'{}' is not a size; write 512, 16KiB or 1MB", text));
  return whole(parts->number * *unit, text);
}

Nanos parse_duration(std::string_view text) {
  const auto parts = split(text);
  double unit = 0;
  if (parts && (parts->unit.empty() || parts->unit == "s")) unit = 1e9;
  if (parts && parts->unit == "us") unit = 1e3;
  if (parts && parts->unit == "ms") unit = 1e6;
  if (parts && (parts->unit == "m" || parts->unit == "min")) unit = 60e9;
  if (parts && parts->unit == "h") unit = 3600e9;
  if (unit == 0 || parts->number * unit > kMost) {
    throw std::invalid_argument(fmt::format("'{}' is not a duration; write 10s, 500ms or 2m", text));
  }
  return static_cast<Nanos>(std::llround(parts->number * unit));
}

Rate parse_rate(std::string_view text) {
  std::string_view amount = text;
  if (amount.ends_with("/s")) amount.remove_suffix(2);
  const auto parts = split(amount);
  if (parts) {
    if (parts->unit.empty()) return {whole(parts->number, text), Rate::Unit::kRecords};
    if (parts->unit == "k") return {whole(parts->number * 1e3, text), Rate::Unit::kRecords};
    if (parts->unit == "m") return {whole(parts->number * 1e6, text), Rate::Unit::kRecords};
    if (const auto unit = byte_unit(parts->unit)) return {whole(parts->number * *unit, text), Rate::Unit::kBytes};
  }
  throw std::invalid_argument(
      fmt::format("'{}' is not a rate; write 100000 or 100k for records a second, 50MB for bytes a second", text));
}

std::string with_commas(uint64_t n) {
  std::string text = fmt::format("{}", n);
  for (size_t at = text.size(); at > 3;) text.insert(at -= 3, 1, ',');
  return text;
}

}  // namespace penstock::cli
