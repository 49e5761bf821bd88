// What the disks do to BrokerSim.
#include <algorithm>

#include "tests/sim/broker_sim.h"

namespace penstock::sim {

bool BrokerSim::is_poisoned(uint16_t ring) const {
  const auto lcore = static_cast<size_t>(ring % lcore_count_);
  return lcore < lcores_.size() && lcores_[lcore].store->poisoned(ring);
}

bool BrokerSim::has_failed(uint16_t ring) const { return rings_[ring].disk.is_off() || is_poisoned(ring); }

bool BrokerSim::any_failed() const {
  for (uint16_t ring = 0; ring < kRings; ++ring)
    if (has_failed(ring)) return true;
  return false;
}

bool BrokerSim::power_is_off() const {
  return std::ranges::any_of(rings_, [](const Ring& ring) { return ring.disk.is_off(); });
}

void BrokerSim::fault_some() {
  const auto count = static_cast<uint64_t>(std::ranges::count(swarm_.faults, true));
  if (count == 0) return;
  auto skip = prng_.below(count);
  Ring& ring = ring_of(producers_[prng_.below(producers_.size())].partition);  // one that is written to
  for (size_t i = 0; i < swarm_.faults.size(); ++i)
    if (swarm_.faults[i] && skip-- == 0) return strike(ring, static_cast<BrokerFault>(i));
}

void BrokerSim::strike(Ring& ring, BrokerFault fault) {
  DiskFaults& faults = ring.disk.faults();
  const auto arm = [&](uint64_t& countdown, uint64_t most) {
    if (ring.armed) return false;
    ring.armed = fault;
    countdown = prng_.between(1, most);
    return true;
  };
  switch (fault) {
    case BrokerFault::kPowerAtOp:
      faults.power_off_in = prng_.between(1, 20);
      faults.power_off_behind = prng_.one_in(2);
      return;
    case BrokerFault::kSlowDisk:
      faults.slow_disk = faults.slow_disk == 1 ? 30 : 1;
      if (faults.slow_disk > 1) seen_.struck[static_cast<size_t>(fault)] += 1;
      return;
    case BrokerFault::kSegmentEio:
      if (arm(faults.fail_write_in, 2)) faults.write_faults_under = "data/logs/";
      return;
    case BrokerFault::kSegmentShort:
      if (arm(faults.short_write_in, 2)) faults.write_faults_under = "data/logs/";
      return;
    case BrokerFault::kNoSpaceOnce:
      if (arm(faults.enospc_in, 3)) ring.space_scarce = true;
      return;
    case BrokerFault::kFullDisk:
      ring.space_scarce = true;
      faults.capacity_bytes = faults.capacity_bytes != 0 ? 0 : ring.disk.allocated_bytes() + prng_.below(kMiB);
      if (faults.capacity_bytes != 0) seen_.struck[static_cast<size_t>(fault)] += 1;
      if (prng_.one_in(2)) clock_.advance(200 * kMillisecond);  // the store asks now and then
      return;
    case BrokerFault::kRingFails:
      if (!arm(prng_.one_in(2) ? faults.fail_write_in : faults.short_write_in, 10)) return;
      faults.write_faults_under = "data/ring";
      ring.poison_armed = true;
      return;
    case BrokerFault::kFlushFails:
      if (arm(faults.flush_fails_in, 1)) ring.poison_armed = true;
      return;
    case BrokerFault::kCount: return;
  }
}

void BrokerSim::note_strikes() {
  for (Ring& ring : rings_) {
    const DiskFaults& now = ring.disk.faults();
    const bool waits = now.fail_write_in + now.short_write_in + now.enospc_in + now.flush_fails_in > 0;
    if (!ring.armed || waits) continue;
    seen_.struck[static_cast<size_t>(*ring.armed)] += 1;
    ring.armed.reset();
  }
}

// The disks are as good as new.
void BrokerSim::end_faults() {
  note_strikes();
  for (Ring& ring : rings_) {
    ring.disk.faults() = DiskFaults{.punt_percent = swarm_.punt_percent, .tear_unit = swarm_.tear_unit};
    ring.armed.reset();
  }
}

std::string BrokerSim::check_poison() const {
  for (uint16_t ring = 0; ring < kRings; ++ring) {
    if (is_poisoned(ring) && !rings_[ring].poison_armed && !rings_[ring].disk.is_off())
      return "ring " + std::to_string(ring) + " is fenced, and no fault was asked for";
  }
  return {};
}

}  // namespace penstock::sim
