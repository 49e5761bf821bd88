// What /proc and /sys say of the machine, read under a root folder (/, or a test's), and what that means for a broker:
// findings, one line each, with the command that changes them.
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
  bool appliance = false;  // spinning lcores, DPDK: more is asked of the machine
  uint64_t ring_bytes = 0;
  uint64_t locked_memory = 0;  // RLIMIT_MEMLOCK of this process, hard
  uint64_t open_files = 0;     // RLIMIT_NOFILE of this process, hard
};

// In bytes; beyond all bounds if it is not known.
uint64_t memory_of(const Machine& machine);
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
