// IOMMU, vfio, network cards and their drivers (machine.h).
#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "control/cli/machine/machine.h"

namespace penstock::cli {
namespace {

// Kernel drivers whose cards Debian 12's DPDK (22.11) has a poll mode driver for.
constexpr std::string_view kPolled[] = {
    "bnxt_en",  "cxgb4",      "ena",     "enic",   "gve",     "hns3",      "hinic",     "i40e",     "iavf", "ice",
    "igb",      "igc",        "ionic",   "ixgbe",  "ixgbevf", "mlx4_core", "mlx5_core", "nfp",      "qede", "sfc",
    "vfio-pci", "virtio_net", "vmxnet3", "e1000e", "e1000",   "atlantic",  "mana",      "hv_netvsc"};

bool polled(const std::string& driver) { return std::ranges::find(kPolled, driver) != std::end(kPolled); }

Finding iommu(const Machine& machine, const MachineWish& wish) {
  const size_t groups = machine.names("/sys/kernel/iommu_groups").size();
  if (groups > 0) return {Level::kOk, "IOMMU", fmt::format("on, {} groups", groups), ""};
  return {wish.appliance ? Level::kWarn : Level::kOk, "IOMMU",
          wish.appliance ? "off: vfio-pci takes no card without it" : "off; kernel sockets need none",
          wish.appliance
              ? "kernel parameters intel_iommu=on iommu=pt (AMD: iommu=pt), and the firmware's VT-d or AMD-Vi"
              : ""};
}

Finding vfio(const Machine& machine, const MachineWish& wish) {
  const bool loaded = machine.exists("/sys/bus/pci/drivers/vfio-pci");
  if (loaded) return {Level::kOk, "vfio", "vfio-pci is loaded", ""};
  return {wish.appliance ? Level::kWarn : Level::kOk, "vfio",
          wish.appliance ? "vfio-pci is not loaded" : "not loaded; kernel sockets need none",
          wish.appliance ? "modprobe vfio-pci" : ""};
}

// The names of devices on the virtio bus do not end in their driver: virtio_net stands above.
std::string driver_of(const Machine& machine, const std::string& card) {
  return machine.target("/sys/class/net/" + card + "/device/driver").value_or("");
}

}  // namespace

Findings look_at_network(const Machine& machine, const MachineWish& wish) {
  Findings out{iommu(machine, wish), vfio(machine, wish)};
  for (const std::string& card : machine.names("/sys/class/net")) {
    const std::string driver = driver_of(machine, card);
    if (driver.empty()) continue;  // loopback, bridges: no device behind it
    const int64_t speed = machine.number("/sys/class/net/" + card + "/speed").value_or(-1);
    const bool can = polled(driver);
    const std::string what = fmt::format("driver {}{}{}", driver, speed > 0 ? fmt::format(", {} Mbit/s", speed) : "",
                                         can ? ", DPDK has one too" : ", none in DPDK: kernel sockets only");
    out.push_back({wish.appliance && !can ? Level::kWarn : Level::kOk, "network " + card, what, ""});
  }
  return out;
}

}  // namespace penstock::cli
