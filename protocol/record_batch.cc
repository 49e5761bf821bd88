#include "protocol/record_batch.h"

#include <algorithm>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/saturating.h"

namespace penstock::protocol {
namespace {

// Kafka takes a smaller length for corruption before it looks at the magic: the fixed bytes of a magic-0 record.
constexpr int32_t kSmallestLength = 14;

ErrorCode check_batch_fields(const RecordBatchView& batch) {
  const int16_t attributes = batch.attributes();
  if (batch.control()) return ErrorCode::kInvalidRecord;
  if (batch.base_offset() != Offset{0}) return ErrorCode::kInvalidRecord;  // offsets are the broker's
  if ((attributes & kCompressionMask) > static_cast<int16_t>(Compression::kZstd)) {
    return ErrorCode::kUnsupportedCompressionType;
  }
  // Only a broker stamps append time, and only its cleaner a delete horizon.
  if (batch.log_append_time()) return ErrorCode::kInvalidTimestamp;
  if ((attributes & kDeleteHorizonBit) != 0) return ErrorCode::kInvalidRecord;
  const int32_t count = batch.records_count();
  if (count <= 0 || batch.last_offset_delta() != count - 1) return ErrorCode::kInvalidRecord;
  if (batch.has_producer_id()) {
    if (batch.base_sequence() < 0 || batch.producer_epoch() < 0) return ErrorCode::kInvalidRecord;
  } else if (batch.transactional()) {
    return ErrorCode::kInvalidRecord;  // nobody could ever end this transaction
  }
  return ErrorCode::kNone;
}

}  // namespace

namespace {

void store_times(std::span<std::byte, kBatchHeaderBytes> header, size_t batch_bytes, int16_t attributes,
                 int64_t max_timestamp) {
  const auto checked = header.subspan<BatchLayout::kAttributes>();
  const uint32_t before = crc32c(0, checked);
  store_be(header.data() + BatchLayout::kAttributes, attributes);
  store_be(header.data() + BatchLayout::kMaxTimestamp, max_timestamp);
  const uint32_t crc = crc32c_with_other_beginning(RecordBatchView(header).crc(), before, crc32c(0, checked),
                                                   batch_bytes - kBatchHeaderBytes);
  store_be(header.data() + BatchLayout::kCrc, crc);
}

}  // namespace

void store_append_time(std::span<std::byte, kBatchHeaderBytes> header, size_t batch_bytes, int64_t now_ms) {
  store_times(header, batch_bytes, static_cast<int16_t>(RecordBatchView(header).attributes() | kLogAppendTimeBit),
              now_ms);
}

void store_max_timestamp(std::span<std::byte, kBatchHeaderBytes> header, size_t batch_bytes, int64_t max_timestamp) {
  store_times(header, batch_bytes, RecordBatchView(header).attributes(), max_timestamp);
}

ErrorCode check_batch_header(std::span<const std::byte> head, size_t total_bytes) {
  CHECK(head.size() >= std::min(total_bytes, kBatchHeaderBytes));
  if (total_bytes < kLogOverhead) return ErrorCode::kInvalidRecord;  // no batch at all
  const auto length = load_be<int32_t>(head.data() + BatchLayout::kLength);
  if (length < kSmallestLength) return ErrorCode::kCorruptMessage;
  if (total_bytes <= BatchLayout::kMagic) return ErrorCode::kInvalidRecord;
  const auto magic = load_be<int8_t>(head.data() + BatchLayout::kMagic);
  if (magic < 0 || magic > kMagic2) return ErrorCode::kCorruptMessage;
  if (magic < kMagic2) return ErrorCode::kInvalidRecord;
  const size_t batch_bytes = static_cast<size_t>(length) + kLogOverhead;
  if (batch_bytes < kBatchHeaderBytes) return ErrorCode::kCorruptMessage;
  // Half a batch, or more than one.
  if (batch_bytes != total_bytes) return ErrorCode::kInvalidRecord;
  return check_batch_fields(RecordBatchView(head.first<kBatchHeaderBytes>()));
}

namespace {

// Reads the next key, value or header part: a varint length, -1 for null.
Result<std::optional<std::span<const std::byte>>> nullable_bytes(Reader& in) {
  const int32_t length = in.varint();
  if (length < -1) return fail(Errc::kInvalid);
  if (length == -1) {
    TRY_VOID(in.result());
    return std::nullopt;
  }
  const auto bytes = in.bytes(static_cast<size_t>(length));
  TRY_VOID(in.result());
  return bytes;
}

}  // namespace

Result<RecordView> RecordReader::next() {
  const int32_t length = in_.varint();
  if (length < 0) return fail(Errc::kInvalid);
  Reader body(in_.bytes(static_cast<size_t>(length)));
  TRY_VOID(in_.result());
  RecordView record;
  body.fixed<int8_t>();  // attributes, unused
  record.timestamp_delta = body.varlong();
  record.offset_delta = body.varint();
  record.key = TRY(nullable_bytes(body));
  record.value = TRY(nullable_bytes(body));
  record.headers_count = body.varint();
  TRY_VOID(body.result());
  if (record.headers_count < 0) return fail(Errc::kInvalid);
  record.headers = body.bytes(body.remaining());
  return record;
}

Result<RecordHeader> HeaderReader::next() {
  CHECK(left_ > 0);
  --left_;
  const int32_t key_length = in_.varint();
  if (key_length < 0) return fail(Errc::kInvalid);
  RecordHeader header;
  header.key = as_text(in_.bytes(static_cast<size_t>(key_length)));
  TRY_VOID(in_.result());
  header.value = TRY(nullable_bytes(in_));
  if (left_ == 0 && in_.remaining() != 0) return fail(Errc::kInvalid);
  return header;
}

Result<std::span<const std::byte>> first_batch(std::span<const std::byte> run) {
  if (run.size() < kBatchHeaderBytes) return fail(Errc::kTruncated);
  const RecordBatchView batch = view_of(run);
  if (batch.magic() != kMagic2 || batch.total_bytes() < static_cast<int64_t>(kBatchHeaderBytes)) {
    return fail(Errc::kCorrupt);
  }
  if (batch.total_bytes() > static_cast<int64_t>(run.size())) return fail(Errc::kTruncated);
  return run.first(static_cast<size_t>(batch.total_bytes()));
}

BatchBuilder::BatchBuilder(const Options& options) : out_(kBatchHeaderBytes) {
  std::byte* at = out_.data();
  int16_t attributes = 0;
  if (options.transactional) attributes |= kTransactionalBit;
  if (options.control) attributes |= kControlBit;
  store_be(at + BatchLayout::kBaseOffset, options.base_offset.value());
  store_be(at + BatchLayout::kPartitionLeaderEpoch, options.partition_leader_epoch.value());
  store_be(at + BatchLayout::kMagic, kMagic2);
  store_be(at + BatchLayout::kAttributes, attributes);
  store_be(at + BatchLayout::kProducerId, options.producer_id.value());
  store_be(at + BatchLayout::kProducerEpoch, options.producer_epoch);
  store_be(at + BatchLayout::kBaseSequence, options.base_sequence);
}

namespace {

size_t part_size(const BatchBuilder::Bytes& part) {
  return part ? varint_size(static_cast<int32_t>(part->size())) + part->size() : varint_size(-1);
}

void write_part(Writer& out, const BatchBuilder::Bytes& part) {
  out.varint(part ? static_cast<int32_t>(part->size()) : -1);
  if (part) out.raw(*part);
}

}  // namespace

void BatchBuilder::add(int64_t timestamp, Bytes key, Bytes value, std::span<const RecordHeader> headers) {
  if (count_ == 0) base_timestamp_ = timestamp;
  max_timestamp_ = count_ == 0 ? timestamp : std::max(max_timestamp_, timestamp);
  const int64_t timestamp_delta = wrapping_subtract(timestamp, base_timestamp_);
  size_t length = 1 + varlong_size(timestamp_delta) + varint_size(count_) + part_size(key) + part_size(value) +
                  varint_size(static_cast<int32_t>(headers.size()));
  for (const RecordHeader& header : headers) {
    length += part_size(as_bytes(header.key)) + part_size(header.value);
  }
  Writer out(out_);
  out.varint(static_cast<int32_t>(length));
  out.fixed<int8_t>(0);
  out.varlong(timestamp_delta);
  out.varint(count_);
  write_part(out, key);
  write_part(out, value);
  out.varint(static_cast<int32_t>(headers.size()));
  for (const RecordHeader& header : headers) {
    write_part(out, as_bytes(header.key));
    write_part(out, header.value);
  }
  ++count_;
}

std::vector<std::byte> BatchBuilder::finish() {
  std::byte* at = out_.data();
  store_be(at + BatchLayout::kLastOffsetDelta, count_ - 1);
  store_be(at + BatchLayout::kBaseTimestamp, base_timestamp_);
  store_be(at + BatchLayout::kMaxTimestamp, max_timestamp_);
  store_be(at + BatchLayout::kRecordsCount, count_);
  seal_batch(out_);
  return std::move(out_);
}

void seal_batch(std::span<std::byte> batch) {
  CHECK(batch.size() >= kBatchHeaderBytes);
  store_be(batch.data() + BatchLayout::kLength, static_cast<int32_t>(batch.size() - kLogOverhead));
  store_be(batch.data() + BatchLayout::kCrc, crc32c(0, batch.subspan(BatchLayout::kAttributes)));
}

bool batch_crc_ok(std::span<const std::byte> batch) {
  return crc32c(0, batch.subspan(BatchLayout::kAttributes)) == view_of(batch).crc();
}

}  // namespace penstock::protocol
