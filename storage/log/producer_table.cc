#include "storage/log/producer_table.h"

#include <algorithm>

#include "base/assert.h"
#include "protocol/record_batch.h"

namespace penstock::storage {
namespace {

// How far first lies behind expected in the circle of sequences 0..2^31-1: small for a late repeat, huge for a gap.
int32_t distance_behind(int32_t first, int32_t expected) {
  return static_cast<int32_t>((static_cast<int64_t>(expected) - first) & 0x7fffffff);
}

int64_t records_of(int32_t first, int32_t last) { return int64_t{distance_behind(first, last)} + 1; }

constexpr int64_t kHeldMax = 1 << 30;  // half the circle: farther back and ahead are the same

}  // namespace

ProducerTable::Check ProducerTable::check(ProducerId producer, int16_t epoch, int32_t first, int32_t last) const {
  const auto it = producers_.find(producer);
  // Unknown: its batches may have been deleted, so any sequence may come (docs/compatibility.md, line 59).
  if (it == producers_.end()) return {SequenceVerdict::kNext};
  const Producer& known = it->second;
  if (epoch < known.epoch) return {SequenceVerdict::kOldEpoch};
  if (epoch > known.epoch) return {first == 0 ? SequenceVerdict::kNext : SequenceVerdict::kGap};
  for (const ProducerBatch& batch : known.remembered())
    if (batch.first_sequence == first && batch.last_sequence == last) return {SequenceVerdict::kRepeat, &batch};
  const int32_t expected = protocol::RecordBatchView::add_sequence(known.remembered().back().last_sequence, 1);
  if (first == expected) return {SequenceVerdict::kNext};
  // Behind what is expected, but only what was taken can be repeated: a producer's first batch may have been refused
  // and its second taken, and to call the first one's retry a repeat would lose it in silence.
  const int64_t behind = distance_behind(first, expected);
  const bool taken = records_of(first, last) <= behind && behind <= known.held;
  return {taken ? SequenceVerdict::kTooOldRepeat : SequenceVerdict::kGap};
}

void ProducerTable::remember(ProducerId producer, const ProducerBatch& batch, size_t most) {
  Producer& known = producers_[producer];
  if (known.epoch != batch.epoch) known.count = 0;
  if (known.count == 0) known.held = 0;
  known.held = std::min(known.held + records_of(batch.first_sequence, batch.last_sequence), kHeldMax);
  known.epoch = batch.epoch;
  if (known.count == kWindow) {
    std::shift_left(known.batches.begin(), known.batches.end(), 1);
    known.count -= 1;
  }
  known.batches[known.count++] = batch;
  if (producers_.size() > most) forget_longest_silent();
}

void ProducerTable::forget_longest_silent() {
  const auto silent = std::ranges::min_element(
      producers_, {}, [](const auto& entry) { return entry.second.remembered().back().base_offset; });
  CHECK(silent != producers_.end());
  producers_.erase(silent);
}

}  // namespace penstock::storage
