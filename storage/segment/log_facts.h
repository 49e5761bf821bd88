// What is known about a log beside its batches, as it stands in sidecars and state slots. Caches: the batches say it
// all again.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "protocol/types.h"

namespace penstock::storage {

// The first offset that a leader of this epoch gave.
struct EpochEntry {
  LeaderEpoch epoch;
  Offset start;
  friend bool operator==(const EpochEntry&, const EpochEntry&) = default;
};

// One remembered batch of an idempotent producer.
struct ProducerBatchState {
  int32_t first_sequence = 0;
  int32_t last_sequence = 0;
  Offset base_offset;
  friend bool operator==(const ProducerBatchState&, const ProducerBatchState&) = default;
};

// What a log remembers of one idempotent producer (storage/log/producer_table.h).
struct ProducerState {
  static constexpr size_t kMostBatches = 5;  // KIP-98: a client may have five requests in flight

  ProducerId id;
  int16_t epoch = 0;
  int64_t held = 0;            // records of this epoch taken in a row
  int64_t last_timestamp = 0;  // of the newest batch, milliseconds since 1970
  uint8_t count = 0;           // batches remembered, the newest last
  std::array<ProducerBatchState, kMostBatches> batches{};
  friend bool operator==(const ProducerState&, const ProducerState&) = default;
};

// A transaction that was aborted: its batches from first to last are not for readers of committed records. Named as in
// Kafka's .txnindex.
struct AbortedTransaction {
  ProducerId producer;
  Offset first_offset;
  Offset last_offset;         // of the abort marker
  Offset last_stable_offset;  // when the marker was appended
  friend bool operator==(const AbortedTransaction&, const AbortedTransaction&) = default;
};

}  // namespace penstock::storage
