// Numbers with units as people type them on the command line. Each parser takes the whole text or throws
// std::invalid_argument with one line that shows the accepted form.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/units.h"

namespace penstock::cli {

// "512", "16KiB", "1MB": kB, MB, GB are powers of 1000 and KiB to TiB powers of 1024, in either case of letters.
uint64_t parse_bytes(std::string_view text);

// "10s", "500ms", "2m", "250us", "1h"; a bare number is seconds, also "0.5".
Nanos parse_duration(std::string_view text);

// What an open loop offers each second. amount 0: as much as the windows allow (closed loop).
struct Rate {
  enum class Unit : uint8_t { kRecords, kBytes };
  uint64_t amount = 0;
  Unit unit = Unit::kRecords;
};

// Records: "100000", "100k", "2M". Bytes: a size with its unit, "50MB", "64MiB". "/s" may follow.
Rate parse_rate(std::string_view text);

// "1,234,567": for people.
std::string with_commas(uint64_t n);

}  // namespace penstock::cli
