#include "storage/segment/segment_path.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "base/assert.h"

namespace penstock::storage {
namespace {

constexpr size_t kDigits = 20;  // of 2^64 - 1
constexpr std::string_view kLogSuffix = ".log";
constexpr std::string_view kSidecarSuffix = ".sidecar";

// Exactly twenty digits, of a number that fits.
std::optional<uint64_t> parse_number(std::string_view digits) {
  if (digits.size() != kDigits) return {};
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc{} || end != digits.data() + digits.size()) return {};
  return value;
}

std::string_view suffix_of(SegmentFile file) { return file == SegmentFile::kLog ? kLogSuffix : kSidecarSuffix; }

}  // namespace

std::string logs_path(std::string_view folder) { return fmt::format("{}/logs", folder); }

std::string log_path(std::string_view folder, LogId log) { return fmt::format("{}/logs/{:020}", folder, log.value()); }

std::string segment_name(SegmentId id, SegmentFile file) {
  CHECK(id.base >= Offset{0});
  if (id.revision == 0) return fmt::format("{:020}{}", id.base.value(), suffix_of(file));
  return fmt::format("{:020}.{:020}{}", id.base.value(), id.revision, suffix_of(file));
}

std::string segment_path(std::string_view folder, LogId log, SegmentId id) {
  return fmt::format("{}/{}", log_path(folder, log), segment_name(id, SegmentFile::kLog));
}

std::string sidecar_path(std::string_view folder, LogId log, SegmentId id) {
  return fmt::format("{}/{}", log_path(folder, log), segment_name(id, SegmentFile::kSidecar));
}

std::optional<LogId> parse_log_name(std::string_view name) {
  const auto number = parse_number(name);
  if (!number) return {};
  return LogId{*number};
}

std::optional<SegmentName> parse_segment_name(std::string_view name) {
  const auto number = parse_number(name.substr(0, std::min(name.size(), kDigits)));
  if (!number || *number > uint64_t{std::numeric_limits<int64_t>::max()}) return {};
  SegmentId id{.base = Offset{static_cast<int64_t>(*number)}};
  name.remove_prefix(kDigits);
  if (name.size() > kDigits && name.front() == '.') {
    const auto revision = parse_number(name.substr(1, kDigits));
    if (revision && *revision == 0) return {};
    if (revision) {
      id.revision = *revision;
      name.remove_prefix(1 + kDigits);
    }
  }
  for (const SegmentFile file : {SegmentFile::kLog, SegmentFile::kSidecar})
    if (name == suffix_of(file)) return SegmentName{id, file};
  return {};
}

}  // namespace penstock::storage
