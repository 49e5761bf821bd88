// What a start would make of a log: its state in the newest slot, and the ring's entries behind it. A second, smaller
// reading of docs/internals/log_format.md than storage/store_replay.cc: it keeps offsets and segments, no batches.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "storage/ring/entries.h"
#include "storage/ring/recovery.h"
#include "storage/ring/state_slots.h"

namespace penstock::storage {

// What does not fit, and where in the ring.
struct Contradiction {
  Lsn at;
  std::string what;
  std::optional<Offset> expected{};  // a gap: the log ended here,
  std::optional<Offset> found{};     // and this came next
};

struct ReplayedLog {
  LogState state;                 // segments, position and epochs after the truncations in the ring
  bool in_slot = false;           // else it is known from the ring alone
  bool crcs_known = true;         // state's two checksums are those at state.position
  Offset end{0};                  // behind the last batch that segments or ring hold
  std::vector<std::byte> head{};  // what the last block held before it was written again
  uint64_t ring_batches = 0;
  uint64_t ring_bytes = 0;
  std::optional<Contradiction> broken{};  // the first; nothing behind it was taken
};

class Replay {
 public:
  // memory: the ring, as it is given to scan_ring(). lives: what the metadata says, if it could be read.
  // generation: of the slot that has logs.
  Replay(RingMemory memory, const std::vector<LogState>& logs, uint64_t generation,
         const std::function<bool(LogId)>& lives, std::optional<LogId> next_log_id);

  // The next entry, in ring order.
  void take(const FoundEntry& entry);

  std::map<LogId, ReplayedLog>& logs() { return logs_; }
  uint64_t never_issued() const { return never_issued_; }  // entries of logs that the metadata never issued,
  const std::vector<LogId>& never_issued_logs() const { return never_issued_logs_; }  // and such logs in the slot
  uint64_t deleted() const { return deleted_; }  // entries of logs that do not live any more

 private:
  void take_batch(ReplayedLog& log, const FoundEntry& entry);
  void take_truncate(ReplayedLog& log, const FoundEntry& entry);
  void take_start_offset(ReplayedLog& log, const FoundEntry& entry);
  void take_relog(ReplayedLog& log, const FoundEntry& entry);

  const RingMemory memory_;
  const uint64_t generation_;
  const std::function<bool(LogId)>& lives_;
  const std::optional<LogId> next_log_id_;
  std::map<LogId, ReplayedLog> logs_;
  uint64_t never_issued_ = 0;
  std::vector<LogId> never_issued_logs_;
  uint64_t deleted_ = 0;
};

}  // namespace penstock::storage
