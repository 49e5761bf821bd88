// A Store on a SimDisk with a few logs, for tests that damage what it wrote: append, ack, stop, break, open again.
#pragma once

#include <array>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mapped_memory.h"
#include "storage/compact/cleaner.h"
#include "tests/sim/disk_port.h"
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
  // Appends a batch of about bytes to log; nothing if it was not taken.
  std::optional<storage::AppendResult> append_to(uint64_t log, size_t bytes,
                                                 protocol::BatchBuilder::Options batch_options = {});
  storage::AppendResult append_batch(uint64_t log, std::vector<std::byte> batch);
  // Turns until nothing waits and the last commit is sealed.
  void settle();
  // Turns until done() holds; false if it does not within a simulated minute.
  bool turn_until(const std::function<bool()>& done);
  void stop();
  void crash();
  // All acked batches of all logs read back; else what does not.
  std::string check_acked();
  uint64_t acked() const;
  // Which of kStates has the newest slot.
  const char* newest_state() const;

  // In force from the next open() on.
  storage::StorageOptions options;
  storage::LogConfig config;
  uint32_t ring_index = 0;
  std::function<bool(storage::LogId)> is_foreign;
  std::optional<storage::RingLife> known_life;  // what the metadata remembers
  bool compaction = false;                      // a cleaner works beside the store, a step a turn
  bool no_memory = false;                       // for the ring
  bool gives_cache = false;                     // memory for cold reads is the rig's
  std::function<bool()> should_stop;

  SimClock clock;
  SimDisk disk;
  Prng prng;
  storage::StorageCounters counters;
  DiskPorts ports{disk};
  DiskPort store_port{ports, 0};
  DiskPort cleaner_port{ports, 1};
  std::unique_ptr<storage::CompactionLink> link;
  std::unique_ptr<storage::Cleaner> cleaner;
  std::unique_ptr<storage::Store> store;
  std::map<uint64_t, LogModel> logs;
  uint64_t next_log = 100;
  std::vector<size_t> asked_for;  // memory of rings, in bytes
  MappedMemory cache;

 private:
  void drop_store();
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
