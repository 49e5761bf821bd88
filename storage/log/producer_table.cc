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

void ProducerTable::remember(ProducerId producer, const ProducerBatch& batch, int64_t max_timestamp, size_t most) {
  Producer& known = producers_[producer];
  if (known.epoch != batch.epoch) known.count = 0;
  if (known.count == 0) known.held = 0;
  known.held = std::min(known.held + records_of(batch.first_sequence, batch.last_sequence), kHeldMax);
  known.epoch = batch.epoch;
  known.last_timestamp = max_timestamp;
  if (known.count == kWindow) {
    std::shift_left(known.batches.begin(), known.batches.end(), 1);
    known.count -= 1;
  }
  known.batches[known.count++] = batch;
  if (producers_.size() > most) forget_longest_silent();
}

std::vector<ProducerState> ProducerTable::snapshot() const {
  std::vector<ProducerState> states;
  states.reserve(producers_.size());
  for (const auto& [id, known] : producers_) {
    ProducerState& state = states.emplace_back(ProducerState{.id = id,
                                                             .epoch = known.epoch,
                                                             .held = known.held,
                                                             .last_timestamp = known.last_timestamp,
                                                             .count = known.count});
    for (uint8_t i = 0; i < known.count; ++i)
      state.batches[i] = {known.batches[i].first_sequence, known.batches[i].last_sequence,
                          known.batches[i].base_offset};
  }
  std::ranges::sort(states, {}, &ProducerState::id);
  return states;
}

void ProducerTable::restore(std::span<const ProducerState> states) {
  producers_.clear();
  for (const ProducerState& state : states) {
    CHECK(state.count > 0 && state.count <= kWindow);
    Producer known{.epoch = state.epoch,
                   .count = state.count,
                   .held = std::min(state.held, kHeldMax),
                   .last_timestamp = state.last_timestamp,
                   .batches = {}};
    for (uint8_t i = 0; i < state.count; ++i)
      known.batches[i] = {.epoch = state.epoch,
                          .first_sequence = state.batches[i].first_sequence,
                          .last_sequence = state.batches[i].last_sequence,
                          .base_offset = state.batches[i].base_offset,
                          .end = {}};
    producers_.insert_or_assign(state.id, known);
  }
}

void ProducerTable::truncate_from(Offset offset) {
  for (auto& [id, known] : producers_) {
    while (known.count > 0) {
      const ProducerBatch& gone = known.remembered().back();
      const int64_t records = records_of(gone.first_sequence, gone.last_sequence);
      if (gone.base_offset + records <= offset) break;
      known.held -= std::min(known.held, records);
      known.count -= 1;
    }
  }
  std::erase_if(producers_, [](const auto& entry) { return entry.second.count == 0; });
}

void ProducerTable::expire(int64_t older_than) {
  std::erase_if(producers_, [&](const auto& entry) { return entry.second.last_timestamp < older_than; });
}

void ProducerTable::forget_longest_silent() {
  const auto silent = std::ranges::min_element(
      producers_, {}, [](const auto& entry) { return entry.second.remembered().back().base_offset; });
  CHECK(silent != producers_.end());
  producers_.erase(silent);
}

}  // namespace penstock::storage
