#include "control/cli/load/batch_source.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "control/cli/error.h"
#include "protocol/compression/batches.h"

namespace penstock::cli {
namespace {

using protocol::BatchLayout;

// About what JSON of one kind does: lz4 takes two fifths of it.
constexpr size_t kWords = 256;
constexpr size_t kWordBytes = 8;

std::vector<std::byte> build(const BatchSource::Shape& shape, Prng& prng) {
  protocol::BatchBuilder builder;
  std::vector<std::byte> words(kWords * kWordBytes);
  prng.fill(words);
  std::vector<std::byte> value(shape.record_bytes);
  for (uint32_t i = 0; i < shape.records; ++i) {
    if (!shape.words) prng.fill(value);
    for (size_t at = 0; shape.words && at < value.size(); at += kWordBytes) {
      std::memcpy(&value[at], &words[kWordBytes * prng.below(kWords)], std::min(kWordBytes, value.size() - at));
    }
    builder.add(0, std::nullopt, value);
  }
  auto batch = builder.finish();
  if (shape.codec == protocol::Compression::kNone) return batch;
  auto packed = protocol::recompressed(batch, shape.codec, shape.level, batch.size());
  if (!packed) throw CliError(kExitFailed, "a batch of this size cannot be compressed");
  return *std::move(packed);
}

}  // namespace

FixedCrc::FixedCrc(std::span<const std::byte> bytes) : of_zero_(crc32c(0, bytes)) {
  for (size_t bit = 0; bit < columns_.size(); ++bit) columns_[bit] = crc32c(uint32_t{1} << bit, bytes) ^ of_zero_;
}

uint32_t FixedCrc::append_to(uint32_t crc) const {
  uint32_t out = of_zero_;
  for (size_t bit = 0; crc != 0; ++bit, crc >>= 1) {
    if ((crc & 1) != 0) out ^= columns_[bit];
  }
  return out;
}

BatchSource::BatchSource(const Shape& shape, Prng& prng)
    : records_(shape.records), record_bytes_(shape.record_bytes), batch_(build(shape, prng)), body_crc_(body()) {}

uint32_t BatchSource::records_for(uint64_t batch_bytes, uint32_t record_bytes) {
  // The longest form of a record around its value: varints of length, offset delta and value length, and five bytes.
  constexpr uint64_t kAround = 5 + 5 + 5 + 5;
  if (batch_bytes <= protocol::kBatchHeaderBytes) return 1;
  return static_cast<uint32_t>(
      std::max<uint64_t>(1, (batch_bytes - protocol::kBatchHeaderBytes) / (record_bytes + kAround)));
}

void BatchSource::write_header(std::span<std::byte, protocol::kBatchHeaderBytes> out, const Stamp& stamp) const {
  std::memcpy(out.data(), batch_.data(), out.size());
  std::byte* at = out.data();
  store_be(at + BatchLayout::kBaseTimestamp, stamp.timestamp_ms);
  store_be(at + BatchLayout::kMaxTimestamp, stamp.timestamp_ms);
  store_be(at + BatchLayout::kProducerId, stamp.producer_id.value());
  store_be(at + BatchLayout::kProducerEpoch, stamp.producer_epoch);
  store_be(at + BatchLayout::kBaseSequence, stamp.base_sequence);
  const uint32_t header_crc = crc32c(0, out.subspan(BatchLayout::kAttributes));
  store_be(at + BatchLayout::kCrc, body_crc_.append_to(header_crc));
}

}  // namespace penstock::cli
