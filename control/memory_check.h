// Whether the machine has the memory that the settings and the rings of a broker take, looked at before anything is
// made: with overcommit the kernel gives it all the same, and kills the process when it is touched.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <string>
#include <vector>

#include "control/cli/machine/machine.h"
#include "control/data_folders.h"
#include "control/options.h"
#include "dataplane/api/devices.h"

namespace penstock::control {

// What takes memory.
struct MemoryPlan {
  const Settings* settings = nullptr;
  uint64_t lcores = 1;
  uint64_t folders = 1;
  uint64_t devices = 0;            // that listeners drive
  bool cards = false;              // and one of them is a card: with it read caches get all their pages at the start
  std::vector<PlannedRing> rings;  // by number: in this order they get huge pages, as far as there are some
};
MemoryPlan plan_memory(const Settings& settings, uint64_t lcores, const std::vector<std::string>& folders,
                       const std::vector<dataplane::DeviceSettings>& devices);

// Refused is what cannot go well, in one line that says what to set to what:
// - a bound that is by itself more than the machine has: a slip of the pen;
// - rings and read caches that are together more than there is. A ring has all its pages a few seconds after the start,
//   and a read cache has its own once consumers have read so much from the drive; neither gives one back.
//   Cards read both: what they may read the kernel pins.
// A broker may never come near the other bounds (and serves well in a control group that allows less than their
// defaults), so the sum of all is no reason to refuse.
std::expected<void, std::string> check_memory(const MemoryPlan& plan, const cli::MachineMemory& there);
// The same of what they get right after the start, and what the kernel can give now: the rings, and beside a card the
// caches too.
std::expected<void, std::string> check_memory_now(const MemoryPlan& plan, const cli::MachineMemory& there);
// One line if the sum of all bounds is more than there is or can be given now; else empty.
std::string memory_warning(const MemoryPlan& plan, const cli::MachineMemory& there);

// All of these on this machine. What a killed broker had comes back a moment after it is gone, so what cannot be given
// now is waited for, a few seconds at most, or until gives_up().
std::expected<void, std::string> look_for_memory(const MemoryPlan& plan, const std::function<bool()>& gives_up);

}  // namespace penstock::control
