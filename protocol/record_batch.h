// Kafka's record batch, version 2: the unit of produce, checksum, storage and fetch. Views over its bytes, the checks
// that a broker makes on a produced batch, and a builder and reader for tests, tools and our own clients.
// docs/internals/protocol.md, "Record batch"; KIP-98 (the layout), KIP-82 (headers).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "protocol/error_code.h"
#include "protocol/types.h"
#include "protocol/wire.h"

namespace penstock::protocol {

// Byte places in a batch.
struct BatchLayout {
  static constexpr size_t kBaseOffset = 0;
  static constexpr size_t kLength = 8;  // bytes behind this field
  static constexpr size_t kPartitionLeaderEpoch = 12;
  static constexpr size_t kMagic = 16;
  static constexpr size_t kCrc = 17;  // CRC-32C of everything from kAttributes on
  static constexpr size_t kAttributes = 21;
  static constexpr size_t kLastOffsetDelta = 23;
  static constexpr size_t kBaseTimestamp = 27;
  static constexpr size_t kMaxTimestamp = 35;
  static constexpr size_t kProducerId = 43;
  static constexpr size_t kProducerEpoch = 51;
  static constexpr size_t kBaseSequence = 53;
  static constexpr size_t kRecordsCount = 57;
  static constexpr size_t kRecords = 61;
};
static_assert(BatchLayout::kRecordsCount + sizeof(int32_t) == BatchLayout::kRecords);
static_assert(BatchLayout::kCrc + sizeof(uint32_t) == BatchLayout::kAttributes);
// Why the broker may set the base offset and the leader epoch in place: the checksum does not cover them.
static_assert(BatchLayout::kBaseOffset < BatchLayout::kCrc && BatchLayout::kPartitionLeaderEpoch < BatchLayout::kCrc);

inline constexpr size_t kBatchHeaderBytes = BatchLayout::kRecords;
inline constexpr size_t kLogOverhead = BatchLayout::kPartitionLeaderEpoch;  // bytes that the length does not count
inline constexpr int8_t kMagic2 = 2;
inline constexpr int64_t kNoTimestamp = -1;
inline constexpr int16_t kNoProducerEpoch = -1;
inline constexpr int32_t kNoSequence = -1;

enum class Compression : uint8_t { kNone, kGzip, kSnappy, kLz4, kZstd };
inline constexpr int16_t kCompressionMask = 0x07;
inline constexpr int16_t kLogAppendTimeBit = 0x08;
inline constexpr int16_t kTransactionalBit = 0x10;
inline constexpr int16_t kControlBit = 0x20;
inline constexpr int16_t kDeleteHorizonBit = 0x40;

// Looks at the 61 bytes of a batch's header; the records may lie elsewhere.
class RecordBatchView {
 public:
  explicit RecordBatchView(std::span<const std::byte, kBatchHeaderBytes> header) : at_(header.data()) {}

  Offset base_offset() const { return Offset{get<int64_t>(BatchLayout::kBaseOffset)}; }
  int32_t length() const { return get<int32_t>(BatchLayout::kLength); }
  LeaderEpoch partition_leader_epoch() const { return LeaderEpoch{get<int32_t>(BatchLayout::kPartitionLeaderEpoch)}; }
  int8_t magic() const { return get<int8_t>(BatchLayout::kMagic); }
  uint32_t crc() const { return get<uint32_t>(BatchLayout::kCrc); }
  int16_t attributes() const { return get<int16_t>(BatchLayout::kAttributes); }
  int32_t last_offset_delta() const { return get<int32_t>(BatchLayout::kLastOffsetDelta); }
  int64_t base_timestamp() const { return get<int64_t>(BatchLayout::kBaseTimestamp); }
  int64_t max_timestamp() const { return get<int64_t>(BatchLayout::kMaxTimestamp); }
  ProducerId producer_id() const { return ProducerId{get<int64_t>(BatchLayout::kProducerId)}; }
  int16_t producer_epoch() const { return get<int16_t>(BatchLayout::kProducerEpoch); }
  int32_t base_sequence() const { return get<int32_t>(BatchLayout::kBaseSequence); }
  int32_t records_count() const { return get<int32_t>(BatchLayout::kRecordsCount); }

  // Whole batch in bytes; nonsense unless the length has been checked.
  int64_t total_bytes() const { return static_cast<int64_t>(length()) + static_cast<int64_t>(kLogOverhead); }
  Offset last_offset() const { return base_offset() + last_offset_delta(); }
  Compression compression() const { return static_cast<Compression>(attributes() & kCompressionMask); }
  bool log_append_time() const { return (attributes() & kLogAppendTimeBit) != 0; }
  bool transactional() const { return (attributes() & kTransactionalBit) != 0; }
  bool control() const { return (attributes() & kControlBit) != 0; }
  bool has_producer_id() const { return producer_id() > kNoProducerId; }
  // Sequence of the last record; sequences go from 2147483647 to 0.
  int32_t last_sequence() const { return add_sequence(base_sequence(), last_offset_delta()); }

  static int32_t add_sequence(int32_t sequence, int32_t delta) {
    return static_cast<int32_t>((static_cast<uint32_t>(sequence) + static_cast<uint32_t>(delta)) & 0x7fffffffu);
  }

 private:
  template <std::integral T>
  T get(size_t at) const {
    return load_be<T>(at_ + at);
  }
  const std::byte* at_;
};

// The two fields that a broker sets in a batch it takes in, without a new checksum.
inline void store_base_offset(std::span<std::byte, kBatchHeaderBytes> header, Offset base_offset) {
  store_be(header.data() + BatchLayout::kBaseOffset, base_offset.value());
}
inline void store_partition_leader_epoch(std::span<std::byte, kBatchHeaderBytes> header, LeaderEpoch epoch) {
  store_be(header.data() + BatchLayout::kPartitionLeaderEpoch, epoch.value());
}

// Makes the broker's clock the time of every record of a batch of batch_bytes (LogAppendTime), checksum included. Looks
// at the header alone.
void store_append_time(std::span<std::byte, kBatchHeaderBytes> header, size_t batch_bytes, int64_t now_ms);
// The greatest time of its records, for a batch whose producer did not say it rightly; checksum included.
void store_max_timestamp(std::span<std::byte, kBatchHeaderBytes> header, size_t batch_bytes, int64_t max_timestamp);

// What a broker asks of the records field of a Produce request before it looks at the records: exactly one batch of
// magic 2, consistent lengths and counts, nothing that only a broker may write. head: the first bytes of the field, 61
// or as many as there are; total_bytes: bytes of the field. The checksum is for the caller, who touches the bytes
// anyway. Errors as Kafka's LogValidator and ProduceRequest.validateRecords give them.
ErrorCode check_batch_header(std::span<const std::byte> head, size_t total_bytes);

// What a walk over uncompressed records finds.
struct RecordsSummary {
  ErrorCode error = ErrorCode::kNone;  // kInvalidRecord: the bytes are not count records
  int32_t bad_record = -1;             // which one, for the answer's record_errors
  bool any_null_key = false;           // a compacted topic refuses such
  int64_t min_timestamp_delta = 0;
  int64_t max_timestamp_delta = 0;  // of the first record that has the highest
  int32_t max_timestamp_record = 0;
};

// Walks the records of an uncompressed batch, which lie in pieces (a batch may span network buffers), without copying:
// every length, varint and header bounded, the i-th offset delta i, count records and nothing behind them.
RecordsSummary walk_records(std::span<const std::span<const std::byte>> pieces, int32_t count);

// Which of the records of such a batch have no key: their places, the first so many.
std::vector<int32_t> records_without_key(std::span<const std::span<const std::byte>> pieces, int32_t count,
                                         size_t most);

// One record, in place.
struct RecordView {
  int64_t timestamp_delta = 0;
  int32_t offset_delta = 0;
  std::optional<std::span<const std::byte>> key;
  std::optional<std::span<const std::byte>> value;
  int32_t headers_count = 0;
  std::span<const std::byte> headers;  // as on the wire; see HeaderReader
};

// Reads the records of one contiguous, uncompressed run.
class RecordReader {
 public:
  explicit RecordReader(std::span<const std::byte> records) : in_(records) {}
  bool at_end() const { return in_.remaining() == 0; }
  size_t remaining() const { return in_.remaining(); }
  // kTruncated, kInvalid: not a record.
  Result<RecordView> next();

 private:
  Reader in_;
};

struct RecordHeader {
  std::string_view key;
  std::optional<std::span<const std::byte>> value;
};

// Reads a record's headers, headers_count of them.
class HeaderReader {
 public:
  explicit HeaderReader(const RecordView& record) : in_(record.headers), left_(record.headers_count) {}
  bool at_end() const { return left_ == 0; }
  Result<RecordHeader> next();

 private:
  Reader in_;
  int32_t left_;
};

// The first batch of a run of batches, as a log or a Fetch answer holds them: header and all, total_bytes() long.
// kTruncated: the run ends inside it (legal at the end of a Fetch answer); kCorrupt: no batch of magic 2.
Result<std::span<const std::byte>> first_batch(std::span<const std::byte> run);

inline RecordBatchView view_of(std::span<const std::byte> batch) {
  return RecordBatchView(batch.first<kBatchHeaderBytes>());
}

// Builds an uncompressed batch. The timestamp type is CreateTime.
class BatchBuilder {
 public:
  struct Options {
    Offset base_offset{0};
    LeaderEpoch partition_leader_epoch = kNoLeaderEpoch;
    ProducerId producer_id = kNoProducerId;
    int16_t producer_epoch = kNoProducerEpoch;
    int32_t base_sequence = kNoSequence;
    bool transactional = false;
    bool control = false;
  };
  using Bytes = std::optional<std::span<const std::byte>>;  // nullopt is null: no key, or a tombstone

  BatchBuilder() : BatchBuilder(Options{}) {}
  explicit BatchBuilder(const Options& options);

  void add(int64_t timestamp, Bytes key, Bytes value, std::span<const RecordHeader> headers = {});
  int32_t count() const { return count_; }
  size_t size() const { return out_.size(); }
  // The batch, with its counts and checksum; the builder is empty afterwards and must not be used again.
  std::vector<std::byte> finish();

 private:
  std::vector<std::byte> out_;
  int32_t count_ = 0;
  int64_t base_timestamp_ = kNoTimestamp;
  int64_t max_timestamp_ = kNoTimestamp;
};

// Sets length and checksum of a batch whose other bytes are in place.
void seal_batch(std::span<std::byte> batch);

// Whether the checksum of a whole, contiguous batch holds.
bool batch_crc_ok(std::span<const std::byte> batch);

}  // namespace penstock::protocol
