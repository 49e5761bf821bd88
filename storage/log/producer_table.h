// ProducerTable: what a partition remembers of its idempotent producers: the last five batches of each, as Kafka does
// (KIP-98; a client may have five requests in flight). A pure function of the batches that the log holds: replaying
// them rebuilds it.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <unordered_map>

#include "storage/api/types.h"

namespace penstock::storage {

// The sequence fields of a batch, and where it went.
struct ProducerBatch {
  int16_t epoch = 0;
  int32_t first_sequence = 0;
  int32_t last_sequence = 0;
  Offset base_offset;
  Lsn end;  // durable() at or above: this batch is durable
};

enum class SequenceVerdict : uint8_t { kNext, kRepeat, kTooOldRepeat, kGap, kOldEpoch };

class ProducerTable {
 public:
  static constexpr size_t kWindow = 5;

  struct Check {
    SequenceVerdict verdict;
    const ProducerBatch* repeated = nullptr;  // with kRepeat
  };
  // What a batch of this producer would be. Changes nothing.
  Check check(ProducerId producer, int16_t epoch, int32_t first_sequence, int32_t last_sequence) const;
  // Remembers an appended batch; forgets the producer longest silent if there are more than most.
  void remember(ProducerId producer, const ProducerBatch& batch, size_t most);
  size_t size() const { return producers_.size(); }

 private:
  struct Producer {
    int16_t epoch = 0;
    uint8_t count = 0;  // batches remembered, the newest last
    int64_t held = 0;   // records of this epoch taken in a row: how far back a repeat can be one
    std::array<ProducerBatch, kWindow> batches;
    std::span<const ProducerBatch> remembered() const { return {batches.data(), count}; }
  };
  void forget_longest_silent();

  std::unordered_map<ProducerId, Producer> producers_;
};

}  // namespace penstock::storage
