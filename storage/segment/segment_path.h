// Names of a log's files in a data folder (docs/internals/log_format.md, "Segments"):
//
//   <folder>/logs/<log id, 20 digits>/<base offset, 20 digits>.log
//   <folder>/logs/<log id, 20 digits>/<base offset, 20 digits>.<revision, 20 digits>.log    if it was compacted
//   and the same with .sidecar
//
// Twenty digits, so that names sort as their numbers do. Parsing takes these names and nothing else.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "storage/api/types.h"

namespace penstock::storage {

enum class SegmentFile : uint8_t { kLog, kSidecar };

// Which file of a log. Revision 0: as it was written; else what a compaction made of it, a new number each time, never
// given twice.
struct SegmentId {
  Offset base;
  uint64_t revision = 0;
  friend auto operator<=>(const SegmentId&, const SegmentId&) = default;
};

// Revisions that a start makes: its generation's.
constexpr uint64_t kRevisionsALife = uint64_t{1} << 40;
constexpr uint64_t generation_of_revision(uint64_t revision) { return revision / kRevisionsALife; }

std::string logs_path(std::string_view folder);                              // <folder>/logs
std::string log_path(std::string_view folder, LogId log);                    // the folder of one log
std::string segment_path(std::string_view folder, LogId log, SegmentId id);  // its .log; base >= 0
std::string sidecar_path(std::string_view folder, LogId log, SegmentId id);  // its .sidecar
std::string segment_name(SegmentId id, SegmentFile file);                    // the last part of the two above

// What a name in <folder>/logs says, or nothing.
std::optional<LogId> parse_log_name(std::string_view name);

struct SegmentName {
  SegmentId id;
  SegmentFile file;
  friend bool operator==(const SegmentName&, const SegmentName&) = default;
};
// What a name in a log's folder says, or nothing.
std::optional<SegmentName> parse_segment_name(std::string_view name);

}  // namespace penstock::storage
