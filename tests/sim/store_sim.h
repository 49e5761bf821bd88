// StoreSim: one Store on a SimDisk under a random workload with faults, crashes and stops, checked against SimLog all
// the time and after each life. Everything comes from the seed; a seed run twice has the same trace hash. What a seed
// does at all it draws first: Swarm. docs/internals/simulator.md.
//
// store_sim.cc: lives; store_sim_steps.cc: what is done to logs; store_sim_reads.cc: what is asked of them;
// store_sim_faults.cc: what the disk does to them; store_sim_damage.cc: what must hold all the same.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "storage/compact/cleaner.h"
#include "storage/ring/state_slots.h"
#include "tests/sim/disk_port.h"
#include "tests/sim/sim_clock.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_log.h"
#include "tests/sim/store_model.h"
#include "tests/sim/swarm.h"

namespace penstock::sim {

// Cuts whole batches off the front of bytes, and drops the rest; the offset behind them. Nothing if there is none.
std::optional<int64_t> take_batches(std::vector<std::byte>& bytes, std::vector<std::vector<std::byte>>& batches);

class StoreSim {
 public:
  explicit StoreSim(uint64_t seed) : StoreSim(seed, Swarm(seed)) {}
  StoreSim(uint64_t seed, const Swarm& swarm);

  // Runs lives of the store, each ended by a crash or a stop. Empty if all held, else what did not.
  std::string run(int lives, int steps_a_life);
  // Instead: plays a script, a letter a step (store_sim_script.cc), with power lost at the n-th op (0: at its end), and
  // goes on afterwards. What is being written then is lost in pieces of tear_unit; the op itself is under way if
  // behind.
  struct PowerLoss {
    uint64_t at_op = 0;
    bool behind = false;
    uint64_t tear_unit = 512;
  };
  std::string run_script(std::string_view script, const PowerLoss& loss);
  uint64_t ops_submitted() const { return disk_.ops_submitted(); }
  uint64_t trace_hash() const { return disk_.trace_hash(); }

  struct Seen {
    uint64_t acked = 0, crashes = 0, kills = 0, stops = 0, poisoned = 0, recoveries_cut = 0;
    uint64_t lies_struck = 0, refused_after_a_lie = 0, logs_hurt_by_a_lie = 0;
    uint64_t rotted = 0, unreadable = 0, damaged = 0, holes = 0, trimmed_past = 0;
    uint64_t trims = 0, truncations = 0, repeats = 0, cold_reads = 0, times = 0, disk_full = 0, ring_full = 0;
    uint64_t compacted_reads = 0;
  };
  const Seen& seen() const { return seen_; }
  const storage::StorageCounters& counters() const { return counters_; }

 private:
  // A place of a sealed segment that was hurt at rest.
  struct Hurt {
    SimLog::Range offsets;  // of the batches that reach into it
    int64_t segment_end;
    uint64_t rebuilds;  // of indexes before it
  };
  struct Live {
    SimLog log;
    storage::LogConfig config;
    int32_t epoch = 0;
    std::optional<int64_t> truncate_to;  // asked for, not done yet
    std::vector<Hurt> hurt;
    bool epochs_unsure = false;  // a lie took batches: what an epoch cache still knows of them is its own affair
  };
  using Logs = std::map<uint64_t, Live>;
  struct Waiting {
    storage::Lsn durable_at;
    uint64_t seq;
  };
  struct Sent {
    SimBatchPtr batch;
    storage::Lsn durable_at;  // 0: recovered
  };
  struct Producer {
    int64_t id;
    uint64_t log;
    std::vector<Sent> window;  // what the log must remember of it, oldest first, at most five
    int32_t next_sequence = 0;
    bool maybe_forgotten = false;  // everything that was remembered of it was cut off: any sequence may be taken
  };
  // An answer on its way to a slow client.
  struct Reader {
    uint64_t log;
    storage::ReadCursor cursor;
    std::vector<std::byte> expected;
    size_t at = 0;
    SimLog::Range range{0, INT64_MAX};
    std::optional<Nanos> sure_until = {};  // of a compacted log: what was replaced goes then
  };

  // ---- lives (store_sim.cc)
  std::string open();
  std::string open_store(std::string& refused);
  std::string settle_logs();
  void begin_life();
  std::string read_log(uint64_t id, SimLog::Found& found);
  std::string end_life();
  std::string stop();
  void drop_store();
  void clean_some();
  std::string check_stopped();
  std::string turn();
  std::string watch();  // after each submit()
  void take_acks();
  bool may_poison() const { return poison_armed_; }

  // ---- steps (store_sim_steps.cc)
  std::string step();
  std::string append_some();
  std::string append_to(Logs::iterator at, Producer* producer);
  std::string took(Live& live, const storage::AppendResult& result, std::vector<std::byte> sent, Producer* producer);
  bool refusal_is_fine(storage::AppendStatus status);
  std::string repeat_some();
  std::string drop_some();
  std::string drop(Logs::iterator at);
  void open_log();
  std::string trim_some();
  std::string trim_to(Logs::iterator at, int64_t to);
  std::string truncate_some();
  std::string truncate_to(Logs::iterator at, int64_t to);
  void config_some();
  void change_config(uint64_t id, const storage::LogConfig& config);
  std::string leap();
  void producers_after_cut(uint64_t log);
  void producers_after_crash();
  std::string check_retention(const Live& live, int64_t from, int64_t to);
  Logs::iterator some_log() { return std::next(logs_.begin(), static_cast<int64_t>(prng_.below(logs_.size()))); }

  // ---- reads (store_sim_reads.cc)
  std::string plan_some();
  std::string plan_compacted(uint64_t id, int64_t from, uint64_t most, bool at_least_one);
  std::string read_cursor(storage::ReadCursor cursor, std::vector<std::byte>& bytes, std::optional<Errc>& failed);
  std::string read_whole(const storage::ReadCursor& cursor, std::vector<std::byte>& bytes, bool& gone);
  std::string time_is_wrong(const SimLog& log, const std::optional<storage::TimeAndOffset>& found, int64_t t,
                            bool greatest, int64_t below);
  std::string read_on();
  std::string read_on(Reader& reader, bool& done);
  std::string find_time_some();
  std::string epoch_end_some();
  std::string wait_for(const char* what, const std::function<std::string(bool& done)>& attempt);

  // ---- a script (store_sim_script.cc)
  std::string play(char letter);
  std::string begin_again();
  std::string compact_all();

  // ---- faults (store_sim_faults.cc)
  void fault_some();
  void end_faults();
  std::string check_goes_on();

  // ---- damage (store_sim_damage.cc)
  std::string check_refusal(const std::string& refused);
  std::string settle_after_a_lie();
  std::string read_good(uint64_t id, SimLog::Found& found);
  void hurt_some(SimFault fault);
  struct SealedPlace {
    Logs::iterator log;
    std::string path;
    storage::SegmentState segment;
    int64_t end;  // offset where the next one begins
  };
  std::optional<SealedPlace> some_sealed_place();
  void rot(const std::string& path, uint64_t at);
  bool may_be_damaged(const Live& live, SimLog::Range range) const;
  SimLog::Range reach(const Hurt& hurt) const;
  std::string read_hurt(uint64_t id, SimLog::Found& found);
  std::string trim_past_damage(Logs::iterator at);

  const uint64_t seed_;
  const Swarm swarm_;
  Prng prng_;
  SimClock clock_;
  SimDisk disk_;
  DiskPorts ports_{disk_};
  DiskPort store_port_{ports_, 0};
  DiskPort cleaner_port_{ports_, 1};
  std::optional<storage::RingLife> known_life_{};  // what the metadata remembers
  Prng store_prng_;
  HeapPool pool_;
  storage::StorageCounters counters_;
  std::unique_ptr<storage::CompactionLink> link_;
  std::unique_ptr<storage::Cleaner> cleaner_;
  std::unique_ptr<storage::Store> store_;
  Logs logs_;
  std::vector<Producer> producers_;
  std::vector<Waiting> waiting_;
  std::vector<Reader> readers_;
  uint64_t seq_ = 0;       // of events in this life
  uint64_t sure_seq_ = 0;  // events up to it are durable
  uint64_t next_log_ = 1;
  int64_t next_producer_ = 1;
  bool is_over_ = false;        // a start was refused, and had to be
  size_t scripted_bytes_ = 0;   // of a batch
  bool scripted_ = false;       // power goes when the script says
  bool watching_ = false;       // the logs are as logs_ says
  bool poison_armed_ = false;   // a fault that may fence the ring was asked for in this life
  bool space_scarce_ = false;   // the disk is full, or was
  bool segment_fails_ = false;  // a log's segments cannot be written
  bool read_fails_ = false;     // a read may fail
  Seen seen_;
};

}  // namespace penstock::sim
