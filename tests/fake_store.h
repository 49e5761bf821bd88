// A Store whose drive obeys the test: which records are on the drive alone, when a read of them ends, how, and when
// what was read leaves the cache. The same class to those who use it (storage/api/store.h): a program that links
// fake_store.cc has this body instead of storage's. Appends are durable at once; there is no ring and no file.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>

#include "storage/api/store.h"

namespace penstock::testing {

struct FakeDrive {
  // Records of a log below this offset are on the drive alone.
  std::map<storage::LogId, Offset> cold_below;
  std::set<storage::LogId> damaged;  // reads of these fail
  std::set<storage::LogId> gone;     // deleted while they were read
  // Reads that have begun; a test ends them.
  std::set<storage::LogId> reading;
  std::set<storage::LogId> cached;
  uint64_t reads = 0;                        // how many have begun
  std::function<void()> after_look = [] {};  // behind each plan_read and view: what leaves the cache
  storage::AppendStatus refuse = storage::AppendStatus::kAppended;  // else the answer to each append
  storage::StoreHealth health;
  storage::TrimStatus trim_answer = storage::TrimStatus::kTrimmed;
  int lent = 0;           // loans that are out
  bool is_stuck = false;  // nothing becomes durable

  // The reads of these logs end; readable_logs() names them after the next poll.
  void end_reads();
  void end_reads(storage::LogId log);
  std::set<storage::LogId> ended;
};

// The drives of the stores that are open, in the order in which they were opened.
FakeDrive& fake_drive(size_t store = 0);

}  // namespace penstock::testing
