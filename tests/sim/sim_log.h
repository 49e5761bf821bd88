// SimLog: what one log must hold after whatever was done to it, and which of that a crash may take away. The oracle of
// StoreSim. Plain lists and linear scans: nothing of the store's own ideas is in it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
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
  std::vector<std::optional<std::string>> keys;  // of its records
  std::vector<bool> tombstones;                  // which of them have no value
  int64_t taken_at_ms = 0;                       // by the wall clock
};
using SimBatchPtr = std::shared_ptr<const SimBatch>;

class SimLog {
 public:
  // What was read of it.
  struct Found {
    int64_t start = 0;
    int64_t end = 0;
    std::vector<std::vector<std::byte>> batches;
    struct Hole {
      int64_t from;
      int64_t to;
    };
    std::vector<Hole> holes;  // what was answered as damaged: the batch that holds from, and all up to to
  };

  // ---- what is done, each with its place in the order of all events of a life
  void append(uint64_t seq, SimBatchPtr batch);
  void cut(uint64_t seq, int64_t end);         // the log ends there now
  void begin_at(uint64_t seq, int64_t start);  // and begins there

  int64_t start() const { return start_; }
  int64_t end() const { return end_; }
  const std::vector<SimBatchPtr>& batches() const { return batches_; }  // also those below start()

  // From now on it may be compacted, with this delete.retention.ms. What it must hold is a relation then, not a list.
  void may_be_compacted(int64_t delete_retention_ms);
  bool is_compacted() const { return compacted_; }
  bool was_cut() const { return cut_ever_; }
  // Offsets of the batches that lie, as they were appended, in bytes [from, to) of those from the batch at base on.
  struct Range {
    int64_t from;
    int64_t to;
  };
  Range range_of(int64_t base, uint64_t from, uint64_t to) const;
  // Puts what was appended there in the place of found's holes.
  void fill_holes(Found& found) const;
  // Whether batches, which were read from [from, to), are what a compaction may leave of what was appended there: each
  // as it was, or with some records less; of each key the last record; a tombstone as long as it has to stay.
  // now_ms: when it was read, or later.
  std::string differs(int64_t from, int64_t to, std::span<const std::vector<std::byte>> read, int64_t now_ms) const {
    return state().differs_compacted(from, to, read, now_ms, least_retention_ms_, !cut_ever_ && check_producers);
  }
  // The record at offset with timestamp was appended.
  bool has(int64_t offset, int64_t timestamp) const;
  // Offsets of the records from start() to below that cannot have been removed.
  std::vector<storage::TimeAndOffset> surely_there(int64_t below, int64_t now_ms) const {
    return state().surely_there(start_, below, now_ms, least_retention_ms_);
  }
  bool check_producers = true;  // the last batch of each is there: not where some are forgotten
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
  // The appends of a life that a recovery kept and lost: where in the order of all events.
  struct Kept {
    uint64_t last_kept = 0;
    uint64_t first_lost = UINT64_MAX;
  };
  // Compares what a recovery found with what may be: the events of the life up to sure all happened, and of those
  // behind it the first so many. What was lost is forgotten, and a new life begins. Returns what is wrong, or nothing.
  std::string settle(const Found& found, uint64_t sure, Kept& kept, int64_t now_ms);

  // ---- after a lie of the disk struck
  // Compares what a recovery found with what may be: anything may be missing or damaged, but what is there was produced
  // once at that offset of this log, and nothing is passed over in silence. Returns what is wrong, or nothing.
  std::string differs_after_loss(const Found& found) const;
  // The log is what was found, from now on. Where this cannot be told from what was read: false, and nothing changes.
  bool become(const Found& found);
  // Where the first batch behind offset begins, of all that were ever produced; end if there is none.
  int64_t next_place(int64_t offset, int64_t end) const;

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
    std::set<int64_t> excused;  // records that may be gone because of one that was cut off since
    void apply(const Event& event);
    std::string differs(const Found& found) const;
    std::string differs_compacted(int64_t from, int64_t to, std::span<const std::vector<std::byte>> read,
                                  int64_t now_ms, int64_t retention_ms, bool with_producers) const;
    std::vector<storage::TimeAndOffset> surely_there(int64_t from, int64_t below, int64_t now_ms,
                                                     int64_t retention_ms) const;
  };
  SimBatchPtr produced_as(std::span<const std::byte> bytes) const;
  State state() const { return {batches_, start_, end_, excused_}; }
  std::string differs(const State& may, const Found& found, int64_t now_ms) const;

  std::vector<SimBatchPtr> batches_;
  int64_t start_ = 0;
  int64_t end_ = 0;
  std::set<int64_t> excused_;
  bool compacted_ = false;
  bool cut_ever_ = false;
  int64_t least_retention_ms_ = INT64_MAX;
  State settled_;                                 // as the last recovery found it
  std::vector<Event> events_;                     // since then
  std::set<int64_t> old_cuts_;                    // of before: the ring may still have them
  std::multimap<int64_t, SimBatchPtr> produced_;  // ever, by base offset
};

}  // namespace penstock::sim
