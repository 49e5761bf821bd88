#include "tests/sim/swarm.h"

namespace penstock::sim {

namespace {

// Most seeds leave some things out, and do some much more often than others.
unsigned weight(Prng& prng, unsigned usual) {
  switch (prng.below(6)) {
    case 0: return 0;
    case 1: return usual * 4;
    case 2: return usual / 2;
    default: return usual;
  }
}

}  // namespace

Swarm::Swarm(uint64_t seed) {
  Prng prng(seed, 0x5a3a);
  const auto set = [&](SimStep step, unsigned usual) { weights[static_cast<size_t>(step)] = weight(prng, usual); };
  weights[static_cast<size_t>(SimStep::kAppend)] = static_cast<unsigned>(prng.between(25, 60));
  weights[static_cast<size_t>(SimStep::kTurn)] = static_cast<unsigned>(prng.between(15, 50));
  set(SimStep::kRepeat, 4);
  set(SimStep::kOpenLog, 2);
  set(SimStep::kDropLog, 1);
  set(SimStep::kPlan, 5);
  set(SimStep::kReadOn, 8);
  set(SimStep::kFindTime, 2);
  set(SimStep::kEpochEnd, 1);
  set(SimStep::kTrim, 1);
  set(SimStep::kTruncate, 2);
  set(SimStep::kConfig, 1);
  set(SimStep::kLeap, 1);
  set(SimStep::kFault, 3);
  for (bool& on : faults) on = prng.one_in(4);
  if (prng.one_in(5)) faults.fill(false);
  faults[static_cast<size_t>(SimFault::kLies)] = prng.one_in(8);
  // What a lie hurts is not known; what rots is.
  if (has(SimFault::kLies))
    faults[static_cast<size_t>(SimFault::kRot)] = faults[static_cast<size_t>(SimFault::kUnreadable)] = false;
  const bool hurt = has(SimFault::kRot) || has(SimFault::kUnreadable);
  if (hurt && !prng.one_in(4)) weights[static_cast<size_t>(SimStep::kTruncate)] = 0;
  ring_bytes = (4 + prng.below(3)) * kMiB;
  logs_most = prng.between(1, 8);
  value_bytes = prng.one_in(2) ? prng.between(2'000, 15'000) : prng.between(10, 600);
  large_percent = prng.one_in(3) ? 15 : 3;
  large_bytes = prng.one_in(8) ? 600'000 : prng.between(20'000, 200'000);
  same_size = prng.one_in(4);
  time_jitter_ms = prng.one_in(2) ? 20 : 5'000;
  segment_bytes_min = prng.one_in(2) ? 16 * kKiB : 64 * kKiB;
  segment_bytes_max = segment_bytes_min + prng.below(240) * kKiB;
  if (hurt && prng.one_in(2)) segment_bytes_max += 600 * kKiB;  // several blocks of a cold read
  small_caches = prng.one_in(3);
  few_files = prng.one_in(3);
  few_producers = prng.one_in(6);
  scrub = prng.one_in(3);
  retention = prng.one_in(3);
  compact = prng.one_in(2);
  keys = prng.one_in(3) ? 3 : prng.between(5, 200);
  stop_percent = prng.one_in(4) ? 60 : 25;
  kill_percent = prng.one_in(2) ? 30 : 0;
  recovery_crash_percent = prng.one_in(3) ? 60 : 10;
  turn_most = prng.one_in(3) ? 2 * kMillisecond : 300 * kMicrosecond;
  long_turn_percent = prng.one_in(3) ? 0 : 10;
}

SimStep Swarm::draw_step(Prng& prng) const {
  unsigned sum = 0;
  for (const unsigned w : weights) sum += w;
  auto dice = static_cast<unsigned>(prng.below(sum));
  size_t step = 0;
  for (; dice >= weights[step]; ++step) dice -= weights[step];
  return static_cast<SimStep>(step);
}

storage::StorageOptions Swarm::draw_options(Prng& prng) const {
  storage::StorageOptions options;
  options.ring_bytes = static_cast<int64_t>(ring_bytes);
  options.read_cache_bytes = small_caches && prng.one_in(2) ? kMiB : 4 * kMiB;
  options.index_cache_bytes = small_caches ? static_cast<int64_t>(prng.between(1, 4'000)) : kMiB;
  options.open_files_max = few_files ? static_cast<int64_t>(prng.between(3, 12)) : 512;
  options.disk_reserve_bytes = static_cast<int64_t>(prng.below(2 * kMiB));
  options.scrub_bytes_per_second = scrub ? static_cast<int64_t>(prng.between(1, 64) * kMiB) : 0;
  options.retention_check_ms = static_cast<int64_t>(prng.between(1, 500));
  options.producers_max = few_producers ? 8 : 10'000;
  options.producer_expiration_ms =
      few_producers && prng.one_in(2) ? static_cast<int64_t>(prng.between(1, 2'000)) : 1'000'000'000;
  options.ring_seal_ms = static_cast<int64_t>(prng.between(1, 100));
  options.unflushed_max_bytes = static_cast<int64_t>(prng.between(2, 32) * kMiB);
  options.cleaner_backoff_ms = static_cast<int64_t>(prng.below(30));
  options.cleaner_map_bytes = prng.one_in(2) ? static_cast<int64_t>(prng.between(100, 4'000)) : 1 << 16;
  options.cleaner_bytes_per_second = prng.one_in(3) ? static_cast<int64_t>(prng.between(1, 64) * kMiB) : INT64_MAX;
  return options;
}

storage::LogConfig Swarm::draw_config(Prng& prng) const {
  storage::LogConfig config;
  config.segment_bytes = prng.between(segment_bytes_min, segment_bytes_max);
  if (prng.one_in(4)) config.segment_ms = static_cast<int64_t>(prng.between(1, 2'000));
  config.retention_ms = -1;
  if (compact && prng.chance(compact_percent)) {
    config.compact = true;
    config.delete_old = prng.one_in(4);
    config.delete_retention_ms = static_cast<int64_t>(prng.one_in(2) ? prng.below(300) : prng.below(20'000));
    config.min_cleanable_dirty_ratio = static_cast<double>(prng.below(60)) / 100;
    if (prng.one_in(3)) config.min_compaction_lag_ms = static_cast<int64_t>(prng.below(500));
    if (prng.one_in(2)) config.max_compaction_lag_ms = static_cast<int64_t>(prng.between(1, 100));
    config.file_delete_delay_ms = static_cast<int64_t>(prng.one_in(2) ? prng.below(20) : prng.below(5'000));
  }
  if (!retention) return config;
  if (prng.one_in(2)) config.retention_ms = static_cast<int64_t>(prng.between(10, 5'000));
  if (prng.one_in(2)) config.retention_bytes = static_cast<int64_t>(prng.below(600) * kKiB);
  if (!config.compact) config.delete_old = !prng.one_in(6);
  return config;
}

}  // namespace penstock::sim
