// What the disk does to StoreSim.
#include <fmt/format.h>

#include <array>

#include "storage/segment/segment_path.h"
#include "tests/sim/store_sim.h"

namespace penstock::sim {

using storage::LogId;

void StoreSim::fault_some() {
  auto fault = static_cast<SimFault>(prng_.below(static_cast<uint64_t>(SimFault::kCount)));
  if (swarm_.has(SimFault::kLies) && prng_.one_in(3)) fault = SimFault::kLies;  // most of them strike nothing
  if (!swarm_.has(fault)) return;
  DiskFaults& faults = disk_.faults();
  switch (fault) {
    case SimFault::kSegmentEio:
    case SimFault::kSegmentShort:
      if (faults.fail_write_in + faults.short_write_in > 0) return;
      faults.write_faults_under = "data/logs/";
      (fault == SimFault::kSegmentEio ? faults.fail_write_in : faults.short_write_in) = prng_.between(1, 6);
      return;
    case SimFault::kSegmentEioAlways:
      if (!faults.fail_writes_always.empty()) {
        faults.fail_writes_always.clear();
      } else if (!logs_.empty()) {
        faults.fail_writes_always = storage::log_path("data", LogId{some_log()->first});
        segment_fails_ = true;
      }
      return;
    case SimFault::kNoSpaceOnce: faults.enospc_in = prng_.between(1, 5); return;
    case SimFault::kFullDisk:
      space_scarce_ = true;
      faults.capacity_bytes = faults.capacity_bytes != 0 ? 0 : disk_.allocated_bytes() + prng_.below(4 * kMiB);
      if (prng_.one_in(2)) clock_.advance(200 * kMillisecond);  // the store asks now and then
      return;
    case SimFault::kSlowDisk: {
      // All of it, or one kind of file: so that what has to wait for another has to wait long.
      constexpr std::array kSlow{"", "data/ring-0.state", "data/ring-0", "data/logs/"};
      faults.slow_disk = faults.slow_disk == 1 ? 30 : 1;
      faults.slow_under = kSlow[prng_.below(kSlow.size())];
      return;
    }
    case SimFault::kReadEio:
      if (read_fails_) return;
      read_fails_ = true;
      faults.read_eio_in = prng_.between(1, 6);
      return;
    case SimFault::kRingFails:
      if (faults.fail_write_in + faults.short_write_in > 0 || !prng_.one_in(3)) return;
      faults.write_faults_under = "data/ring";
      (prng_.one_in(2) ? faults.fail_write_in : faults.short_write_in) = prng_.between(1, 20);
      poison_armed_ = true;
      return;
    case SimFault::kFlushFails:
      faults.flush_fails_in = prng_.between(1, 3);
      poison_armed_ = true;
      return;
    case SimFault::kLies: {
      const bool flush = prng_.one_in(2);
      (flush ? faults.flush_lies_in : faults.lie_in) = prng_.between(1, flush ? 3 : 10);
      // Before a flush makes up for it.
      if (prng_.one_in(2)) faults.power_off_in = prng_.between(1, flush ? 150 : 60);
      return;
    }
    case SimFault::kRot:
    case SimFault::kUnreadable: hurt_some(fault); return;
    case SimFault::kPowerAtOp:
      faults.power_off_in = prng_.between(1, 100);
      faults.power_off_behind = prng_.one_in(2);
      return;
    case SimFault::kCount: return;
  }
}

// The disk is as good as new, but for what lasts.
void StoreSim::end_faults() {
  DiskFaults now = std::move(disk_.faults());
  disk_.faults() = DiskFaults{.power_off_in = scripted_ ? now.power_off_in : 0,
                              .power_off_behind = scripted_ && now.power_off_behind,
                              .tear_unit = now.tear_unit,
                              .fail_reads = std::move(now.fail_reads)};
}

// When the disk is well again, everything is taken again, without a restart.
std::string StoreSim::check_goes_on() {
  if (store_->poisoned()) return {};
  end_faults();
  for (auto& [id, live] : logs_) {
    bool taken = false;
    for (int i = 0; i < 20'000 && !taken && !store_->poisoned(); ++i) {
      const uint64_t seq = seq_;
      if (std::string wrong = append_to(logs_.find(id), nullptr); !wrong.empty()) return wrong;
      taken = seq_ != seq;
      if (std::string wrong = turn(); !wrong.empty()) return wrong;
      clock_.advance(kMillisecond);
    }
    if (taken || store_->poisoned()) continue;
    using storage::Metric;
    return fmt::format(
        "log {} takes nothing any more: ring used {}, to destage {}, destage failures {}, state writes {} and delays "
        "{}, files open {}, disk full {}",
        id, counters_.get(Metric::ring_used_bytes), counters_.get(Metric::bytes_to_destage),
        counters_.get(Metric::destage_failures), counters_.get(Metric::state_writes),
        counters_.get(Metric::state_write_delays), counters_.get(Metric::segment_files_open),
        counters_.get(Metric::disk_full));
  }
  return {};
}

}  // namespace penstock::sim
