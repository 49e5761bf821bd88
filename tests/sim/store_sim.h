// StoreSim: one Store on a SimDisk under a random workload with crashes, checked against LogModel after each.
// Everything comes from the seed; a seed run twice has the same trace hash.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/sim/sim_clock.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/store_model.h"

namespace penstock::sim {

class StoreSim {
 public:
  explicit StoreSim(uint64_t seed);

  // Runs lives of the store, each ended by a crash or a stop. Empty if all held, else what did not.
  std::string run(int lives, int steps_a_life);
  uint64_t trace_hash() const { return disk_.trace_hash(); }
  uint64_t acked_batches() const { return acked_; }
  uint64_t crashes() const { return crashes_; }

 private:
  struct Waiting {
    storage::Lsn durable_at;
    storage::LogId log;
    size_t batch;
  };
  struct Producer {
    int64_t id;
    int16_t epoch = 0;
    int32_t next_sequence = 0;
    storage::LogId log;
    std::vector<std::byte> last_sent;  // for repeats
    int64_t last_offset = -1;
    int32_t last_sequence_before = 0;
  };

  std::string open();
  std::string check_after_open();
  std::string step();
  std::string append_some();
  std::string repeat_some();
  void turn();
  std::string drop_some();
  std::string read_some();
  std::string end_life();

  Prng prng_;
  SimClock clock_;
  SimDisk disk_;
  Prng store_prng_;
  HeapPool pool_;
  storage::StorageCounters counters_;
  std::vector<std::byte> memory_;
  std::unique_ptr<storage::Store> store_;
  std::map<uint64_t, LogModel> logs_;
  std::vector<Producer> producers_;
  std::vector<Waiting> waiting_;
  uint64_t next_log_ = 1;
  int64_t next_producer_ = 1;
  uint64_t acked_ = 0;
  uint64_t crashes_ = 0;
};

}  // namespace penstock::sim
