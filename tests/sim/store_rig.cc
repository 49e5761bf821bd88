#include "tests/sim/store_rig.h"

#include <algorithm>

#include "storage/ring/state_slots.h"

namespace penstock::sim {

using storage::LogId;

StoreRig::StoreRig(uint64_t seed, std::vector<uint64_t> ids)
    : disk(clock, seed), prng(seed, 3), memory_(kRingBytes + 4096) {
  options.ring_bytes = kRingBytes;
  disk.make_durable_dir("data");
  for (const uint64_t id : ids) logs[id] = {};
}

std::string StoreRig::open(std::optional<uint64_t> accept_loss_at) {
  std::vector<storage::LogToOpen> live;
  if (disk.exists("data/ring-" + std::to_string(ring_index)))
    for (const auto& [id, model] : logs) live.push_back({LogId{id}, config});
  if (compaction) {
    link = std::make_unique<storage::CompactionLink>();
    cleaner = std::make_unique<storage::Cleaner>(
        cleaner_port, clock,
        storage::Cleaner::Options{.folder = "data",
                                  .map_bytes = static_cast<uint64_t>(options.cleaner_map_bytes),
                                  .bytes_per_second = static_cast<uint64_t>(options.cleaner_bytes_per_second),
                                  .secret = {prng.next(), prng.next()}});
    cleaner->attach(*link);
  }
  storage::StoreRequest request{.folder = "data",
                                .ring_index = ring_index,
                                .options = options,
                                .disk = compaction ? static_cast<storage::Disk*>(&store_port) : &disk,
                                .clock = &clock,
                                .prng = &prng,
                                .counters = &counters,
                                .live_logs = live,
                                .next_log_id = LogId{next_log},
                                .is_foreign = is_foreign,
                                .known_life = known_life,
                                .compaction = link.get(),
                                .accept_loss_at = accept_loss_at,
                                .should_stop = should_stop};
  request.allocate = [&](size_t bytes) {
    asked_for.push_back(bytes);
    if (no_memory) return std::span<std::byte>();
    memory_.resize(std::max(memory_.size(), bytes + 4096));
    const auto at = reinterpret_cast<uintptr_t>(memory_.data());
    return std::span(memory_).subspan(align_up(at, 4096) - at, bytes);
  };
  if (gives_cache) {
    request.allocate_cache = [&](size_t bytes) {
      cache = no_memory ? MappedMemory() : MappedMemory(bytes);
      return cache.span();
    };
  }
  auto opened = storage::Store::open(request);
  if (!opened) return opened.error().what;
  store = std::move(*opened);
  for (const auto& [id, model] : logs) store->open_log(LogId{id}, config);
  return {};
}

bool StoreRig::append(size_t value_bytes) {
  const auto it = std::next(logs.begin(), static_cast<int64_t>(prng.below(logs.size())));
  return append_batch(it->first, random_batch(prng, static_cast<int32_t>(prng.between(1, 3)), value_bytes)).status ==
         storage::AppendStatus::kAppended;
}

std::optional<storage::AppendResult> StoreRig::append_to(uint64_t log, size_t bytes,
                                                         protocol::BatchBuilder::Options batch_options) {
  protocol::BatchBuilder builder(batch_options);
  std::vector<std::byte> value(bytes);
  fill_fast(value, prng);
  builder.add(clock.wall_ms(), std::nullopt, value);
  const auto result = append_batch(log, builder.finish());
  if (result.status != storage::AppendStatus::kAppended) return std::nullopt;
  return result;
}

storage::AppendResult StoreRig::append_batch(uint64_t log, std::vector<std::byte> batch) {
  const auto result = store->append(LogId{log}, LeaderEpoch{0}, pool_.chain_of(batch, prng), 0, batch.size());
  if (result.status != storage::AppendStatus::kAppended) return result;
  LogModel& model = logs.at(log);
  model.take(result.base_offset.value(), std::move(batch));
  waiting_.push_back({result.durable_at, log, model.batches.size() - 1});
  return result;
}

bool StoreRig::turn_until(const std::function<bool()>& done) {
  for (int i = 0; i < 60'000; ++i) {
    if (done()) return true;
    turn();
  }
  return done();
}

void StoreRig::turn() {
  if (cleaner) cleaner->step();
  store->submit();
  clock.advance(kMillisecond);
  store->poll();
  std::erase_if(waiting_, [&](const Waiting& w) {
    if (w.durable_at > store->durable()) return false;
    logs[w.log].batches[w.batch].acked = true;
    return true;
  });
}

void StoreRig::settle() {
  for (int i = 0; i < 300; ++i) turn();
}

void StoreRig::stop() {
  store->begin_stop();
  const bool stopped = turn_until([&] { return store->stopped(); });
  CHECK(stopped);
  disk.kill_process();
  drop_store();
  waiting_.clear();
}

void StoreRig::drop_store() {
  store.reset();
  cleaner.reset();
  link.reset();
  ports.forget();
}

void StoreRig::crash() {
  disk.lose_power();
  drop_store();
  disk.power_on();
  waiting_.clear();
}

std::string StoreRig::check_acked() {
  for (const auto& [id, model] : logs) {
    const auto bytes = read_all(*store, LogId{id}, [this] { turn(); });
    if (!bytes) return "log " + std::to_string(id) + " cannot be read";
    LogModel copy = model;
    if (std::string wrong = copy.settle_after_crash(*bytes); !wrong.empty()) return wrong;
  }
  return {};
}

uint64_t StoreRig::acked() const {
  uint64_t count = 0;
  for (const auto& [id, model] : logs)
    count += static_cast<uint64_t>(std::ranges::count_if(model.batches, &LogModel::Batch::acked));
  return count;
}

const char* StoreRig::newest_state() const {
  const auto sequence = [&](const char* path) {
    const auto head = storage::decode_slot_head(disk.contents(path));
    return head ? head->sequence : 0;
  };
  return sequence(kStates[0]) > sequence(kStates[1]) ? kStates[0] : kStates[1];
}

}  // namespace penstock::sim
