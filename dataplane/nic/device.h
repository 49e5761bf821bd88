// A device as its user names it, and what that means to DPDK: the PCI address of a network card ("0000:03:00.0"), or a
// virtual device ("net_af_packet,iface=veth1", "net_tap,iface=tap0", "net_memif,role=server"), in DPDK's own notation.
// Text in, text out: nothing here needs DPDK.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::dataplane::nic {

struct Device {
  std::string name;       // PCI address, or the virtual device's driver and number
  std::string arguments;  // key=value,... as given, and what the driver needs besides
  bool is_virtual = false;

  // The driver of a virtual device: its name without the number.
  std::string_view driver() const;
  std::string text() const;
};

// Nothing if it is neither a PCI address nor a net_ device. A virtual device without a number gets `number`, so that
// several can be told apart.
std::optional<Device> parse_device(std::string_view text, unsigned number);

// The value of key in a device's arguments.
std::optional<std::string_view> argument(const Device& device, std::string_view key);

// Adds to the arguments what `queues` queue pairs need of this driver, and what keeps it from blocking.
void complete_arguments(Device& device, unsigned queues);

// What EAL options depend on besides the devices.
struct MachineFacts {
  uint64_t free_huge_bytes = 0;  // of all sizes
  std::string cpus;              // that this process may use, as a list ("0-3,8")
};
MachineFacts read_machine_facts();

enum class HugePages : uint8_t { kAuto, kOn, kOff };

struct EalOptions {
  std::vector<Device> devices;
  uint64_t memory_bytes = 0;  // for all buffers of all devices
  HugePages huge_pages = HugePages::kAuto;
};

// Whether memory comes from huge pages: what was asked for; if nothing was, whether enough are free.
bool uses_huge_pages(const EalOptions& options, const MachineFacts& machine);

// The command line of rte_eal_init.
std::vector<std::string> eal_arguments(const EalOptions& options, const MachineFacts& machine);

}  // namespace penstock::dataplane::nic
