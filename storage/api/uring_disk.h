// The real Disk, over io_uring, for whoever wires the process (control/main.cc).
#pragma once

#include <expected>
#include <memory>

#include "storage/api/disk.h"
#include "storage/api/store.h"

namespace penstock::storage {

// The caller's thread makes and starts it; the lcore that first polls it owns it from then on. Failure (an old kernel,
// a locked-memory limit) is one line that says what to do.
struct DiskDeleter {
  void operator()(Disk* disk) const;
};
using DiskPtr = std::unique_ptr<Disk, DiskDeleter>;
// ops_at_once: what its owner keeps in flight as a rule, by which the queues are made: kernels count them as locked
// memory.
std::expected<DiskPtr, OpenFailure> open_uring_disk(size_t ops_at_once = Disk::kOpsInFlightMax);

}  // namespace penstock::storage
