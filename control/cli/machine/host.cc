// Kernel, io_uring, limits, huge pages, CPUs (machine.h).
#include <fmt/format.h>

#include <cstdio>
#include <map>

#include "base/units.h"
#include "control/cli/machine/machine.h"
#include "storage/api/ring_size.h"

namespace penstock::cli {
namespace {

constexpr uint64_t kOpenFilesEnough = 65'536;
// What must be free of them for a card with one queue at the default settings: buffers, send memory, the driver's own.
constexpr uint64_t kCardBytes = 136 * kMiB;

Finding kernel(const Machine& machine) {
  const std::string release = machine.read("/proc/sys/kernel/osrelease").value_or("unknown");
  int major = 0;
  int minor = 0;
  const bool read = std::sscanf(release.c_str(), "%d.%d", &major, &minor) == 2;
  if (read && (major > 6 || (major == 6 && minor >= 1))) return {Level::kOk, "kernel", "Linux " + release, ""};
  return {Level::kFail, "kernel", fmt::format("Linux {}; 6.1 or newer is needed", release), "boot a newer kernel"};
}

Finding io_uring(const Machine& machine) {
  const auto disabled = machine.number("/proc/sys/kernel/io_uring_disabled");  // since Linux 6.6
  if (disabled.value_or(0) == 0) return {Level::kOk, "io_uring", "allowed", ""};
  const bool for_some = *disabled == 1;
  return {for_some ? Level::kWarn : Level::kFail, "io_uring",
          for_some ? "allowed only with CAP_SYS_ADMIN or in the group of kernel.io_uring_group" : "switched off",
          "sysctl -w kernel.io_uring_disabled=0"};
}

std::string limit_text(uint64_t limit) {
  return limit == UINT64_MAX ? std::string("unlimited") : fmt::format("{} MiB", limit / kMiB);
}

uint64_t all_rings(const MachineWish& wish) {
  uint64_t bytes = 0;
  return __builtin_mul_overflow(wish.rings, wish.ring_bytes, &bytes) ? UINT64_MAX : bytes;
}

std::string rings_text(const MachineWish& wish) {
  if (wish.rings == 1) return fmt::format("the ring of {} MiB", wish.ring_bytes / kMiB);
  return fmt::format("the {} rings of {} MiB each", wish.rings, wish.ring_bytes / kMiB);
}

// Registered memory counts since Linux 5.12 only where the process has no CAP_IPC_LOCK, but then it counts whole.
Finding locked_memory(const MachineWish& wish) {
  // vfio pins what a card may read and write, huge pages too.
  const uint64_t card = wish.appliance ? kCardBytes : 0;
  if (wish.locked_memory >= all_rings(wish) + card + 64 * kMiB)
    return {Level::kOk, "locked memory", limit_text(wish.locked_memory), ""};
  return {Level::kWarn, "locked memory",
          fmt::format("{}; {} cannot be registered with the kernel, each write then maps its pages{}",
                      limit_text(wish.locked_memory), rings_text(wish),
                      card > 0 ? "; nor can vfio pin a card's buffers, unless this is root" : ""),
          "ulimit -l unlimited; in a systemd unit: LimitMEMLOCK=infinity"};
}

Finding open_files(const MachineWish& wish) {
  if (wish.open_files >= kOpenFilesEnough) return {Level::kOk, "open files", fmt::format("{}", wish.open_files), ""};
  return {Level::kWarn, "open files", fmt::format("{}: as many connections and open segments at most", wish.open_files),
          fmt::format("ulimit -n {0}; in a systemd unit: LimitNOFILE={0}", kOpenFilesEnough)};
}

// What a start refuses, in its words.
Finding ring(const Machine& machine, const MachineWish& wish) {
  const storage::RingBounds bounds = storage::ring_bounds();
  if (wish.ring_bytes < bounds.least || wish.ring_bytes > bounds.most)
    return {Level::kFail, "ring",
            fmt::format("penstock.ring.bytes: '{}' is not a whole number from {} to {} (bytes, or with KiB, MiB, GiB, "
                        "TiB)",
                        wish.ring_bytes, bounds.least, bounds.most),
            "take another size"};
  const MachineMemory memory = look_at_memory(machine);
  const std::string size =
      (wish.rings > 1 ? fmt::format("{} times ", wish.rings) : "") + fmt::format("{} MiB", wish.ring_bytes / kMiB);
  if (all_rings(wish) <= memory.most) return {Level::kOk, "ring", size, ""};
  return {Level::kFail, "ring", fmt::format("{} is more than {}", size, memory_text(memory)),
          smaller_ring(storage::ring_that_fits(UINT64_MAX, memory.most, wish.rings))};
}

Finding huge_pages(const Machine& machine, const MachineWish& wish) {
  // The ring takes pages of the default size; a kernel parameter may have made that 1 GiB.
  const uint64_t page = look_at_memory(machine).huge_page;
  const auto free =
      machine.number(fmt::format("/sys/kernel/mm/hugepages/hugepages-{}kB/free_hugepages", page / kKiB)).value_or(0);
  const uint64_t rings = wish.rings * ((wish.ring_bytes + page - 1) / page);  // each takes whole pages
  const uint64_t card = wish.appliance ? (kCardBytes + page - 1) / page : 0;
  const uint64_t needed = rings + card;
  const std::string takes = fmt::format("{} of {} MiB are free, {} {}{}", free, page / kMiB,
                                        wish.rings == 1 ? "a ring takes" : "the rings take", rings,
                                        card > 0 ? fmt::format(", a card {}", card) : "");
  if (static_cast<uint64_t>(free) >= needed) return {Level::kOk, "huge pages", takes, ""};
  const std::string thp = machine.read("/sys/kernel/mm/transparent_hugepage/enabled").value_or("");
  const bool transparent = thp.find("[never]") == std::string::npos && !thp.empty();
  const std::string what =
      fmt::format("{}; ordinary memory is used{}", takes, transparent ? ", with transparent huge pages" : "");
  return {wish.appliance || !transparent ? Level::kWarn : Level::kOk, "huge pages", what,
          fmt::format("sysctl -w vm.nr_hugepages={}", needed)};
}

Finding governor(const Machine& machine, const MachineWish& wish) {
  std::map<std::string, int> counts;
  for (const std::string& cpu : machine.names("/sys/devices/system/cpu")) {
    const auto name = machine.read("/sys/devices/system/cpu/" + cpu + "/cpufreq/scaling_governor");
    if (name) counts[*name] += 1;
  }
  if (counts.empty()) return {Level::kOk, "CPU governor", "none here (a virtual machine?)", ""};
  std::string what;
  for (const auto& [name, cpus] : counts) what += fmt::format("{}{} on {} CPUs", what.empty() ? "" : ", ", name, cpus);
  const bool steady = counts.size() == 1 && counts.begin()->first == "performance";
  if (steady) return {Level::kOk, "CPU governor", what, ""};
  return {wish.appliance ? Level::kWarn : Level::kOk, "CPU governor", what + ": clocks rise after the work has come",
          "cpupower frequency-set -g performance"};
}

Finding isolated_cpus(const Machine& machine, const MachineWish& wish) {
  const std::string cpus = machine.read("/sys/devices/system/cpu/isolated").value_or("");
  if (!cpus.empty()) return {Level::kOk, "isolated CPUs", cpus, ""};
  return {wish.appliance ? Level::kWarn : Level::kOk, "isolated CPUs",
          wish.appliance ? "none: other processes may run where an lcore spins" : "none; adaptive lcores need none",
          wish.appliance ? "kernel parameter isolcpus=managed_irq,domain,2-5 (the CPUs of penstock.lcore.cpus)" : ""};
}

}  // namespace

Findings look_at_host(const Machine& machine, const MachineWish& wish) {
  return {kernel(machine),  io_uring(machine),         ring(machine, wish),     locked_memory(wish),
          open_files(wish), huge_pages(machine, wish), governor(machine, wish), isolated_cpus(machine, wish)};
}

std::string smaller_ring(std::optional<uint64_t> bytes) {
  if (!bytes) return "take another machine";
  return fmt::format("take a smaller one: --set penstock.ring.bytes={}MiB", *bytes / kMiB);
}

}  // namespace penstock::cli
