#include "tests/sim/store_sim.h"

#include <algorithm>
#include <array>

namespace penstock::sim {

using storage::LogId;

namespace {

constexpr size_t kAlign = 4096;
constexpr const char* kFolder = "data";
constexpr int kPatience = 20'000;  // turns

// One for the process: fresh pages cost more than a seed's work.
std::span<std::byte> ring_memory(size_t bytes) {
  static std::vector<std::byte> memory;
  if (memory.size() < bytes + kAlign) memory.resize(bytes + kAlign);
  const auto at = reinterpret_cast<uintptr_t>(memory.data());
  return std::span(memory).subspan(align_up(at, kAlign) - at, bytes);
}

std::string of_log(uint64_t id, const std::string& wrong) { return "log " + std::to_string(id) + ": " + wrong; }

}  // namespace

std::optional<int64_t> take_batches(std::vector<std::byte>& bytes, std::vector<std::vector<std::byte>>& batches) {
  std::optional<int64_t> next;
  size_t at = 0;
  while (bytes.size() - at >= protocol::kBatchHeaderBytes) {
    const auto batch = protocol::view_of(std::span(bytes).subspan(at));
    const auto total = batch.total_bytes();
    if (total < static_cast<int64_t>(protocol::kBatchHeaderBytes) || static_cast<size_t>(total) > bytes.size() - at)
      break;
    next = batch.last_offset().value() + 1;
    const auto whole = std::span(bytes).subspan(at, static_cast<size_t>(total));
    batches.emplace_back(whole.begin(), whole.end());
    at += whole.size();
  }
  bytes.clear();
  return next;
}

StoreSim::StoreSim(uint64_t seed, const Swarm& swarm)
    : seed_(seed), swarm_(swarm), prng_(seed, 1), disk_(clock_, seed), store_prng_(seed, 2) {
  disk_.make_durable_dir(kFolder);
  disk_.faults().tear_unit = prng_.one_in(2) ? 512 : 4096;
}

// ---------------------------------------------------------------- a life begins

std::string StoreSim::open_store(std::string& refused) {
  std::vector<storage::LogToOpen> live;
  // Nothing moves by itself until it was compared with what must be.
  for (const auto& [id, log] : logs_) {
    live.push_back({LogId{id}, log.config});
    live.back().config.delete_old = false;
    live.back().config.compact = false;
  }
  const storage::StorageOptions options = swarm_.draw_options(prng_);
  link_ = std::make_unique<storage::CompactionLink>();
  cleaner_ = std::make_unique<storage::Cleaner>(
      cleaner_port_, clock_,
      storage::Cleaner::Options{.folder = kFolder,
                                .map_bytes = static_cast<uint64_t>(options.cleaner_map_bytes),
                                .bytes_per_second = static_cast<uint64_t>(options.cleaner_bytes_per_second),
                                .reserve_bytes = static_cast<uint64_t>(options.disk_reserve_bytes),
                                .secret = {store_prng_.next(), store_prng_.next()}});
  cleaner_->attach(*link_);
  storage::StoreRequest request{.folder = kFolder,
                                .options = options,
                                .disk = &store_port_,
                                .clock = &clock_,
                                .prng = &store_prng_,
                                .counters = &counters_,
                                .live_logs = live,
                                .next_log_id = LogId{next_log_},
                                .known_life = known_life_,
                                .allocate = ring_memory,
                                .compaction = link_.get(),
                                .accept_loss_at = {}};
  auto opened = storage::Store::open(request);
  if (opened) {
    store_ = std::move(*opened);
    // Control's part, which a crash may come before.
    if (!disk_.is_off() && !store_prng_.one_in(8)) known_life_ = store_->life();
    return {};
  }
  refused = opened.error().what;
  return {};
}

std::string StoreSim::open() {
  poison_armed_ = segment_fails_ = read_fails_ = space_scarce_ = false;
  bool lie_struck = false;
  for (int attempt = 0;; ++attempt) {
    end_faults();
    DiskFaults& faults = disk_.faults();
    if (attempt < 6 && prng_.chance(swarm_.recovery_crash_percent)) {
      faults.power_off_in = prng_.between(1, 60);
      faults.power_off_behind = prng_.one_in(2);
    }
    const bool eio = attempt < 6 && swarm_.has(SimFault::kReadEio) && prng_.one_in(4);
    if (eio) faults.read_eio_in = prng_.between(1, 8);
    std::string refused;
    if (std::string wrong = open_store(refused); !wrong.empty()) return wrong;
    lie_struck = disk_.take_broken_promise() || lie_struck;
    if (disk_.is_off()) {
      drop_store();
      disk_.power_on();
      seen_.recoveries_cut += 1;
      continue;
    }
    const bool eio_struck = eio && faults.read_eio_in == 0;
    end_faults();
    if (refused.empty()) break;
    if (eio_struck) {
      disk_.kill_process();
      drop_store();
      continue;
    }
    if (!lie_struck) return "refused to open: " + refused;
    is_over_ = true;
    seen_.lies_struck += 1;
    seen_.refused_after_a_lie += 1;
    return check_refusal(refused);
  }
  waiting_.clear();
  readers_.clear();
  watching_ = false;
  if (std::string wrong = lie_struck ? settle_after_a_lie() : settle_logs(); !wrong.empty()) return wrong;
  begin_life();
  return {};
}

void StoreSim::begin_life() {
  for (auto& [id, live] : logs_) {
    live.truncate_to.reset();
    store_->set_config(LogId{id}, live.config);
  }
  watching_ = true;
  seq_ = sure_seq_ = 0;
  producers_after_crash();
}

// Everything in the log, as a fetch would read it.
std::string StoreSim::read_log(uint64_t id, SimLog::Found& found) {
  int waits = 0;
  std::optional<int64_t> from;
  std::vector<std::byte> bytes;
  for (;;) {
    const auto offsets = store_->offsets(LogId{id});
    if (!offsets) return "it is not there";
    if (!from || *from < offsets->log_start_offset.value()) {
      from = found.start = offsets->log_start_offset.value();  // also again, if retention moved it
      found.batches.clear();
    }
    found.end = offsets->log_end_offset.value();
    if (*from >= offsets->durable.value()) return {};
    const auto plan = store_->plan_read(LogId{id}, Offset{*from}, UINT64_MAX, true);
    bool wait = plan.status == storage::ReadStatus::kPending;
    if (plan.status == storage::ReadStatus::kDamaged) return "it is damaged";
    if (plan.status == storage::ReadStatus::kGone) return "it is gone";
    auto cursor = plan.cursor;
    // Where a cut fell on what compaction took away, nothing lies before the end.
    if (plan.status == storage::ReadStatus::kReady && cursor.remaining == 0)
      return logs_.at(id).log.is_compacted() ? "" : "a durable batch is not served";
    bool lost = false;
    while (!wait && cursor.remaining > 0) {
      std::array<std::span<const std::byte>, 5> pieces;
      const auto count = store_->view(cursor, 300'000, pieces);
      if (!count && count.error().code == Errc::kWouldBlock) {
        if (waits++ > kPatience) return "a read from the drive does not end";
        if (std::string wrong = turn(); !wrong.empty()) return wrong;
        continue;
      }
      lost = !count && count.error().code == Errc::kNotFound;
      if (lost) break;
      if (!count || *count == 0) return "it cannot be read";
      size_t n = 0;
      for (const auto piece : std::span(pieces).first(*count)) {
        bytes.insert(bytes.end(), piece.begin(), piece.end());
        n += piece.size();
      }
      store_->advance(cursor, n);
    }
    if (wait || lost) {
      bytes.clear();
      if (waits++ > kPatience) return "a read from the drive does not end";
      if (std::string wrong = turn(); !wrong.empty()) return wrong;
      continue;
    }
    const auto next = take_batches(bytes, found.batches);
    if (!next) return "an answer holds no whole batch";
    from = *next;
  }
}

// No lie of the disk excuses a loss.
std::string StoreSim::settle_logs() {
  const uint64_t sure = sure_seq_;
  SimLog::Kept all;
  for (const auto& [id, live] : logs_) {
    const auto offsets = store_->offsets(LogId{id});
    if (!offsets) return of_log(id, "it is not there after a recovery");
    if (offsets->durable != offsets->log_end_offset) return of_log(id, "not all of it is durable after a recovery");
  }
  for (auto& [id, live] : logs_) {
    SimLog::Found found;
    std::string wrong = live.hurt.empty() ? read_log(id, found) : read_hurt(id, found);
    if (!wrong.empty()) return of_log(id, wrong);
    SimLog::Kept kept;
    wrong = live.log.settle(found, sure, kept, clock_.wall_ms());
    if (!wrong.empty()) return of_log(id, wrong);
    all.last_kept = std::max(all.last_kept, kept.last_kept);
    all.first_lost = std::min(all.first_lost, kept.first_lost);
  }
  if (all.last_kept > all.first_lost) return "an append is there, and one of another log before it is not";
  return {};
}

// ---------------------------------------------------------------- a turn

void StoreSim::drop_store() {
  store_.reset();
  cleaner_.reset();
  link_.reset();
  ports_.forget();
}

// The cleaner's thread comes to run now and then; what it does takes the drive's time.
void StoreSim::clean_some() {
  if (!swarm_.compact || !prng_.one_in(2)) return;
  for (uint64_t steps = prng_.below(12); steps > 0 && !disk_.is_off(); --steps)
    if (!cleaner_->step()) return;
}

std::string StoreSim::turn() {
  clean_some();
  store_->submit();
  if (std::string wrong = watch(); !wrong.empty()) return wrong;
  const bool is_long = prng_.chance(swarm_.long_turn_percent);
  clock_.advance(
      static_cast<Nanos>(prng_.below(static_cast<uint64_t>(is_long ? 200 * kMillisecond : swarm_.turn_most))));
  store_->poll();
  take_acks();
  if (store_->poisoned() && !may_poison() && !disk_.is_off()) return "the ring is fenced, and no fault was asked for";
  return {};
}

// What the store does by itself in submit(): truncations end, retention moves beginnings.
std::string StoreSim::watch() {
  seq_ += 1;
  if (!watching_) return {};
  for (auto& [id, live] : logs_) {
    const auto offsets = store_->offsets(LogId{id});
    if (!offsets) return of_log(id, "it has vanished");
    const int64_t start = offsets->log_start_offset.value();
    const int64_t end = offsets->log_end_offset.value();
    if (start > live.log.start()) {
      if (std::string wrong = check_retention(live, live.log.start(), start); !wrong.empty()) return of_log(id, wrong);
      live.log.begin_at(seq_, start);
    }
    if (live.truncate_to && !store_->truncating(LogId{id})) {
      int64_t cut = live.log.cut_of(*live.truncate_to);
      // Where compaction took the batch away, the cut falls where it was asked for.
      if (live.log.is_compacted() && end != cut && end == std::max(*live.truncate_to, live.log.start())) cut = end;
      if (cut < live.log.end()) {
        live.log.cut(seq_, cut);
        producers_after_cut(id);
        std::erase_if(readers_, [&](const Reader& reader) { return reader.log == id; });
        seen_.truncations += 1;
      }
      live.truncate_to.reset();
    }
    if (start != live.log.start() || end != live.log.end())
      return of_log(id, "it is from " + std::to_string(start) + " to " + std::to_string(end) + ", not from " +
                            std::to_string(live.log.start()) + " to " + std::to_string(live.log.end()));
    if (offsets->durable < offsets->log_start_offset || offsets->durable > offsets->log_end_offset)
      return of_log(id, "its durable offset lies outside of it");
  }
  return {};
}

void StoreSim::take_acks() {
  std::erase_if(waiting_, [&](const Waiting& w) {
    if (w.durable_at > store_->durable()) return false;
    sure_seq_ = std::max(sure_seq_, w.seq);
    seen_.acked += 1;
    return true;
  });
}

// ---------------------------------------------------------------- a life ends

std::string StoreSim::end_life() {
  std::string wrong;
  if (disk_.is_off()) {
    seen_.crashes += 1;
  } else if (store_->poisoned()) {
    seen_.poisoned += 1;
    prng_.one_in(2) ? disk_.lose_power() : disk_.kill_process();
  } else if (prng_.chance(swarm_.stop_percent)) {
    wrong = stop();
    if (disk_.is_off()) wrong.clear();
    if (prng_.one_in(2)) disk_.lose_power();
  } else {
    if (prng_.one_in(3)) wrong = check_goes_on();
    if (disk_.is_off()) wrong.clear();
    if (prng_.chance(swarm_.kill_percent)) {
      disk_.kill_process();
      seen_.kills += 1;
    } else {
      disk_.lose_power();
      seen_.crashes += 1;
    }
  }
  disk_.kill_process();  // if it has power: what is still in flight
  drop_store();
  if (disk_.is_off()) disk_.power_on();
  return wrong;
}

std::string StoreSim::stop() {
  const bool clean = prng_.chance(70);
  if (clean) end_faults();
  store_->begin_stop();
  for (int i = 0; i < kPatience && !store_->stopped(); ++i) {
    if (std::string wrong = turn(); !wrong.empty()) return wrong;
    clock_.advance(500 * kMicrosecond);
  }
  if (!store_->stopped()) return "the store does not stop";
  seen_.stops += 1;
  if (disk_.ops_in_flight() > 0) return "a stopped store has ops in flight";
  return store_->poisoned() ? "" : check_stopped();
}

std::string StoreSim::check_stopped() {
  if (!waiting_.empty()) return "a stopped store left something behind that is not durable";
  const storage::StoreHealth health = store_->health();
  if (health.buffers_held > 0) return "a stopped store holds buffers";
  if (health.files_held > 0) return "a stopped store holds files";
  return {};
}

std::string StoreSim::run(int lives, int steps_a_life) {
  for (int life = 0; life < lives; ++life) {
    if (std::string wrong = open(); !wrong.empty()) return "life " + std::to_string(life) + ": " + wrong;
    if (is_over_) return {};
    // A recovery of a recovery is the same.
    while (prng_.one_in(6)) {
      prng_.one_in(3) ? disk_.kill_process() : disk_.crash();
      drop_store();
      if (std::string wrong = open(); !wrong.empty()) return "life " + std::to_string(life) + ", again: " + wrong;
      if (is_over_) return {};
    }
    const auto steps = prng_.between(1, static_cast<uint64_t>(steps_a_life));
    for (uint64_t i = 0; i < steps && !disk_.is_off(); ++i) {
      std::string wrong = step();
      if (!wrong.empty() && !disk_.is_off())
        return "life " + std::to_string(life) + ", step " + std::to_string(i) + ": " + wrong;
      if (store_->poisoned() && prng_.one_in(20)) break;
    }
    const std::string wrong = end_life();
    if (!wrong.empty()) return "end of life " + std::to_string(life) + ": " + wrong;
    for (const SimFault fault : {SimFault::kRot, SimFault::kUnreadable})
      if (swarm_.has(fault) && prng_.one_in(2)) hurt_some(fault);
  }
  return open();
}

}  // namespace penstock::sim
