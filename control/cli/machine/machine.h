// What /proc and /sys say of the machine, read under a root folder (/, or a test's), and what that means for a broker:
// findings, one line each, with the command that changes them. What a start refuses, it looks up here too.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::cli {

enum class Level : uint8_t { kOk, kWarn, kFail };

struct Finding {
  Level level = Level::kOk;
  std::string name;    // "kernel"
  std::string what;    // what there is, and what it costs
  std::string change;  // what to do about it; empty where nothing is to be done
};
using Findings = std::vector<Finding>;

class Machine {
 public:
  explicit Machine(std::string root) : root_(std::move(root)) {}

  // A small file without its last line's end; nullopt: there is none.
  std::optional<std::string> read(const std::string& path) const;
  std::optional<int64_t> number(const std::string& path) const;
  // Names in a folder, sorted; none if it is not there.
  std::vector<std::string> names(const std::string& path) const;
  bool exists(const std::string& path) const;
  // The last part of what a symbolic link, followed to its end, names.
  std::optional<std::string> target(const std::string& path) const;

 private:
  std::string root_;
};

// What the broker is to be on this machine.
struct MachineWish {
  bool appliance = false;      // spinning lcores, DPDK: more is asked of the machine
  uint64_t rings = 1;          // each lcore has one at least, and each data folder
  uint64_t ring_bytes = 0;     // of each
  uint64_t locked_memory = 0;  // RLIMIT_MEMLOCK of this process, hard
  uint64_t open_files = 0;     // RLIMIT_NOFILE of this process, hard
};

// Memory that this process may come to hold, in bytes; beyond all bounds where it is not known.
struct MachineMemory {
  uint64_t machine = UINT64_MAX;    // ordinary pages that the machine has
  uint64_t most = UINT64_MAX;       // of them: all, or what a control group allows
  std::string group_file = {};      // which says so; empty: the machine does
  uint64_t available = UINT64_MAX;  // of that the kernel can give now, swap counted
  uint64_t huge_page = 0;           // size of a page of the pool that mmap takes from
  uint64_t huge_free = 0;           // bytes of it
};
MachineMemory look_at_memory(const Machine& machine);
// "this machine's memory of 24576 MiB", or the control group's.
std::string memory_text(const MachineMemory& memory);

// CPUs that this process may use.
size_t cpus_allowed();
// Lcores of a broker: as many as wanted, or with 0 half the CPUs, at least one.
uint16_t lcores_for(int64_t wanted, size_t cpus);

// What to change about a ring that is too large; bytes: what fits, if anything does.
std::string smaller_ring(std::optional<uint64_t> bytes);
// Kernel, io_uring, the ring's size, limits, huge pages, CPUs.
Findings look_at_host(const Machine& machine, const MachineWish& wish);
// IOMMU, vfio, network cards and their drivers.
Findings look_at_network(const Machine& machine, const MachineWish& wish);
// Network cards that vfio-pci has: their IOMMU groups, and whether huge pages and isolated CPUs are on their NUMA node.
Findings look_at_cards(const Machine& machine);
// The drive behind a block device "8:1": what its write cache, FUA and scheduler mean for durable writes.
Findings look_at_drive(const Machine& machine, const std::string& device);
// The file system by statfs's f_type.
Finding look_at_file_system(uint64_t type);

}  // namespace penstock::cli
