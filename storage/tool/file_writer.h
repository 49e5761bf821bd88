// What repair writes: whole files, durable when it returns.
#pragma once

#include <span>
#include <string>

#include "storage/api/disk.h"
#include "storage/ring/state_slots.h"
#include "storage/segment/sidecar.h"

namespace penstock::storage {

// content: a whole number of blocks, aligned. The file has it from byte 0 on, and so much at least; exact: no more.
Result<void> write_file(Disk& disk, const std::string& path, std::span<std::byte> content, bool exact);
Result<void> write_sidecar_file(Disk& disk, const std::string& path, const Sidecar& sidecar);
// A state slot in the file that it is to be in.
Result<void> write_slot_file(Disk& disk, const std::string& path, const Slot& slot);

}  // namespace penstock::storage
