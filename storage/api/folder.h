// The data folder: its format version, id and lock. <folder>/folder is a small text file; <folder>/lock is locked while
// a broker runs. A folder of a newer format is refused by name; one of an older becomes one of this format when it is
// opened, and the older penstock does not take it any more.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/prng.h"
#include "protocol/types.h"
#include "storage/api/disk.h"
#include "storage/api/store.h"

namespace penstock::storage {

inline constexpr int kFormatVersion = 3;

struct Folder {
  std::string path;
  Uuid id;  // made with the folder, never changes
  int format_version;
  FileHandle lock;  // held until the Disk closes it
};

// Makes or opens the folder and takes its lock. Blocks; every failure is one line that says what to do.
std::expected<Folder, OpenFailure> open_folder(Disk& disk, Prng& prng, std::string_view path);
// The same for a tool: the folder is there, and nothing in it is made or changed. The lock is taken if locked; what
// names the folder in use is kLocked.
std::expected<Folder, OpenFailure> look_at_folder(Disk& disk, std::string_view path, bool locked);

inline constexpr Nanos kSpinForever = INT64_MAX;
// Which durability operation is faster here now: writes a small scratch file in folder by turns with each, and takes
// the smaller median. It waits as the lcore will: polls for spin, then sleeps. Blocks a few hundred milliseconds. On a
// full drive, where nothing can be measured, it is the linked fdatasync.
Result<DurableMethod> measure_durable_method(Disk& disk, Clock& clock, std::string_view folder, Nanos spin);

}  // namespace penstock::storage
