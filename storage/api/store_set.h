// StoreSet: the rings that one lcore hosts, as one store: the calls of Store, each passed to the ring that has the log.
// A log stays with its ring; which lcore hosts a ring may change with a start. Owned by one lcore's thread.
//
// Places of different rings cannot be compared, so what is waited for is a DurableAt, or a DurableMark for what was
// written to several rings.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "storage/api/store.h"

namespace penstock::storage {

struct DurableAt {
  uint16_t ring = 0;
  Lsn lsn{0};
};

// The highest place in each ring that was written to. Nothing was: durable.
class DurableMark {
 public:
  void raise(DurableAt at) {
    if (!any_) {
      any_ = true;
      first_ = at;
      return;
    }
    DurableAt& mine = place_of(at.ring);
    if (mine.lsn < at.lsn) mine.lsn = at.lsn;
  }
  template <class Visit>
  void for_each(Visit&& visit) const {
    if (any_) visit(first_);
    for (const DurableAt& at : more_) visit(at);
  }

 private:
  DurableAt& place_of(uint16_t ring) {
    if (first_.ring == ring) return first_;
    for (DurableAt& at : more_) {
      if (at.ring == ring) return at;
    }
    return more_.emplace_back(DurableAt{.ring = ring, .lsn = Lsn{0}});
  }

  bool any_ = false;
  DurableAt first_;  // on most machines the only one
  std::vector<DurableAt> more_;
};

class StoreSet {
 public:
  struct Appended {
    AppendStatus status;
    Offset base_offset;
    Offset log_start_offset;
    DurableAt durable_at;
    int64_t append_time_ms = -1;
  };
  struct Trimmed {
    TrimStatus status;
    Offset log_start_offset;
    DurableAt durable_at;
  };

  // logs: those that the store was opened with.
  void add(uint16_t ring, std::unique_ptr<Store> store, std::span<const LogToOpen> logs);
  std::span<const uint16_t> rings() const { return ring_numbers_; }
  bool has_ring(uint16_t ring) const { return std::ranges::find(ring_numbers_, ring) != ring_numbers_.end(); }

  // As Store's. open_log: ring is one of rings().
  void open_log(uint16_t ring, LogId log, const LogConfig& config = {});
  void set_config(LogId log, const LogConfig& config);
  void drop_log(LogId log);
  Appended append(LogId log, LeaderEpoch epoch, const BufferChain& chain, size_t at, size_t length,
                  const std::optional<RecordTimes>& times = {});
  std::optional<LogOffsets> offsets(LogId log) const;
  uint64_t bytes_of(LogId log) const;
  std::vector<ProducerFacts> producers_of(LogId log) const;
  ReadPlan plan_read(LogId log, Offset from, uint64_t max_bytes, bool at_least_one);
  Result<size_t> view(const ReadCursor& cursor, size_t max_bytes, std::span<std::span<const std::byte>> pieces);
  struct Lent {
    uint16_t ring = 0;
    Loan loan;
  };
  Result<Lent> lend(const ReadCursor& cursor, size_t max_bytes, std::span<std::span<const std::byte>> pieces);
  Lent keep(LogId log, std::span<const std::byte> piece);  // log is here: view() has given piece
  Lsn recalled(uint16_t ring) const { return store_of(ring).recalled(); }
  void take_back(const Lent& lent) { store_of(lent.ring).take_back(lent.loan); }
  void advance(ReadCursor& cursor, size_t n) const;
  TimeFound find_by_time(LogId log, int64_t timestamp_ms);
  TimeFound find_max_time(LogId log);
  EpochEnd end_offset_for(LogId log, LeaderEpoch epoch) const;
  LeaderEpoch epoch_at(LogId log, Offset offset) const;
  Trimmed trim(LogId log, Offset to);

  void submit();
  size_t poll();
  uint64_t commit_bytes() const;  // of all of them
  std::span<const LogId> advanced_logs() const { return advanced_; }
  std::span<const LogId> readable_logs() const { return readable_; }
  Nanos next_deadline() const;
  void begin_stop();
  bool stopped() const;  // each ring has stopped or is poisoned

  bool is_durable(DurableAt at) const { return at.lsn <= store_of(at.ring).durable(); }
  bool is_durable(const DurableMark& mark) const;
  // Something of it is not durable and never will be: its ring is poisoned.
  bool is_lost(const DurableMark& mark) const;
  Lsn durable(uint16_t ring) const { return store_of(ring).durable(); }
  bool any_poisoned() const;
  bool poisoned(uint16_t ring) const { return store_of(ring).poisoned(); }
  bool poisoned(LogId log) const;  // its ring is; false for a log that is not here
  StoreHealth health(uint16_t ring) const { return store_of(ring).health(); }

 private:
  // With one ring every log is taken to be in it, and the store itself says if it is not.
  Store* find(LogId log) const;
  Store& store_of(uint16_t ring) const;
  uint16_t ring_of(const Store& store) const;

  std::vector<uint16_t> ring_numbers_;
  std::vector<std::unique_ptr<Store>> stores_;  // in the same order
  std::unordered_map<LogId, size_t> places_;    // in stores_; of use with several
  std::vector<LogId> advanced_;                 // of all stores, in the last poll
  std::vector<LogId> readable_;
};

}  // namespace penstock::storage
