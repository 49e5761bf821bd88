// Where in a partition a consumer begins or ends, as people say it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace penstock::cli {

struct StartAt {
  enum class Kind : uint8_t { kBeginning, kEnd, kOffset, kLast, kTime };
  Kind kind = Kind::kBeginning;
  int64_t number = 0;  // an offset, how many of the last records, or milliseconds since 1970
};

// "beginning", "end", "42" (an offset), "-10" (the last ten of each partition), "@2026-01-02T03:04:05Z",
// "@1700000000000" (milliseconds), "@-10m" (ten minutes before now_ms). Throws std::invalid_argument.
StartAt parse_start(std::string_view text, int64_t now_ms);

// The part behind @ of the above.
int64_t parse_time(std::string_view text, int64_t now_ms);

}  // namespace penstock::cli
