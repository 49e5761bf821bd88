// Any bytes as a produced batch: the header check, the walker over pieces, and the reader over one run, which must
// agree.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/assert.h"
#include "protocol/record_batch.h"

namespace {

using namespace penstock::protocol;
using penstock::ErrorCode;
using Bytes = std::vector<std::byte>;

bool reader_accepts(std::span<const std::byte> records, int32_t count) {
  RecordReader reader(records);
  for (int32_t i = 0; i < count; ++i) {
    const auto record = reader.next();
    if (!record || record->offset_delta != i) return false;
    if (record->headers_count == 0 && !record->headers.empty()) return false;
    HeaderReader headers(*record);
    while (!headers.at_end()) {
      if (!headers.next()) return false;
    }
  }
  return reader.at_end();
}

}  // namespace

// The first byte is the size of the walker's pieces.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t step = 1 + data[0] % 64;
  const std::span<const std::byte> input = std::as_bytes(std::span(data + 1, size - 1));
  // The run as a log's or an answer's: step over its batches.
  for (std::span<const std::byte> run = input; !run.empty();) {
    const auto batch = first_batch(run);
    if (!batch) break;
    CHECK(batch->size() >= kBatchHeaderBytes && batch->size() <= run.size());
    run = run.subspan(batch->size());
  }

  const ErrorCode checked = check_batch_header(input.first(std::min(input.size(), kBatchHeaderBytes)), input.size());
  if (input.size() < kBatchHeaderBytes) {
    CHECK(checked != ErrorCode::kNone);
    return 0;
  }
  const RecordBatchView view = view_of(input);
  if (checked == ErrorCode::kNone) {
    CHECK(view.total_bytes() == static_cast<int64_t>(input.size()) && view.records_count() > 0);
  }
  // The records whatever the header said, with a count that a bad header may claim.
  const auto records = input.subspan(kBatchHeaderBytes);
  const int32_t count = view.records_count();
  std::vector<Bytes> copies;
  for (size_t at = 0; at < records.size(); at += step) {
    const auto piece = records.subspan(at, std::min(step, records.size() - at));
    copies.emplace_back(piece.begin(), piece.end());
  }
  const std::vector<std::span<const std::byte>> pieces(copies.begin(), copies.end());
  const RecordsSummary summary = walk_records(pieces, count);
  CHECK((summary.error == ErrorCode::kNone) == reader_accepts(records, count));
  return 0;
}
