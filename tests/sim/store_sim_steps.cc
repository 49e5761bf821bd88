// What StoreSim does to logs.
#include <algorithm>

#include "tests/sim/store_sim.h"

namespace penstock::sim {

using storage::AppendStatus;
using storage::LogId;

std::string StoreSim::step() {
  switch (swarm_.draw_step(prng_)) {
    case SimStep::kAppend: return append_some();
    case SimStep::kRepeat: return repeat_some();
    case SimStep::kOpenLog: open_log(); return {};
    case SimStep::kDropLog: return drop_some();
    case SimStep::kPlan: return plan_some();
    case SimStep::kReadOn: return read_on();
    case SimStep::kFindTime: return find_time_some();
    case SimStep::kEpochEnd: return epoch_end_some();
    case SimStep::kTrim: return trim_some();
    case SimStep::kTruncate: return truncate_some();
    case SimStep::kConfig: config_some(); return {};
    case SimStep::kLeap: return leap();
    case SimStep::kFault: fault_some(); return {};
    case SimStep::kTurn:
    case SimStep::kCount: return turn();
  }
  std::unreachable();
}

// ---------------------------------------------------------------- logs come and go

void StoreSim::open_log() {
  if (logs_.size() >= swarm_.logs_most) return;
  Live& live = logs_[next_log_];
  live.config = swarm_.draw_config(prng_);
  live.log.check_producers = !swarm_.few_producers;
  if (live.config.compact) live.log.may_be_compacted(live.config.delete_retention_ms);
  store_->open_log(LogId{next_log_}, live.config);
  next_log_ += 1;
}

std::string StoreSim::drop_some() { return logs_.empty() ? "" : drop(some_log()); }

std::string StoreSim::drop(Logs::iterator at) {
  const uint64_t id = at->first;
  store_->drop_log(LogId{id});
  logs_.erase(at);
  std::erase_if(producers_, [&](const Producer& producer) { return producer.log == id; });
  std::erase_if(readers_, [&](const Reader& reader) { return reader.log == id; });
  if (store_->offsets(LogId{id})) return "a dropped log is still there";
  return {};
}

// ---------------------------------------------------------------- append

std::string StoreSim::append_some() {
  if (logs_.empty()) open_log();
  const auto at = some_log();
  Producer* producer = nullptr;
  if (prng_.one_in(2)) {
    const auto mine = [&](const Producer& p) { return p.log == at->first; };
    const auto count = static_cast<uint64_t>(std::ranges::count_if(producers_, mine));
    if (count < 3 || prng_.one_in(20)) {
      producers_.push_back({.id = next_producer_++, .log = at->first, .window = {}});
      producer = &producers_.back();
    } else {
      auto skip = prng_.below(count);
      for (Producer& p : producers_)
        if (mine(p) && skip-- == 0) producer = &p;
    }
  }
  return append_to(at, producer);
}

std::string StoreSim::append_to(Logs::iterator at, Producer* producer) {
  auto& [id, live] = *at;
  protocol::BatchBuilder::Options options;
  const bool gap = producer != nullptr && !producer->window.empty() && prng_.one_in(20);
  if (producer != nullptr) {
    options.producer_id = ProducerId{producer->id};
    options.producer_epoch = 0;
    options.base_sequence = producer->next_sequence + (gap ? 1 : 0);
  }
  protocol::BatchBuilder builder(options);
  const bool large = prng_.chance(swarm_.large_percent);
  const auto count = swarm_.same_size ? 1 : static_cast<int32_t>(prng_.between(1, 6));
  std::vector<std::byte> value;
  std::vector<std::optional<std::string>> keys;
  std::vector<bool> tombstones;
  for (int32_t i = 0; i < count; ++i) {
    const size_t most = large ? swarm_.large_bytes / static_cast<size_t>(count) : 2 * swarm_.value_bytes;
    value.resize(scripted_          ? scripted_bytes_ / static_cast<size_t>(count)
                 : swarm_.same_size ? swarm_.value_bytes
                                    : prng_.below(most + 1));
    fill_fast(value, prng_);
    const int64_t jitter = static_cast<int64_t>(prng_.below(static_cast<uint64_t>(swarm_.time_jitter_ms) + 1));
    const bool keyed = live.config.compact || (swarm_.compact && prng_.one_in(2));
    keys.push_back(keyed ? std::optional("key-" + std::to_string(prng_.below(swarm_.keys))) : std::nullopt);
    tombstones.push_back(keyed && prng_.one_in(5));
    protocol::BatchBuilder::Bytes key, content;
    if (keyed) key = std::as_bytes(std::span(*keys.back()));
    if (!tombstones.back()) content = value;
    builder.add(clock_.wall_ms() - jitter, key, content);
  }
  std::vector<std::byte> batch = builder.finish();
  if (prng_.one_in(12)) live.epoch += static_cast<int32_t>(prng_.between(1, 3));
  const BufferChain chain = pool_.chain_of(batch, prng_);
  const auto result = store_->append(LogId{id}, LeaderEpoch{live.epoch}, chain, 0, batch.size());
  if (gap && result.status == AppendStatus::kOutOfOrderSequence) return {};
  if (gap && result.status == AppendStatus::kAppended && !producer->maybe_forgotten && !swarm_.few_producers)
    return "a gap in a producer's sequences was taken";
  if (refusal_is_fine(result.status)) return {};
  if (live.truncate_to && result.status == AppendStatus::kBusy) return {};
  if (result.status != AppendStatus::kAppended)
    return "log " + std::to_string(id) + ": a good batch was refused with status " +
           std::to_string(static_cast<int>(result.status));
  if (live.truncate_to) return "a log that is being truncated takes batches";
  return took(live, result, std::move(batch), producer);
}

bool StoreSim::refusal_is_fine(AppendStatus status) {
  switch (status) {
    case AppendStatus::kBusy: return true;
    case AppendStatus::kRingFull: seen_.ring_full += 1; return true;
    case AppendStatus::kDiskFull: seen_.disk_full += 1; return space_scarce_;
    case AppendStatus::kPoisoned: return store_->poisoned();
    case AppendStatus::kOutOfOrderSequence: return swarm_.few_producers;
    // One that was forgotten for its age had a batch of old sequences taken as new; a replay remembers it all again.
    case AppendStatus::kDuplicate: return swarm_.few_producers;
    default: return false;
  }
}

// An accepted batch, as it was sent, becomes part of what must be.
std::string StoreSim::took(Live& live, const storage::AppendResult& result, std::vector<std::byte> sent,
                           Producer* producer) {
  if (result.base_offset != Offset{live.log.end()}) return "offsets are not dense";
  auto batch = std::make_shared<SimBatch>();
  const auto head = std::span(sent).first<protocol::kBatchHeaderBytes>();
  protocol::store_base_offset(head, result.base_offset);
  protocol::store_partition_leader_epoch(head, LeaderEpoch{live.epoch});
  const auto view = protocol::view_of(sent);
  batch->base = result.base_offset.value();
  batch->next = batch->base + view.records_count();
  batch->epoch = live.epoch;
  batch->max_timestamp = view.max_timestamp();
  protocol::RecordReader records(std::span<const std::byte>(sent).subspan(protocol::kBatchHeaderBytes));
  while (!records.at_end()) batch->timestamps.push_back(view.base_timestamp() + records.next()->timestamp_delta);
  if (producer != nullptr) {
    batch->producer = producer->id;
    batch->first_sequence = view.base_sequence();
  }
  for (protocol::RecordReader reader(std::span<const std::byte>(sent).subspan(protocol::kBatchHeaderBytes));
       !reader.at_end();) {
    const auto record = reader.next().value();
    batch->tombstones.push_back(!record.value.has_value());
    batch->keys.emplace_back();
    if (record.key) batch->keys.back().emplace(reinterpret_cast<const char*>(record.key->data()), record.key->size());
  }
  batch->taken_at_ms = clock_.wall_ms();
  batch->bytes = std::move(sent);
  live.log.append(++seq_, batch);
  waiting_.push_back({result.durable_at, seq_});
  if (producer == nullptr) return {};
  producer->next_sequence = batch->first_sequence + static_cast<int32_t>(batch->timestamps.size());
  producer->maybe_forgotten = false;
  producer->window.push_back({std::move(batch), result.durable_at});
  if (producer->window.size() > 5) producer->window.erase(producer->window.begin());
  return {};
}

// ---------------------------------------------------------------- producers

std::string StoreSim::repeat_some() {
  if (producers_.empty()) return {};
  Producer& producer = producers_[prng_.below(producers_.size())];
  if (producer.window.empty()) return {};
  Live& live = logs_.at(producer.log);
  const auto [batch, durable_at] = producer.window[prng_.below(producer.window.size())];
  const BufferChain chain = pool_.chain_of(batch->bytes, prng_);
  const auto result = store_->append(LogId{producer.log}, LeaderEpoch{live.epoch}, chain, 0, batch->bytes.size());
  if (result.status == AppendStatus::kBusy || result.status == AppendStatus::kPoisoned) return {};
  const bool keyless = std::ranges::any_of(batch->keys, [](const auto& key) { return !key; });
  if (result.status == AppendStatus::kNoKey && live.config.compact && keyless) return {};  // it was another log then
  if (swarm_.few_producers) {
    if (result.status != AppendStatus::kAppended) return {};
    return took(live, result, batch->bytes, &producer);  // it was forgotten, and counts as new
  }
  if (result.status != AppendStatus::kDuplicate)
    return "log " + std::to_string(producer.log) + ": a repeat of producer " + std::to_string(producer.id) +
           "'s batch at offset " + std::to_string(batch->base) + " was answered with status " +
           std::to_string(static_cast<int>(result.status));
  if (result.base_offset != Offset{batch->base}) return "a repeat was answered with another offset";
  // The first one's batch may not be durable yet: nor is the answer.
  if (store_->durable() < durable_at && result.durable_at < durable_at)
    return "a repeat is answered before the batch that it repeats is durable";
  if (durable_at == storage::Lsn{0} && result.durable_at > store_->durable())
    return "a repeat of a batch that was recovered waits";
  seen_.repeats += 1;
  return {};
}

// What the log's end took away, its producers have not sent.
void StoreSim::producers_after_cut(uint64_t log) {
  const SimLog& now = logs_.at(log).log;
  for (Producer& producer : producers_) {
    if (producer.log != log) continue;
    const bool had = !producer.window.empty();
    std::vector<SimBatchPtr> there;
    for (const SimBatchPtr& batch : now.batches())
      if (batch->producer == producer.id) there.push_back(batch);
    // Of a truncation that a crash undid, what was cut off has pushed out older ones.
    const auto last = std::span(there).last(std::min<size_t>(there.size(), 5));
    std::erase_if(producer.window, [&](const Sent& sent) { return std::ranges::find(last, sent.batch) == last.end(); });
    for (const SimBatchPtr& batch : last)
      if (!producer.window.empty() && batch->base > producer.window.back().batch->base)
        producer.window.push_back({batch, storage::Lsn{0}});
    producer.maybe_forgotten = producer.maybe_forgotten || (had && producer.window.empty());
    producer.next_sequence = 0;
    if (!there.empty())
      producer.next_sequence = there.back()->first_sequence + static_cast<int32_t>(there.back()->timestamps.size());
  }
}

void StoreSim::producers_after_crash() {
  std::erase_if(producers_, [&](const Producer& producer) { return !logs_.contains(producer.log); });
  for (const auto& [id, live] : logs_) producers_after_cut(id);
  for (Producer& producer : producers_)
    for (Sent& sent : producer.window) sent.durable_at = storage::Lsn{0};
}

// ---------------------------------------------------------------- beginnings and ends

std::string StoreSim::trim_some() {
  if (logs_.empty()) return {};
  const auto at = some_log();
  if (!at->second.hurt.empty() && prng_.one_in(2)) return trim_past_damage(at);
  const int64_t start = at->second.log.start();
  const auto size = static_cast<uint64_t>(store_->offsets(LogId{at->first})->durable.value() - start);
  return trim_to(at, start + static_cast<int64_t>(prng_.below(size + (prng_.one_in(8) ? 9 : 1))));
}

std::string StoreSim::trim_to(Logs::iterator at, int64_t to) {
  auto& [id, live] = *at;
  const int64_t durable = store_->offsets(LogId{id})->durable.value();
  const auto result = store_->trim(LogId{id}, Offset{to});
  switch (result.status) {
    case storage::TrimStatus::kOffsetOutOfRange: return to > durable ? "" : "a trim inside the log is out of range";
    case storage::TrimStatus::kPoisoned: return store_->poisoned() ? "" : "a trim is refused as poisoned";
    case storage::TrimStatus::kBusy: return {};
    case storage::TrimStatus::kUnknownLog: return "a trim does not know the log";
    case storage::TrimStatus::kTrimmed: break;
  }
  if (to > durable) return "a trim behind the durable end was taken";
  if (to == live.log.start()) return {};
  if (result.log_start_offset != Offset{to}) return "a trim went elsewhere";
  live.log.begin_at(++seq_, to);
  waiting_.push_back({result.durable_at, seq_});
  seen_.trims += 1;
  return {};
}

std::string StoreSim::truncate_some() {
  if (logs_.empty()) return {};
  const auto at = some_log();
  const SimLog& log = at->second.log;
  if (!at->second.hurt.empty()) return {};  // where to cut is told by what may be damaged
  const auto size = static_cast<uint64_t>(log.end() - log.start());
  // Most often a little of the end, as followers do.
  const uint64_t back = prng_.one_in(3) ? prng_.below(size + 1) : prng_.below(std::min<uint64_t>(size, 30) + 1);
  int64_t to = log.end() - static_cast<int64_t>(back);
  if (prng_.one_in(20)) to = log.start() - static_cast<int64_t>(prng_.below(5));
  return truncate_to(at, to);
}

std::string StoreSim::truncate_to(Logs::iterator at, int64_t to) {
  auto& [id, live] = *at;
  if (live.truncate_to) return {};
  to = std::max<int64_t>(to, 0);
  if (!store_->truncate(LogId{id}, Offset{to})) return store_->poisoned() ? "" : "a truncation is refused";
  live.truncate_to = to;
  return {};
}

void StoreSim::config_some() {
  if (logs_.empty()) return;
  auto& [id, live] = *some_log();
  change_config(id, swarm_.draw_config(prng_));
}

// Answers that were begun are sure as long as the files that a compaction replaces are kept: a shorter delay takes
// those that were replaced before at once.
void StoreSim::change_config(uint64_t id, const storage::LogConfig& config) {
  Live& live = logs_.at(id);
  const bool sooner = config.file_delete_delay_ms < live.config.file_delete_delay_ms;
  live.config = config;
  if (config.compact) live.log.may_be_compacted(config.delete_retention_ms);
  if (live.log.is_compacted()) {
    const Nanos until = clock_.monotonic() + (sooner ? 0 : config.file_delete_delay_ms * kMillisecond);
    for (Reader& reader : readers_)
      if (reader.log == id) reader.sure_until = std::min(reader.sure_until.value_or(until), until);
  }
  store_->set_config(LogId{id}, config);
}

// Retention may drop only what is over.
std::string StoreSim::check_retention(const Live& live, int64_t from, int64_t to) {
  const storage::LogConfig& config = live.config;
  if (!config.delete_old || (config.retention_ms < 0 && config.retention_bytes < 0))
    return "its beginning moved from " + std::to_string(from) + " to " + std::to_string(to) + " by itself";
  if (live.log.is_compacted()) return {};  // what is gone made its segment older, and smaller
  if (config.retention_bytes < 0) {
    for (const SimBatchPtr& batch : live.log.batches())
      if (batch->next > from && batch->next <= to && clock_.wall_ms() - batch->max_timestamp <= config.retention_ms)
        return "retention took the batch at offset " + std::to_string(batch->base) + ", which is too young";
  }
  if (config.retention_ms < 0 && live.log.bytes_from(to) < static_cast<uint64_t>(config.retention_bytes))
    return "retention by size left less than it should";
  return {};
}

// Time passes: retention, the scrubber's rest, idle seals.
std::string StoreSim::leap() {
  for (int i = 0; i < 3; ++i) {
    clock_.advance(static_cast<Nanos>(prng_.below(12 * kSecond)));
    if (std::string wrong = turn(); !wrong.empty()) return wrong;
  }
  return {};
}

}  // namespace penstock::sim
