// DPDK's environment (EAL) of this process: started once, for all devices at once, before any lcore runs.
#pragma once

#include <cstddef>
#include <span>

#include "base/result.h"
#include "dataplane/nic/device.h"

namespace penstock::dataplane::nic {

// Starts EAL. Its messages go to the log. Errors are logged with what to do about them: kExists (it was started
// before), kNoPermission (no root, or no access to vfio), kInvalid (a device that does not exist or that no driver
// takes).
Result<void> start_eal(const EalOptions& options);
// After the last port is destroyed: its pools are EAL's memory.
void stop_eal();

// The calling thread becomes one that DPDK knows: its memory pools keep a cache for it, so that taking and returning
// mbufs costs no atomic operation. For each lcore, at its start.
Result<void> register_thread();
void unregister_thread();

// Memory that every device of this process can read, for chunks; at least 4 KiB aligned. Empty: there is not enough.
std::span<std::byte> allocate_device_memory(size_t bytes);
void free_device_memory(std::span<std::byte> memory);

}  // namespace penstock::dataplane::nic
