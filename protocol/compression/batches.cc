#include "protocol/compression/batches.h"

#include "base/assert.h"

namespace penstock::protocol {

Result<void> append_records(std::span<const std::byte> batch, size_t most, std::vector<std::byte>& out) {
  CHECK(batch.size() >= kBatchHeaderBytes);
  return decompress(view_of(batch).compression(), batch.subspan(kBatchHeaderBytes), most, out);
}

Result<std::vector<std::byte>> recompressed(std::span<const std::byte> batch, Compression codec, int level,
                                            size_t most) {
  CHECK(batch.size() >= kBatchHeaderBytes);
  const RecordBatchView view = view_of(batch);
  std::vector<std::byte> out(batch.begin(), batch.begin() + kBatchHeaderBytes);
  if (view.compression() == Compression::kNone) {
    const auto records = batch.subspan(kBatchHeaderBytes);
    if (records.size() > most) return fail(Errc::kTooLarge);
    TRY_VOID(compress(codec, level, records, out));
  } else {
    std::vector<std::byte> records;
    TRY_VOID(append_records(batch, most, records));
    TRY_VOID(compress(codec, level, records, out));
  }
  const auto attributes = static_cast<int16_t>((view.attributes() & ~kCompressionMask) | static_cast<int16_t>(codec));
  store_be(out.data() + BatchLayout::kAttributes, attributes);
  seal_batch(out);
  return out;
}

}  // namespace penstock::protocol
