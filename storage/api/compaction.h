// Who compacts logs: a thread a drive, which does what the stores of that drive ask of it. For whoever wires the
// process (control/serve.cc); docs/internals/compaction.md.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/prng.h"
#include "storage/api/disk.h"
#include "storage/api/store.h"

namespace penstock::storage {

struct CompactionRequest {
  std::string folder;  // the data folder
  StorageOptions options;
  uint64_t reserve_bytes = 0;  // of the drive, that it leaves free
  Disk* disk = nullptr;        // its own: no store uses it
  Clock* clock = nullptr;
  Prng* prng = nullptr;  // for the secret of the map of keys
};

class CompactionThread {
 public:
  // Fails if there is no memory for the map of keys.
  static std::expected<std::unique_ptr<CompactionThread>, OpenFailure> make(const CompactionRequest& request);
  // Ends the thread, in the middle of a cleaning if there is one: what it made so far counts for nothing.
  ~CompactionThread();
  CompactionThread(const CompactionThread&) = delete;
  CompactionThread& operator=(const CompactionThread&) = delete;

  // For one store each (StoreRequest::compaction), before start(). Lives as long as this.
  CompactionLink* new_link();
  void start();

 private:
  struct Impl;
  explicit CompactionThread(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::storage
