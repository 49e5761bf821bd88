// BatchSource: record batches of one shape by the million, at the price of one copy of 61 bytes each. The records are
// made once and sent from the same memory; only the header changes, and its checksum follows without touching the
// records: CRC-32C is affine in its starting value, so the records' part of it is a table of 32 columns.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/prng.h"
#include "protocol/compression/codec.h"
#include "protocol/record_batch.h"

namespace penstock::cli {

// crc -> crc32c(crc, bytes), for bytes that stay the same.
class FixedCrc {
 public:
  explicit FixedCrc(std::span<const std::byte> bytes);
  uint32_t append_to(uint32_t crc) const;

 private:
  uint32_t of_zero_;
  std::array<uint32_t, 32> columns_;
};

class BatchSource {
 public:
  // What differs from batch to batch.
  struct Stamp {
    int64_t timestamp_ms = 0;
    ProducerId producer_id = kNoProducerId;
    int16_t producer_epoch = protocol::kNoProducerEpoch;
    int32_t base_sequence = protocol::kNoSequence;
  };

  struct Shape {
    uint32_t records = 1;
    uint32_t record_bytes = 0;  // of each value; there are no keys
    bool words = false;         // values that compress, of words that come again; else random bytes
    protocol::Compression codec = protocol::Compression::kNone;
    int level = 0;
  };
  // Throws CliError for what cannot be compressed (above 2 GiB).
  BatchSource(const Shape& shape, Prng& prng);

  // As many records as fit into a batch of batch_bytes, at least one.
  static uint32_t records_for(uint64_t batch_bytes, uint32_t record_bytes);

  uint32_t records() const { return records_; }
  uint64_t payload_bytes() const { return uint64_t{records_} * record_bytes_; }
  size_t batch_bytes() const { return batch_.size(); }
  // One whole batch, stamped with zeros: for the encoder that lays out the request around it.
  std::span<const std::byte> whole() const { return batch_; }
  // Everything behind the header; the same for each batch.
  std::span<const std::byte> body() const { return whole().subspan(protocol::kBatchHeaderBytes); }
  // The header of a batch with these stamps and body().
  void write_header(std::span<std::byte, protocol::kBatchHeaderBytes> out, const Stamp& stamp) const;

 private:
  uint32_t records_;
  uint32_t record_bytes_;
  std::vector<std::byte> batch_;
  FixedCrc body_crc_;
};

}  // namespace penstock::cli
