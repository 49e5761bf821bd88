// The life of a Store: logs come and go, turns submit and poll, the tail moves, a stop seals.
#include <algorithm>
#include <array>
#include <limits>

#include "storage/store_impl.h"

namespace penstock::storage {

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Store::~Store() {
  impl_->disk.close(impl_->ring_file);
  for (const StateWriter::File& state : impl_->state_files) impl_->disk.close(state.file);
}

void Store::open_log(LogId log, const LogConfig&) {
  impl_->owner.check();
  impl_->logs.try_emplace(log, std::make_unique<PartitionLog>(log));
  impl_->update_gauges();
}

void Store::set_config(LogId, const LogConfig&) { impl_->owner.check(); }

void Store::drop_log(LogId log) {
  impl_->owner.check();
  impl_->bury(log);
  impl_->tail_dirty = true;
  impl_->update_gauges();
}

void Store::Impl::bury(LogId log) {
  const auto it = logs.find(log);
  if (it == logs.end()) return;
  it->second->dropped = true;
  producers_tracked -= it->second->producers.size();
  if (it->second->pending > 0) buried.push_back(std::move(it->second));
  logs.erase(it);
}

void Store::submit() {
  impl_->owner.check();
  if (impl_->poisoned) return;
  if (impl_->stopping) impl_->ring->seal_now();
  impl_->ring->submit();
  if (impl_->tail_dirty || (impl_->stopping && impl_->ring->quiet() && !impl_->stop_state_written))
    impl_->plan_tail(impl_->stopping);
}

// The oldest byte that a live log needs decides; a chunk begins with a frame, so the tail moves chunk by chunk.
void Store::Impl::plan_tail(bool at_stop) {
  if (state->busy()) return;
  Lsn needed = ring->durable();
  for (const auto& [id, log] : logs)
    if (!log->batches.empty()) needed = std::min(needed, log->batches.front().at);
  const Lsn chunk{align_down(needed.value(), kChunkBytes)};
  const Lsn next = std::max(chunk, last_state.tail);
  tail_dirty = false;
  if (at_stop) stop_state_written = true;
  if (next == last_state.tail && !at_stop) return;
  last_state.tail = last_state.as_of = next;
  write_state();
}

void Store::Impl::write_state() {
  last_state.sequence += 1;
  last_state.head = ring->durable();
  last_state.previous_crc = ring->durable_crc();
  encoder->begin(last_state);
  state->write(last_state, encoder->finish());
  counters.add(Metric::state_writes);
}

size_t Store::poll() {
  Impl& s = *impl_;
  s.owner.check();
  s.polls += 1;
  s.advanced.clear();
  std::array<DiskOp*, 8> done;
  const size_t count = s.disk.poll(done);
  for (size_t i = 0; i < count; ++i) s.settle_op(*done[i]);
  if (count > 0) {
    s.settle_pending();
    s.update_gauges();
  }
  return count;
}

void Store::Impl::settle_op(DiskOp& op) {
  if (ring->complete(op)) {
    poisoned = poisoned || ring->failed();
    return;
  }
  CHECK(state->complete(op));
  poisoned = poisoned || state->failed();
  if (!state->failed() && !state->busy()) ring->advance_tail(state->written().tail);
}

void Store::Impl::settle_pending() {
  while (!pending.empty() && pending.front().end <= ring->durable()) {
    PartitionLog& log = *pending.front().log;
    log.pending -= 1;
    log.durable = pending.front().next_offset;
    pending.pop_front();
    if (log.dropped || log.advanced_in_poll == polls) continue;
    log.advanced_in_poll = polls;
    advanced.push_back(log.id);
  }
  std::erase_if(buried, [](const auto& log) { return log->pending == 0; });
}

void Store::Impl::update_gauges() {
  counters.set(Metric::ring_used_bytes, ring->used_bytes());
  counters.set(Metric::ring_poisoned, poisoned ? 1 : 0);
  counters.set(Metric::logs_open, logs.size());
  counters.set(Metric::producers_tracked, producers_tracked);
}

Lsn Store::durable() const { return impl_->ring->durable(); }
std::span<const LogId> Store::advanced_logs() const { return impl_->advanced; }
std::span<const LogId> Store::readable_logs() const { return {}; }
bool Store::poisoned() const { return impl_->poisoned; }
StoreHealth Store::health() const { return {.poisoned = impl_->poisoned}; }

Nanos Store::next_deadline() const {
  return impl_->poisoned ? std::numeric_limits<Nanos>::max() : impl_->ring->next_deadline();
}

void Store::begin_stop() {
  impl_->owner.check();
  impl_->stopping = true;
}

bool Store::stopped() const {
  const Impl& s = *impl_;
  if (!s.stopping) return false;
  return s.poisoned || (s.ring->quiet() && s.stop_state_written && !s.state->busy());
}

}  // namespace penstock::storage
