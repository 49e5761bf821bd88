// A Fetch answer read in place: what a consumer needs of it, without copying the records out as the table codec would.
// Versions 4 to 18; protocol/schema/produce_fetch.schema has the layout.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "protocol/error_code.h"

namespace penstock::cli {

struct FetchedPartition {
  int32_t index = 0;
  ErrorCode error = ErrorCode::kNone;
  int64_t high_watermark = 0;
  std::span<const std::byte> records;  // in the bytes that were read
};

struct FetchAnswer {
  ErrorCode error = ErrorCode::kNone;
  std::vector<FetchedPartition> partitions;  // of all topics in the answer
};

// body: behind the response header. Counts are bounded by the bytes that remain.
Result<FetchAnswer> read_fetch_answer(std::span<const std::byte> body, int16_t version);

}  // namespace penstock::cli
