// SimLog: what one log must hold after whatever was done to it, and which of that a crash may take away. The oracle of
// StoreSim. Plain lists and linear scans: nothing of the store's own ideas is in it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "storage/api/store.h"

namespace penstock::sim {

struct SimBatch {
  std::vector<std::byte> bytes;  // as it must read back
  int64_t base = 0;
  int64_t next = 0;  // offset behind it
  int32_t epoch = 0;
  int64_t max_timestamp = 0;
  std::vector<int64_t> timestamps;  // of its records
  int64_t producer = -1;            // -1: none
  int32_t first_sequence = 0;
};
using SimBatchPtr = std::shared_ptr<const SimBatch>;

class SimLog {
 public:
  // ---- what is done, each with its place in the order of all events of a life
  void append(uint64_t seq, SimBatchPtr batch);
  void cut(uint64_t seq, int64_t end);         // the log ends there now
  void begin_at(uint64_t seq, int64_t start);  // and begins there

  int64_t start() const { return start_; }
  int64_t end() const { return end_; }
  const std::vector<SimBatchPtr>& batches() const { return batches_; }  // also those below start()
  // Place in batches() of the one that holds offset; batches().size() if none does.
  size_t find(int64_t offset) const;
  // The end of a truncation to offset: where the batch that holds it begins.
  int64_t cut_of(int64_t offset) const;

  // The answers to lookups by a scan, of records below below.
  std::optional<storage::TimeAndOffset> first_with_time(int64_t t, int64_t below) const;
  std::optional<storage::TimeAndOffset> greatest_time(int64_t below) const;
  // Nothing where the log is empty: what an epoch cache still knows then is its own affair.
  std::optional<storage::EpochEnd> end_offset_for(int32_t epoch) const;
  uint64_t bytes_from(int64_t offset) const;

  // ---- after a crash
  struct Found {
    int64_t start = 0;
    int64_t end = 0;
    std::vector<std::vector<std::byte>> batches;
  };
  // The appends of a life that a recovery kept and lost: where in the order of all events.
  struct Kept {
    uint64_t last_kept = 0;
    uint64_t first_lost = UINT64_MAX;
  };
  // Compares what a recovery found with what may be: the events of the life up to sure all happened, and of those
  // behind it the first so many. What was lost is forgotten, and a new life begins. Returns what is wrong, or nothing.
  std::string settle(const Found& found, uint64_t sure, Kept& kept);

 private:
  struct Event {
    uint64_t seq;
    SimBatchPtr batch;   // an append, or
    int64_t cut = -1;    // a truncation, or
    int64_t start = -1;  // a new beginning
  };
  struct State {
    std::vector<SimBatchPtr> batches;
    int64_t start = 0;
    int64_t end = 0;
    void apply(const Event& event);
    std::string differs(const Found& found) const;
  };
  State state() const { return {batches_, start_, end_}; }

  std::vector<SimBatchPtr> batches_;
  int64_t start_ = 0;
  int64_t end_ = 0;
  State settled_;  // as the last recovery found it
  std::vector<Event> events_;
};

}  // namespace penstock::sim
