#include "tests/sim/sim_log.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/assert.h"
#include "protocol/record_batch.h"

namespace penstock::sim {

using storage::EpochEnd;
using storage::TimeAndOffset;

// ---------------------------------------------------------------- what is done

void SimLog::State::apply(const Event& event) {
  if (event.batch != nullptr) {
    batches.push_back(event.batch);
    end = event.batch->next;
  } else if (event.cut >= 0) {
    // One that the cut falls into was not there any more.
    for (; !batches.empty() && batches.back()->next > event.cut; batches.pop_back()) {
      const SimBatch& gone = *batches.back();
      for (const auto& batch : batches)
        for (size_t i = 0; i < batch->keys.size(); ++i)
          if (std::ranges::find(gone.keys, batch->keys[i]) != gone.keys.end())
            excused.insert(batch->base + static_cast<int64_t>(i));
    }
    excused.erase(excused.lower_bound(event.cut), excused.end());
    end = event.cut;
    start = std::min(start, end);
  } else {
    start = event.start;
  }
}

void SimLog::append(uint64_t seq, SimBatchPtr batch) {
  batches_.push_back(batch);
  produced_.emplace(batch->base, batch);
  end_ = batch->next;
  events_.push_back({.seq = seq, .batch = std::move(batch)});
}

void SimLog::cut(uint64_t seq, int64_t end) {
  events_.push_back({.seq = seq, .batch = {}, .cut = end});
  State now = state();
  now.apply(events_.back());
  batches_ = std::move(now.batches);
  excused_ = std::move(now.excused);
  start_ = now.start;
  end_ = now.end;
  cut_ever_ = true;
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

// ---------------------------------------------------------------- what compaction may leave

void SimLog::may_be_compacted(int64_t delete_retention_ms) {
  compacted_ = true;
  least_retention_ms_ = std::min(least_retention_ms_, delete_retention_ms);
}

bool SimLog::has(int64_t offset, int64_t timestamp) const {
  const size_t at = find(offset);
  return at < batches_.size() &&
         batches_[at]->timestamps[static_cast<size_t>(offset - batches_[at]->base)] == timestamp;
}

std::vector<TimeAndOffset> SimLog::State::surely_there(int64_t from, int64_t below, int64_t now_ms,
                                                       int64_t retention_ms) const {
  std::map<std::string, int64_t> newest;
  for (const SimBatchPtr& batch : batches)
    for (size_t i = 0; i < batch->keys.size(); ++i)
      if (batch->keys[i]) newest[*batch->keys[i]] = batch->base + static_cast<int64_t>(i);
  std::vector<TimeAndOffset> sure;
  for (const SimBatchPtr& batch : batches) {
    for (size_t i = 0; i < batch->keys.size(); ++i) {
      const int64_t offset = batch->base + static_cast<int64_t>(i);
      if (offset < from || offset >= below || !batch->keys[i] || newest[*batch->keys[i]] != offset) continue;
      if (excused.contains(offset)) continue;
      if (batch->tombstones[i] && now_ms - batch->taken_at_ms >= retention_ms) continue;
      sure.push_back({Offset{offset}, batch->timestamps[i]});
    }
  }
  return sure;
}

namespace {

struct Parsed {
  int64_t timestamp;
  protocol::RecordView view;
};

std::map<int64_t, Parsed> records_of(std::span<const std::byte> batch) {
  const auto view = protocol::view_of(batch);
  std::map<int64_t, Parsed> records;
  for (protocol::RecordReader reader(batch.subspan(protocol::kBatchHeaderBytes)); !reader.at_end();) {
    const auto record = reader.next().value();
    records[view.base_offset().value() + record.offset_delta] = {view.base_timestamp() + record.timestamp_delta,
                                                                 record};
  }
  return records;
}

bool same(const std::optional<std::span<const std::byte>>& a, const std::optional<std::span<const std::byte>>& b) {
  return a.has_value() == b.has_value() && (!a || std::ranges::equal(*a, *b));
}

// Whether read is what is left of was; the offsets of its records go into there.
std::string differs_from(const SimBatch& was, std::span<const std::byte> read, std::set<int64_t>& there) {
  const auto old = protocol::view_of(was.bytes);
  const auto now = protocol::view_of(read);
  const std::string of = "the batch at offset " + std::to_string(was.base);
  if (!protocol::batch_crc_ok(read)) return of + " has a wrong checksum";
  if (now.base_offset() != old.base_offset() || now.last_offset() != old.last_offset() ||
      now.partition_leader_epoch() != old.partition_leader_epoch() || now.producer_id() != old.producer_id() ||
      now.producer_epoch() != old.producer_epoch() || now.base_sequence() != old.base_sequence())
    return of + " has another header";
  const auto before = records_of(was.bytes);
  for (const auto& [offset, record] : records_of(read)) {
    const auto found = before.find(offset);
    if (found == before.end()) return of + " has a record that nobody produced";
    const Parsed& original = found->second;
    if (record.timestamp != original.timestamp || !same(record.view.key, original.view.key) ||
        !same(record.view.value, original.view.value) ||
        !std::ranges::equal(record.view.headers, original.view.headers))
      return of + " has a record that differs";
    there.insert(offset);
  }
  return {};
}

}  // namespace

std::string SimLog::State::differs_compacted(int64_t from, int64_t to, std::span<const std::vector<std::byte>> read,
                                             int64_t now_ms, int64_t retention_ms, bool with_producers) const {
  std::set<int64_t> there;
  std::map<int64_t, int64_t> last_of_producer;  // base of its last batch
  std::set<int64_t> bases;
  auto want = batches.begin();
  for (const auto& bytes : read) {
    const int64_t base = protocol::view_of(bytes).base_offset().value();
    while (want != batches.end() && (*want)->base < base) ++want;
    if (want == batches.end() || (*want)->base != base)
      return "a batch that nobody produced, at " + std::to_string(base);
    if ((*want)->next <= from) return "the batch at offset " + std::to_string(base) + " was not asked for";
    if (std::string wrong = differs_from(**want, bytes, there); !wrong.empty()) return wrong;
    bases.insert(base);
    ++want;
  }
  for (const TimeAndOffset& sure : surely_there(from, to, now_ms, retention_ms))
    if (!there.contains(sure.offset.value()))
      return "the record at offset " + std::to_string(sure.offset.value()) + ", the last of its key, is lost";
  if (!with_producers) return {};
  for (const SimBatchPtr& batch : batches)
    if (batch->producer >= 0) last_of_producer[batch->producer] = batch->base;
  for (const auto& [producer, base] : last_of_producer)
    if (base >= from && base < to && !bases.contains(base))
      return "the last batch of producer " + std::to_string(producer) + ", at " + std::to_string(base) + ", is lost";
  return {};
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

std::string SimLog::differs(const State& may, const Found& found, int64_t now_ms) const {
  if (!compacted_) return may.differs(found);
  if (found.end != may.end) return "it ends at " + std::to_string(found.end) + ", not at " + std::to_string(may.end);
  return may.differs_compacted(found.start, may.end, found.batches, now_ms, least_retention_ms_,
                               check_producers && !cut_ever_);
}

std::string SimLog::settle(const Found& found, uint64_t sure, Kept& kept, int64_t now_ms) {
  State may = settled_;
  std::set<int64_t> starts;
  size_t i = 0;
  for (; i < events_.size() && events_[i].seq <= sure; ++i) {
    may.apply(events_[i]);
    if (events_[i].batch != nullptr) kept.last_kept = events_[i].seq;
  }
  const int64_t sure_end = may.end;
  starts.insert(may.start);
  // A state slot may tell of a new beginning before the ring does, which then plays once more what was before: a cut
  // below that beginning moves it, also one of an earlier life.
  for (size_t j = i; j < events_.size(); ++j) {
    if (events_[j].start < 0) continue;
    starts.insert(events_[j].start);
    for (const int64_t cut : old_cuts_) starts.insert(std::min(events_[j].start, cut));
    for (size_t k = 0; k < j; ++k)
      if (events_[k].cut >= 0) starts.insert(std::min(events_[j].start, events_[k].cut));
  }
  std::optional<State> fits;
  std::string why = differs(may, found, now_ms);
  for (uint64_t last_kept = kept.last_kept;; ++i) {
    if (differs(may, found, now_ms).empty()) {
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
  excused_ = settled_.excused;
  start_ = settled_.start;
  end_ = settled_.end;
  for (const Event& event : events_)
    if (event.cut >= 0) old_cuts_.insert(event.cut);
  events_.clear();
  return {};
}

// ---------------------------------------------------------------- damage

SimLog::Range SimLog::range_of(int64_t base, uint64_t from, uint64_t to) const {
  Range range{base, base};
  uint64_t at = 0;
  for (size_t i = find(base); i < batches_.size() && at < to; at += batches_[i++]->bytes.size()) {
    if (at + batches_[i]->bytes.size() <= from) range.from = batches_[i]->next;
    range.to = batches_[i]->next;
  }
  return range;
}

void SimLog::fill_holes(Found& found) const {
  std::set<int64_t> there;  // a batch that was asked for at several offsets made several holes
  for (const auto& bytes : found.batches) there.insert(protocol::view_of(bytes).base_offset().value());
  for (const Found::Hole& hole : found.holes)
    for (const SimBatchPtr& batch : batches_)
      if (batch->next > hole.from && batch->base < hole.to && there.insert(batch->base).second)
        found.batches.push_back(batch->bytes);
  std::ranges::stable_sort(found.batches, {},
                           [](const auto& bytes) { return protocol::view_of(bytes).base_offset().value(); });
}

// ---------------------------------------------------------------- after a lie

SimBatchPtr SimLog::produced_as(std::span<const std::byte> bytes) const {
  const auto [first, last] = produced_.equal_range(protocol::view_of(bytes).base_offset().value());
  for (auto it = first; it != last; ++it) {
    std::set<int64_t> there;
    if (std::ranges::equal(it->second->bytes, bytes)) return it->second;
    if (compacted_ && differs_from(*it->second, bytes, there).empty()) return it->second;
  }
  return nullptr;
}

std::string SimLog::differs_after_loss(const Found& found) const {
  if (found.start > found.end) return "it begins behind its end";
  int64_t at = found.start;
  bool inside = true;  // of the first batch only a part may be asked for
  auto hole = found.holes.begin();
  const auto skip_holes = [&] {
    for (; hole != found.holes.end() && hole->from == at; ++hole) {
      at = hole->to;
      inside = true;
    }
  };
  for (const auto& bytes : found.batches) {
    skip_holes();
    const auto view = protocol::view_of(bytes);
    const int64_t base = view.base_offset().value();
    const int64_t next = view.last_offset().value() + 1;
    if (!produced_as(bytes)) return "the batch at offset " + std::to_string(base) + " is none that was produced there";
    if (next <= at || (!inside && base < at)) return "offset " + std::to_string(base) + " is served twice";
    if (base > at && !compacted_) return "offset " + std::to_string(at) + " is passed over in silence";
    at = next;
    inside = false;
  }
  skip_holes();
  if (at == found.end || (compacted_ && at < found.end)) return {};
  return "it ends at " + std::to_string(found.end) + ", what is served at " + std::to_string(at);
}

bool SimLog::become(const Found& found) {
  if (compacted_ || !found.holes.empty()) return false;
  batches_.clear();
  for (const auto& bytes : found.batches) batches_.push_back(produced_as(bytes));
  start_ = found.start;
  end_ = found.end;
  excused_.clear();
  settled_ = state();
  events_.clear();
  return true;
}

int64_t SimLog::next_place(int64_t offset, int64_t end) const {
  const auto it = produced_.upper_bound(offset);
  return it == produced_.end() ? end : std::min(end, it->first);
}

}  // namespace penstock::sim
