#include "tests/sim/sim_log.h"

#include <algorithm>
#include <set>

#include "base/assert.h"

namespace penstock::sim {

using storage::EpochEnd;
using storage::TimeAndOffset;

// ---------------------------------------------------------------- what is done

void SimLog::State::apply(const Event& event) {
  if (event.batch != nullptr) {
    batches.push_back(event.batch);
    end = event.batch->next;
  } else if (event.cut >= 0) {
    while (!batches.empty() && batches.back()->base >= event.cut) batches.pop_back();
    end = event.cut;
    start = std::min(start, end);
  } else {
    start = event.start;
  }
}

void SimLog::append(uint64_t seq, SimBatchPtr batch) {
  batches_.push_back(batch);
  end_ = batch->next;
  events_.push_back({.seq = seq, .batch = std::move(batch)});
}

void SimLog::cut(uint64_t seq, int64_t end) {
  events_.push_back({.seq = seq, .batch = {}, .cut = end});
  State now = state();
  now.apply(events_.back());
  batches_ = std::move(now.batches);
  start_ = now.start;
  end_ = now.end;
}

void SimLog::begin_at(uint64_t seq, int64_t start) {
  events_.push_back({.seq = seq, .batch = {}, .start = start});
  start_ = start;
}

size_t SimLog::find(int64_t offset) const {
  const auto it = std::ranges::partition_point(batches_, [&](const SimBatchPtr& b) { return b->next <= offset; });
  if (it != batches_.end() && (*it)->base > offset) return batches_.size();
  return static_cast<size_t>(it - batches_.begin());
}

int64_t SimLog::cut_of(int64_t offset) const {
  const int64_t to = std::max(offset, start_);
  const size_t at = find(to);
  return at == batches_.size() ? end_ : batches_[at]->base;
}

// ---------------------------------------------------------------- lookups

std::optional<TimeAndOffset> SimLog::first_with_time(int64_t t, int64_t below) const {
  for (const SimBatchPtr& batch : batches_) {
    if (batch->next > below) break;
    for (size_t i = 0; i < batch->timestamps.size(); ++i) {
      const int64_t offset = batch->base + static_cast<int64_t>(i);
      if (offset >= start_ && batch->timestamps[i] >= t) return TimeAndOffset{Offset{offset}, batch->timestamps[i]};
    }
  }
  return std::nullopt;
}

std::optional<TimeAndOffset> SimLog::greatest_time(int64_t below) const {
  std::optional<TimeAndOffset> best;
  for (const SimBatchPtr& batch : batches_) {
    if (batch->next > below) break;
    for (size_t i = 0; i < batch->timestamps.size(); ++i) {
      const int64_t offset = batch->base + static_cast<int64_t>(i);
      if (offset >= start_ && (!best || batch->timestamps[i] > best->timestamp))
        best = TimeAndOffset{Offset{offset}, batch->timestamps[i]};
    }
  }
  return best;
}

std::optional<EpochEnd> SimLog::end_offset_for(int32_t epoch) const {
  constexpr EpochEnd kUnknown{LeaderEpoch{-1}, Offset{-1}};
  int32_t at_or_below = -1;
  int32_t latest = -1;
  std::optional<int64_t> higher;
  for (const SimBatchPtr& batch : batches_) {
    if (batch->next <= start_) continue;
    latest = batch->epoch;
    if (batch->epoch <= epoch) at_or_below = batch->epoch;
    if (batch->epoch > epoch && !higher) higher = std::max(batch->base, start_);
  }
  if (latest < 0) return std::nullopt;
  if (epoch == latest) return EpochEnd{LeaderEpoch{epoch}, Offset{end_}};
  if (!higher) return kUnknown;
  return EpochEnd{LeaderEpoch{at_or_below < 0 ? epoch : at_or_below}, Offset{*higher}};
}

uint64_t SimLog::bytes_from(int64_t offset) const {
  uint64_t sum = 0;
  for (const SimBatchPtr& batch : batches_)
    if (batch->next > offset) sum += batch->bytes.size();
  return sum;
}

// ---------------------------------------------------------------- after a crash

std::string SimLog::State::differs(const Found& found) const {
  if (found.end != end) return "it ends at " + std::to_string(found.end) + ", not at " + std::to_string(end);
  auto want =
      std::ranges::partition_point(batches, [&](const SimBatchPtr& batch) { return batch->next <= found.start; });
  for (const auto& bytes : found.batches) {
    if (want == batches.end()) return "bytes that nobody produced";
    if (bytes != (*want)->bytes) return "the batch at offset " + std::to_string((*want)->base) + " differs";
    ++want;
  }
  return want == batches.end() ? "" : "the batch at offset " + std::to_string((*want)->base) + " is lost";
}

std::string SimLog::settle(const Found& found, uint64_t sure, Kept& kept) {
  State may = settled_;
  std::set<int64_t> starts;
  size_t i = 0;
  for (; i < events_.size() && events_[i].seq <= sure; ++i) {
    may.apply(events_[i]);
    if (events_[i].batch != nullptr) kept.last_kept = events_[i].seq;
  }
  const int64_t sure_end = may.end;
  starts.insert(may.start);
  // A state slot may tell of a new beginning before the ring does.
  for (size_t j = i; j < events_.size(); ++j)
    if (events_[j].start >= 0) starts.insert(events_[j].start);
  std::optional<State> fits;
  std::string why = may.differs(found);
  for (uint64_t last_kept = kept.last_kept;; ++i) {
    if (may.differs(found).empty()) {
      if (!fits) kept.last_kept = last_kept;
      fits = may;
      kept.first_lost = UINT64_MAX;
    } else if (fits && i > 0 && events_[i - 1].batch != nullptr) {
      kept.first_lost = std::min(kept.first_lost, events_[i - 1].seq);
    }
    if (i == events_.size()) break;
    may.apply(events_[i]);
    starts.insert(may.start);
    if (events_[i].batch != nullptr) last_kept = events_[i].seq;
  }
  if (!fits)
    return why + " (found " + std::to_string(found.start) + " to " + std::to_string(found.end) + ", sure to " +
           std::to_string(sure_end) + ", taken to " + std::to_string(end_) + ")";
  const bool start_fits =
      std::ranges::any_of(starts, [&](int64_t start) { return found.start == std::min(start, found.end); });
  if (!start_fits)
    return "it begins at " + std::to_string(found.start) + ", last known " + std::to_string(*starts.begin()) + " to " +
           std::to_string(*starts.rbegin());
  settled_ = *std::move(fits);
  settled_.start = found.start;
  batches_ = settled_.batches;
  start_ = settled_.start;
  end_ = settled_.end;
  events_.clear();
  return {};
}

}  // namespace penstock::sim
