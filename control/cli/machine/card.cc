// Cards that vfio-pci has, which no kernel interface shows any more: their IOMMU group, and what of the machine is on
// their NUMA node (machine.h).
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <string_view>

#include "control/cli/machine/machine.h"

namespace penstock::cli {
namespace {

constexpr std::string_view kVfio = "vfio-pci";

std::string device(const std::string& address) { return "/sys/bus/pci/devices/" + address; }

// PCI class 02: network controllers.
bool is_network_card(const Machine& machine, const std::string& address) {
  return machine.read(device(address) + "/class").value_or("").starts_with("0x02");
}

// Bridges stay with the kernel: vfio counts their group as free with pcieport on them.
bool keeps_group(const std::string& driver) { return !driver.empty() && driver != kVfio && driver != "pcieport"; }

Finding card(const Machine& machine, const std::string& address) {
  const std::string name = "card " + address;
  const auto group = machine.target(device(address) + "/iommu_group");
  if (!group) {
    return {Level::kWarn, name, "bound to vfio-pci without an IOMMU: it may write anywhere in memory",
            "kernel parameters intel_iommu=on iommu=pt (AMD: iommu=pt), and the firmware's VT-d or AMD-Vi"};
  }
  for (const std::string& other : machine.names("/sys/kernel/iommu_groups/" + *group + "/devices")) {
    const std::string driver = machine.target(device(other) + "/driver").value_or("");
    if (!keeps_group(driver)) continue;
    return {Level::kWarn, name,
            fmt::format("IOMMU group {} has {} too, which the kernel's {} drives: vfio gives out whole groups", *group,
                        other, driver),
            fmt::format("dpdk-devbind.py --bind=vfio-pci {}, or put the card into another slot", other)};
  }
  const int64_t node = machine.number(device(address) + "/numa_node").value_or(-1);
  return {Level::kOk, name,
          fmt::format("bound to vfio-pci, IOMMU group {}{}", *group,
                      node < 0 ? std::string() : fmt::format(", NUMA node {}", node)),
          ""};
}

uint64_t free_huge_bytes(const Machine& machine, const std::string& node) {
  uint64_t bytes = 0;
  const std::string folder = "/sys/devices/system/node/" + node + "/hugepages";
  for (const std::string& size : machine.names(folder)) {  // hugepages-2048kB
    constexpr std::string_view kPrefix = "hugepages-";
    uint64_t kib = 0;
    if (!size.starts_with(kPrefix)) continue;
    std::from_chars(size.data() + kPrefix.size(), size.data() + size.size(), kib);
    bytes += kib * 1024 * static_cast<uint64_t>(machine.number(folder + "/" + size + "/free_hugepages").value_or(0));
  }
  return bytes;
}

// "2-5,8"
std::set<int> cpus_of(std::string_view list) {
  std::set<int> out;
  while (!list.empty()) {
    const std::string_view range = list.substr(0, list.find(','));
    list.remove_prefix(std::min(range.size() + 1, list.size()));
    int first = 0;
    const auto [end, error] = std::from_chars(range.data(), range.data() + range.size(), first);
    if (error != std::errc{}) continue;
    int last = first;
    if (end != range.data() + range.size() && *end == '-') std::from_chars(end + 1, range.data() + range.size(), last);
    for (int cpu = first; cpu <= last; ++cpu) out.insert(cpu);
  }
  return out;
}

// A card on a machine of several nodes: are its huge pages and its lcores' CPUs where it is?
Findings on_its_node(const Machine& machine, const std::string& address) {
  const int64_t number = machine.number(device(address) + "/numa_node").value_or(-1);
  if (number < 0) return {};
  const std::string node = fmt::format("node{}", number);
  Findings out;
  if (free_huge_bytes(machine, node) == 0) {
    out.push_back(
        {Level::kWarn, "huge pages of " + node, fmt::format("none are free where {} is", address),
         fmt::format("echo 512 > /sys/devices/system/node/{}/hugepages/hugepages-2048kB/nr_hugepages", node)});
  }
  const std::set<int> isolated = cpus_of(machine.read("/sys/devices/system/cpu/isolated").value_or(""));
  const std::string list = machine.read("/sys/devices/system/node/" + node + "/cpulist").value_or("");
  bool some = isolated.empty();  // then there is a line of its own about it
  for (const int cpu : cpus_of(list)) some = some || isolated.contains(cpu);
  if (!some) {
    out.push_back({Level::kWarn, "CPUs of " + node, fmt::format("none are isolated where {} is", address),
                   fmt::format("isolate some of {} (isolcpus=, penstock.lcore.cpus)", list)});
  }
  return out;
}

}  // namespace

Findings look_at_cards(const Machine& machine) {
  size_t nodes = 0;
  for (const std::string& name : machine.names("/sys/devices/system/node"))
    nodes += name.starts_with("node") && name.size() > 4 ? 1 : 0;
  Findings out;
  for (const std::string& address : machine.names("/sys/bus/pci/drivers/vfio-pci")) {
    if (!is_network_card(machine, address)) continue;  // new_id, bind, other devices
    out.push_back(card(machine, address));
    if (nodes < 2) continue;
    for (Finding& finding : on_its_node(machine, address)) out.push_back(std::move(finding));
  }
  return out;
}

}  // namespace penstock::cli
