// Names of a log's files in a data folder (docs/internals/log_format.md, "Segments"):
//
//   <folder>/logs/<log id, 20 digits>/<base offset, 20 digits>.log
//   <folder>/logs/<log id, 20 digits>/<base offset, 20 digits>.sidecar
//
// Twenty digits, so that names sort as their numbers do. Parsing takes these names and nothing else.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "storage/api/types.h"

namespace penstock::storage {

enum class SegmentFile : uint8_t { kLog, kSidecar };

std::string logs_path(std::string_view folder);                             // <folder>/logs
std::string log_path(std::string_view folder, LogId log);                   // the folder of one log
std::string segment_path(std::string_view folder, LogId log, Offset base);  // its .log; base >= 0
std::string sidecar_path(std::string_view folder, LogId log, Offset base);  // its .sidecar
std::string segment_name(Offset base, SegmentFile file);                    // the last part of the two above

// What a name in <folder>/logs says, or nothing.
std::optional<LogId> parse_log_name(std::string_view name);

struct SegmentName {
  Offset base;
  SegmentFile file;
  friend bool operator==(const SegmentName&, const SegmentName&) = default;
};
// What a name in a log's folder says, or nothing.
std::optional<SegmentName> parse_segment_name(std::string_view name);

}  // namespace penstock::storage
