// ProducerTable: what a partition remembers of its idempotent producers: the last five batches of each, as Kafka does
// (KIP-98; a client may have five requests in flight). A pure function of the batches that the log holds, in their
// order: replaying them rebuilds it, and a snapshot taken after some of them and restored goes on as if it had seen
// them itself.
//
// A log keeps two: one of all its batches, which answers, and one of those below destaged, which the state slot takes
// (with what it remembers now, the first cannot tell what it would remember had the newer batches not come). destage
// gives each batch to the second as it passes it; a truncation to an offset at or above destaged is the second's copy
// with the batches between replayed.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "storage/api/types.h"
#include "storage/segment/log_facts.h"

namespace penstock::storage {

// The sequence fields of a batch, and where it went.
struct ProducerBatch {
  int16_t epoch = 0;
  int32_t first_sequence = 0;
  int32_t last_sequence = 0;
  Offset base_offset;
  Lsn end;  // durable() at or above: this batch is durable; 0 for one out of a snapshot
};

enum class SequenceVerdict : uint8_t { kNext, kRepeat, kTooOldRepeat, kGap, kOldEpoch };

class ProducerTable {
 public:
  static constexpr size_t kWindow = ProducerState::kMostBatches;

  struct Check {
    SequenceVerdict verdict;
    const ProducerBatch* repeated = nullptr;  // with kRepeat
  };
  // What a batch of this producer would be. Changes nothing.
  Check check(ProducerId producer, int16_t epoch, int32_t first_sequence, int32_t last_sequence) const;
  // Remembers an appended batch, whose greatest timestamp is max_timestamp; forgets the producer longest silent if
  // there are more than most.
  void remember(ProducerId producer, const ProducerBatch& batch, int64_t max_timestamp, size_t most);
  size_t size() const { return producers_.size(); }

  // All that is remembered, by producer id.
  std::vector<ProducerState> snapshot() const;
  // Instead of what is remembered now. states: of a snapshot; none with a count of 0 or above kWindow, no id twice.
  void restore(std::span<const ProducerState> states);
  // Forgets the batches that end behind offset (one that compaction took away may begin before it), and producers of
  // which nothing is left. What they pushed out of a window does not come back: where that matters, a table of fewer
  // batches is there to copy (above).
  void truncate_from(Offset offset);
  // Forgets producers whose newest batch is older than this (Kafka's producer.id.expiration.ms).
  void expire(int64_t older_than);

 private:
  struct Producer {
    int16_t epoch = 0;
    uint8_t count = 0;  // batches remembered, the newest last
    int64_t held = 0;   // records of this epoch taken in a row: how far back a repeat can be one
    int64_t last_timestamp = 0;
    std::array<ProducerBatch, kWindow> batches;
    std::span<const ProducerBatch> remembered() const { return {batches.data(), count}; }
  };
  void forget_longest_silent();

  std::unordered_map<ProducerId, Producer> producers_;
};

}  // namespace penstock::storage
