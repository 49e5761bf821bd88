#include "tests/sim/store_sim.h"

#include <algorithm>

namespace penstock::sim {

using storage::AppendStatus;
using storage::LogId;

namespace {
constexpr size_t kRingBytes = 4 * kMiB;
constexpr size_t kAlign = 4096;
}  // namespace

StoreSim::StoreSim(uint64_t seed)
    : prng_(seed, 1), disk_(clock_, seed), store_prng_(seed, 2), memory_(kRingBytes + kAlign) {
  disk_.make_durable_dir("data");
}

std::string StoreSim::open() {
  std::vector<storage::LogToOpen> live;
  for (const auto& [id, model] : logs_) live.push_back({LogId{id}});
  storage::StoreRequest request{.folder = "data",
                                .disk = &disk_,
                                .clock = &clock_,
                                .prng = &store_prng_,
                                .counters = &counters_,
                                .live_logs = live,
                                .next_log_id = LogId{next_log_}};
  request.options.ring_bytes = kRingBytes;
  request.options.producers_max = 8;
  request.allocate = [&](size_t bytes) {
    const auto at = reinterpret_cast<uintptr_t>(memory_.data());
    return std::span(memory_).subspan(align_up(at, kAlign) - at, bytes);
  };
  // Power may go while it recovers; then it starts again.
  for (int attempt = 0;; ++attempt) {
    if (attempt < 3 && prng_.one_in(6)) disk_.faults().power_off_in = prng_.between(1, 20);
    auto opened = storage::Store::open(request);
    disk_.faults().power_off_in = 0;
    if (opened) {
      store_ = std::move(*opened);
      return disk_.is_off() ? "a store opened without power" : check_after_open();
    }
    if (!disk_.is_off()) return "open refused: " + opened.error().what;
    disk_.power_on();
    crashes_ += 1;
  }
}

std::string StoreSim::check_after_open() {
  waiting_.clear();  // of the life before
  for (auto& [id, model] : logs_) {
    const auto bytes = read_all(*store_, LogId{id}, [this] { turn(); });
    if (!bytes) return "log " + std::to_string(id) + " cannot be read";
    if (std::string wrong = model.settle_after_crash(*bytes); !wrong.empty())
      return "log " + std::to_string(id) + ": " + wrong;
    const auto offsets = store_->offsets(LogId{id});
    if (offsets->log_end_offset != Offset{model.end_offset} || offsets->durable != offsets->log_end_offset)
      return "log " + std::to_string(id) + ": wrong end after recovery";
  }
  // What a producer had in flight may be there or not: it goes on under a new id, as a client that starts again does.
  producers_.clear();
  return {};
}

std::string StoreSim::append_some() {
  if (logs_.empty()) return {};
  auto it = std::next(logs_.begin(), static_cast<int64_t>(prng_.below(logs_.size())));
  const LogId log{it->first};
  protocol::BatchBuilder::Options options;
  Producer* producer = nullptr;
  if (prng_.one_in(2)) {
    if (producers_.empty() || prng_.one_in(5))
      producers_.push_back({.id = next_producer_++, .log = log, .last_sent = {}});
    producer = &producers_[prng_.below(producers_.size())];
    if (producer->log != log) producer = nullptr;
  }
  if (producer != nullptr) {
    options.producer_id = ProducerId{producer->id};
    options.producer_epoch = producer->epoch;
    options.base_sequence = producer->next_sequence;
  }
  const bool large = prng_.one_in(40);
  const auto count = static_cast<int32_t>(prng_.between(1, 6));
  const auto batch = random_batch(prng_, count, large ? 150'000 : 300, options);
  const BufferChain chain = pool_.chain_of(batch, prng_);
  const auto result = store_->append(log, LeaderEpoch{0}, chain, 0, batch.size());
  if (result.status == AppendStatus::kRingFull || result.status == AppendStatus::kBusy ||
      result.status == AppendStatus::kPoisoned)
    return {};
  if (result.status != AppendStatus::kAppended) return "append refused a good batch";
  if (result.base_offset != Offset{it->second.end_offset}) return "offsets are not dense";
  it->second.take(result.base_offset.value(), batch);
  waiting_.push_back({result.durable_at, log, it->second.batches.size() - 1});
  if (producer == nullptr) return {};
  producer->last_sent = batch;
  producer->last_offset = result.base_offset.value();
  producer->next_sequence += count;
  return {};
}

std::string StoreSim::repeat_some() {
  if (producers_.empty()) return {};
  Producer& producer = producers_[prng_.below(producers_.size())];
  if (producer.last_sent.empty() || !logs_.contains(producer.log.value())) return {};
  const BufferChain chain = pool_.chain_of(producer.last_sent, prng_);
  const auto result = store_->append(producer.log, LeaderEpoch{0}, chain, 0, producer.last_sent.size());
  // A producer that was pushed out by eight others is not known any more: its repeat would count as new.
  if (result.status == AppendStatus::kAppended) {
    if (producers_.size() <= 8) return "a repeat was appended";
    LogModel& model = logs_[producer.log.value()];
    model.take(result.base_offset.value(), producer.last_sent);
    producer.last_offset = result.base_offset.value();
    waiting_.push_back({result.durable_at, producer.log, model.batches.size() - 1});
    return {};
  }
  if (result.status == AppendStatus::kDuplicate && result.base_offset != Offset{producer.last_offset})
    return "a repeat was answered with another offset";
  return {};
}

void StoreSim::turn() {
  store_->submit();
  clock_.advance(static_cast<Nanos>(prng_.below(prng_.one_in(10) ? 200 * kMillisecond : 300 * kMicrosecond)));
  store_->poll();
  std::erase_if(waiting_, [&](const Waiting& w) {
    if (w.durable_at > store_->durable()) return false;
    if (const auto it = logs_.find(w.log.value()); it != logs_.end()) {
      it->second.batches[w.batch].acked = true;
      acked_ += 1;
    }
    return true;
  });
}

std::string StoreSim::drop_some() {
  const bool full = logs_.size() > 6 || prng_.one_in(4);
  if (!logs_.empty() && full) {
    const auto it = std::next(logs_.begin(), static_cast<int64_t>(prng_.below(logs_.size())));
    store_->drop_log(LogId{it->first});
    logs_.erase(it);
    return {};
  }
  store_->open_log(LogId{next_log_});
  logs_[next_log_++] = {};
  return {};
}

std::string StoreSim::read_some() {
  if (logs_.empty()) return {};
  const auto it = std::next(logs_.begin(), static_cast<int64_t>(prng_.below(logs_.size())));
  const auto bytes = read_all(*store_, LogId{it->first}, [this] { turn(); });
  if (!bytes) return "log cannot be read";
  size_t at = 0;
  for (const auto& batch : it->second.batches) {
    if (at == bytes->size()) return batch.acked ? "an acked batch is not served" : "";
    if (!std::ranges::equal(std::span(*bytes).subspan(at, std::min(batch.bytes.size(), bytes->size() - at)),
                            batch.bytes))
      return "served bytes differ";
    at += batch.bytes.size();
  }
  return at == bytes->size() ? "" : "served bytes that nobody produced";
}

std::string StoreSim::step() {
  const uint64_t dice = prng_.below(100);
  if (dice < 55) return append_some();
  if (dice < 60) return repeat_some();
  if (dice < 62) return drop_some();
  if (dice < 64) return read_some();
  turn();
  return {};
}

std::string StoreSim::end_life() {
  if (prng_.one_in(4)) {
    store_->begin_stop();
    for (int i = 0; i < 1000 && !store_->stopped(); ++i) turn();
    if (!store_->stopped()) return "the store does not stop";
    for (const auto& [id, model] : logs_)
      for (const auto& batch : model.batches)
        if (!batch.acked) return "a stopped store left a batch behind";
  } else {
    disk_.lose_power();
    crashes_ += 1;
  }
  store_.reset();
  disk_.crash();
  disk_.power_on();
  return {};
}

std::string StoreSim::run(int lives, int steps_a_life) {
  for (int life = 0; life < lives; ++life) {
    if (std::string wrong = open(); !wrong.empty()) return wrong;
    const auto steps = prng_.between(1, static_cast<uint64_t>(steps_a_life));
    for (uint64_t i = 0; i < steps; ++i)
      if (std::string wrong = step(); !wrong.empty()) return wrong;
    if (std::string wrong = end_life(); !wrong.empty()) return wrong;
  }
  return open();
}

}  // namespace penstock::sim
