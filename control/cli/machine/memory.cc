// Memory and CPUs that this process may use (machine.h).
#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>

#include "base/units.h"
#include "control/cli/machine/machine.h"

namespace penstock::cli {
namespace {

// A line of /proc/meminfo.
std::optional<uint64_t> meminfo(const std::string& text, const std::string& name) {
  const size_t at = ("\n" + text).find("\n" + name + ":");
  unsigned long number = 0;
  if (at == text.npos || std::sscanf(text.c_str() + at, "%*[^:]: %lu", &number) != 1) return std::nullopt;
  return number;
}

// The least limit of a group and all above it: each counts what those below it use. Where the process does not see its
// group by the path that the kernel tells (a container's own mount), the folders that are not there say nothing, and
// the mount itself has the container's.
void look_at_group(const Machine& machine, const std::string& mount, std::string path, const char* limit,
                   MachineMemory& out) {
  if (path.find("..") != path.npos) path.clear();  // above what this process sees
  while (path.ends_with('/')) path.pop_back();
  for (;; path.resize(path.rfind('/'))) {
    const std::string file = mount + path + "/" + limit;
    // "max" is no number. Version 1 has one there that no machine has.
    const auto most = machine.number(file);
    if (most && *most >= 0 && static_cast<uint64_t>(*most) < out.most) {
      out.most = static_cast<uint64_t>(*most);
      out.group_file = file;
    }
    if (path.empty()) return;
  }
}

}  // namespace

MachineMemory look_at_memory(const Machine& machine) {
  MachineMemory out;
  const std::string text = machine.read("/proc/meminfo").value_or("");
  out.huge_page = meminfo(text, "Hugepagesize").value_or(2 * kKiB) * kKiB;
  // Some that are free may be promised to others.
  const uint64_t huge_free = meminfo(text, "HugePages_Free").value_or(0);
  out.huge_free = (huge_free - std::min(huge_free, meminfo(text, "HugePages_Rsvd").value_or(0))) * out.huge_page;
  if (const auto total = meminfo(text, "MemTotal"); total && *total > 0) {
    // What is reserved as huge pages is part of the total, and no ordinary page comes from there.
    const uint64_t reserved = meminfo(text, "HugePages_Total").value_or(0) * out.huge_page;
    out.machine = out.most = *total * kKiB - std::min(*total * kKiB, reserved);
  }
  if (const auto available = meminfo(text, "MemAvailable"))
    out.available = (*available + meminfo(text, "SwapFree").value_or(0)) * kKiB;
  std::istringstream groups(machine.read("/proc/self/cgroup").value_or(""));
  for (std::string line; std::getline(groups, line);) {  // NUMBER:CONTROLLER,...:PATH
    const size_t first = line.find(':');
    const size_t second = first == line.npos ? line.npos : line.find(':', first + 1);
    if (second == line.npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const std::string path = line.substr(second + 1);
    if (controllers == ",,") look_at_group(machine, "/sys/fs/cgroup", path, "memory.max", out);
    if (controllers.find(",memory,") != controllers.npos)
      look_at_group(machine, "/sys/fs/cgroup/memory", path, "memory.limit_in_bytes", out);
  }
  return out;
}

std::string memory_text(const MachineMemory& memory) {
  if (memory.group_file.empty()) return fmt::format("this machine's memory of {} MiB", memory.most / kMiB);
  return fmt::format("the {} MiB that a control group allows ({})", memory.most / kMiB, memory.group_file);
}

size_t cpus_allowed() {
  cpu_set_t set;
  CPU_ZERO(&set);
  const bool known = sched_getaffinity(0, sizeof set, &set) == 0;
  return known ? static_cast<size_t>(CPU_COUNT(&set)) : static_cast<size_t>(sysconf(_SC_NPROCESSORS_ONLN));
}

uint16_t lcores_for(int64_t wanted, size_t cpus) {
  return static_cast<uint16_t>(wanted > 0 ? wanted : std::clamp<int64_t>(static_cast<int64_t>(cpus / 2), 1, 64));
}

}  // namespace penstock::cli
