// A Store on a SimDisk with a few logs, for tests that damage what it wrote: append, ack, stop, break, open again.
#pragma once

#include <array>
#include <expected>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/sim/sim_clock.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/store_model.h"

namespace penstock::sim {

class StoreRig {
 public:
  static constexpr size_t kRingBytes = 4 * kMiB;
  static constexpr const char* kRing = "data/ring-0";
  static constexpr std::array kStates = {"data/ring-0.state-0", "data/ring-0.state-1"};

  static constexpr const char* kOldState = "data/ring-0.state";  // of format version 1

  explicit StoreRig(uint64_t seed, std::vector<uint64_t> logs = {1, 2});

  // Empty if the store opened, else the operator's line.
  std::string open(std::optional<uint64_t> accept_loss_at = {});
  // Appends a batch to a random log; false if it was not taken.
  bool append(size_t value_bytes = 200);
  void turn();
  // Turns until nothing waits and the last commit is sealed.
  void settle();
  void stop();
  void crash();
  // All acked batches of all logs read back; else what does not.
  std::string check_acked();
  uint64_t acked() const;
  // Which of kStates has the newest slot.
  const char* newest_state() const;

  SimClock clock;
  SimDisk disk;
  Prng prng;
  storage::StorageCounters counters;
  std::unique_ptr<storage::Store> store;
  std::map<uint64_t, LogModel> logs;
  uint64_t next_log = 100;

 private:
  struct Waiting {
    storage::Lsn durable_at;
    uint64_t log;
    size_t batch;
  };
  HeapPool pool_;
  std::vector<std::byte> memory_;
  std::vector<Waiting> waiting_;
};

}  // namespace penstock::sim
