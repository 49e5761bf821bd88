// Which ring a call goes to, and what is true of all of them.
#include "storage/api/store_set.h"

#include <algorithm>
#include <limits>

#include "base/assert.h"

namespace penstock::storage {

void StoreSet::add(uint16_t ring, std::unique_ptr<Store> store, std::span<const LogToOpen> logs) {
  CHECK(std::ranges::find(ring_numbers_, ring) == ring_numbers_.end());
  for (const LogToOpen& log : logs) places_[log.id] = stores_.size();
  ring_numbers_.push_back(ring);
  stores_.push_back(std::move(store));
}

Store* StoreSet::find(LogId log) const {
  if (stores_.size() == 1) return stores_.front().get();
  const auto found = places_.find(log);
  return found == places_.end() ? nullptr : stores_[found->second].get();
}

Store& StoreSet::store_of(uint16_t ring) const {
  const auto found = std::ranges::find(ring_numbers_, ring);
  CHECK(found != ring_numbers_.end());
  return *stores_[static_cast<size_t>(found - ring_numbers_.begin())];
}

uint16_t StoreSet::ring_of(const Store& store) const {
  const auto found = std::ranges::find(stores_, &store, &std::unique_ptr<Store>::get);
  return ring_numbers_[static_cast<size_t>(found - stores_.begin())];
}

void StoreSet::open_log(uint16_t ring, LogId log, const LogConfig& config) {
  store_of(ring).open_log(log, config);
  places_[log] = static_cast<size_t>(std::ranges::find(ring_numbers_, ring) - ring_numbers_.begin());
}

void StoreSet::set_config(LogId log, const LogConfig& config) {
  if (Store* store = find(log)) store->set_config(log, config);
}

void StoreSet::drop_log(LogId log) {
  if (Store* store = find(log)) store->drop_log(log);
  places_.erase(log);
}

StoreSet::Appended StoreSet::append(LogId log, LeaderEpoch epoch, const BufferChain& chain, size_t at, size_t length,
                                    const std::optional<RecordTimes>& times) {
  Store* store = find(log);
  if (store == nullptr) return {.status = AppendStatus::kUnknownLog};
  const AppendResult done = store->append(log, epoch, chain, at, length, times);
  return {done.status,
          done.base_offset,
          done.log_start_offset,
          {.ring = ring_of(*store), .lsn = done.durable_at},
          done.append_time_ms};
}

uint64_t StoreSet::bytes_of(LogId log) const {
  const Store* store = find(log);
  return store == nullptr ? 0 : store->bytes_of(log);
}

std::vector<ProducerFacts> StoreSet::producers_of(LogId log) const {
  const Store* store = find(log);
  return store == nullptr ? std::vector<ProducerFacts>() : store->producers_of(log);
}

std::optional<LogOffsets> StoreSet::offsets(LogId log) const {
  const Store* store = find(log);
  return store == nullptr ? std::nullopt : store->offsets(log);
}

ReadPlan StoreSet::plan_read(LogId log, Offset from, uint64_t max_bytes, bool at_least_one) {
  Store* store = find(log);
  return store == nullptr ? ReadPlan{ReadStatus::kGone, {}} : store->plan_read(log, from, max_bytes, at_least_one);
}

Result<size_t> StoreSet::view(const ReadCursor& cursor, size_t max_bytes,
                              std::span<std::span<const std::byte>> pieces) {
  Store* store = find(cursor.log);
  if (store == nullptr) return fail(Errc::kNotFound);
  return store->view(cursor, max_bytes, pieces);
}

Result<StoreSet::Lent> StoreSet::lend(const ReadCursor& cursor, size_t max_bytes,
                                      std::span<std::span<const std::byte>> pieces) {
  Store* store = find(cursor.log);
  if (store == nullptr) return fail(Errc::kNotFound);
  const Loan loan = TRY(store->lend(cursor, max_bytes, pieces));
  return Lent{.ring = ring_of(*store), .loan = loan};
}

StoreSet::Lent StoreSet::keep(LogId log, std::span<const std::byte> piece) {
  Store& store = *find(log);
  return {.ring = ring_of(store), .loan = store.keep(piece)};
}

void StoreSet::advance(ReadCursor& cursor, size_t n) const {
  if (const Store* store = find(cursor.log)) return store->advance(cursor, n);
  CHECK(n <= cursor.remaining);
  cursor.remaining -= n;
}

TimeFound StoreSet::find_by_time(LogId log, int64_t timestamp_ms) {
  Store* store = find(log);
  return store == nullptr ? TimeFound{ReadStatus::kGone, {}} : store->find_by_time(log, timestamp_ms);
}

TimeFound StoreSet::find_max_time(LogId log) {
  Store* store = find(log);
  return store == nullptr ? TimeFound{ReadStatus::kGone, {}} : store->find_max_time(log);
}

EpochEnd StoreSet::end_offset_for(LogId log, LeaderEpoch epoch) const {
  const Store* store = find(log);
  return store == nullptr ? EpochEnd{LeaderEpoch{-1}, Offset{-1}} : store->end_offset_for(log, epoch);
}

LeaderEpoch StoreSet::epoch_at(LogId log, Offset offset) const {
  const Store* store = find(log);
  return store == nullptr ? kNoLeaderEpoch : store->epoch_at(log, offset);
}

StoreSet::Trimmed StoreSet::trim(LogId log, Offset to) {
  Store* store = find(log);
  if (store == nullptr) return {.status = TrimStatus::kUnknownLog};
  const TrimResult done = store->trim(log, to);
  return {done.status, done.log_start_offset, {.ring = ring_of(*store), .lsn = done.durable_at}};
}

void StoreSet::submit() {
  for (const auto& store : stores_) store->submit();
}

size_t StoreSet::poll() {
  advanced_.clear();
  readable_.clear();
  size_t count = 0;
  for (const auto& store : stores_) {
    count += store->poll();
    const auto advanced = store->advanced_logs();
    const auto readable = store->readable_logs();
    advanced_.insert(advanced_.end(), advanced.begin(), advanced.end());
    readable_.insert(readable_.end(), readable.begin(), readable.end());
  }
  return count;
}

Nanos StoreSet::next_deadline() const {
  Nanos next = std::numeric_limits<Nanos>::max();
  for (const auto& store : stores_) next = std::min(next, store->next_deadline());
  return next;
}

void StoreSet::begin_stop() {
  for (const auto& store : stores_) store->begin_stop();
}

bool StoreSet::stopped() const {
  return std::ranges::all_of(stores_, [](const auto& store) { return store->stopped() || store->poisoned(); });
}

uint64_t StoreSet::commit_bytes() const {
  uint64_t bytes = 0;
  for (const auto& store : stores_) bytes += store->commit_bytes();
  return bytes;
}

bool StoreSet::any_poisoned() const {
  return std::ranges::any_of(stores_, [](const auto& store) { return store->poisoned(); });
}

bool StoreSet::is_durable(const DurableMark& mark) const {
  bool all = true;
  mark.for_each([&](const DurableAt& at) { all = all && is_durable(at); });
  return all;
}

bool StoreSet::is_lost(const DurableMark& mark) const {
  bool lost = false;
  mark.for_each([&](const DurableAt& at) { lost = lost || (!is_durable(at) && poisoned(at.ring)); });
  return lost;
}

bool StoreSet::poisoned(LogId log) const {
  const Store* store = find(log);
  return store != nullptr && store->poisoned();
}

}  // namespace penstock::storage
