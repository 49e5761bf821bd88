// Shard: what the parts of one Store share: one ring's logs, and the ways out to drive, clock and counters. Owned by
// one lcore, like everything that points to it.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "storage/api/disk.h"
#include "storage/api/types.h"
#include "storage/log/partition_log.h"
#include "storage/ring/ring_writer.h"

namespace penstock::storage {

struct Shard {
  Disk& disk;
  Clock& clock;
  StorageCounters& counters;
  const StorageOptions options;
  const std::string folder;
  std::unique_ptr<RingWriter> ring = nullptr;

  std::unordered_map<LogId, std::unique_ptr<PartitionLog>> logs{};
  std::vector<LogId> readable{};  // logs for which something pending may go on; told and cleared by each poll
  std::set<std::pair<LogId, SegmentId>> unflushed{};  // segments with writes that no flush has covered yet
  uint32_t stale_sidecars = 0;  // of all logs (PartitionLog::stale_sidecars); no slot is written before they are gone
  bool names_changed = false;   // files or folders were made since everything was flushed
  bool poisoned = false;
  int64_t failure = 0;             // what the drive said then
  uint64_t producers_tracked = 0;  // of all logs
  Nanos tell_unopened_at = 0;      // what fails again and again is not said each time (damage.h)
  size_t ops_in_flight = 0;        // of the parts, each with its on_done; not the ring's and the state's own

  PartitionLog* find(LogId log) const {
    const auto it = logs.find(log);
    return it == logs.end() ? nullptr : it->second.get();
  }
  // A log's table of producers had so many, and has so many now.
  void count_producers(size_t before, size_t now) {
    producers_tracked = producers_tracked - before + now;
    counters.set(Metric::producers_tracked, producers_tracked);
  }
  // The op is dispatched by its on_done; whoever polls subtracts it.
  template <class Op>
  void submit(Op& op) {
    ops_in_flight += 1;
    disk.submit(op);
  }
  // A write whose data may be anywhere now: nothing more is taken, and a restart recovers from the ring. The one line
  // that the operator gets.
  void poison(const char* what, int64_t result) {
    if (poisoned) return;
    poisoned = true;
    failure = result;
    LOG_ERROR(
        "%s in %s failed (result %lld): its partitions are offline, so that nothing acknowledged is lost; check the "
        "drive, then restart",
        what, folder.c_str(), static_cast<long long>(result));
  }
};

}  // namespace penstock::storage
