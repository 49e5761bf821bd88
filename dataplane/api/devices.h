// Devices: the network devices that this process drives itself, past the kernel: what control says of them, and the
// link by which lcores get to them. Concrete; with DPDK its body is dataplane/nic's, without it a refusal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "dataplane/api/types.h"

namespace penstock::dataplane {

class SharedDevice;     // dataplane/link/shared_device.h
struct DeviceCounters;  // dataplane/api/device_counters.h

struct DeviceSettings {
  std::string device;                  // as DPDK names it: "0000:03:00.0", "net_af_packet,iface=wire0"
  std::vector<std::string> addresses;  // ours, with the prefix of the link: "192.0.2.1/24"; one of each family at most
  std::vector<std::string> gateways;   // one of each family at most
  uint16_t vlan = 0;                   // 0: frames have no tag
  uint16_t mtu = 0;                    // 0: the device's own
  bool tso = true;                     // segments are cut by the device, if it can
  friend bool operator==(const DeviceSettings&, const DeviceSettings&) = default;
};

// What is wrong with the addresses, in words; nothing is opened.
std::expected<void, std::string> check_device(const DeviceSettings& settings);

struct DevicesRequest {
  std::vector<DeviceSettings> devices;
  uint16_t lcores = 1;
  bool huge_pages = true;  // if there are enough
  DataplaneOptions options;
  std::function<void(std::span<std::byte>)> fill_random;  // true randomness, for keys that peers must not guess
};

class Devices {
 public:
  // Starts DPDK and opens them all. Once a process. What is wrong is one line that says what to do.
  static std::expected<std::unique_ptr<Devices>, std::string> open(const DevicesRequest& request);
  // After the lcores are gone.
  ~Devices();

  // In the order of the request.
  std::span<SharedDevice* const> all() const;
  // For the log: "net_af_packet0 (net_af_packet), 02:00:00:00:00:01, MTU 1500, 1 queue, ...".
  const std::string& description(size_t device) const;
  const std::string& name(size_t device) const;
  const DeviceCounters& counters(size_t device, uint16_t lcore) const;

  // Closes them, which no lcore uses any more; what was counted is gone with them. How many buffers are not home then:
  // somebody still holds what was received, or what was sent was never told to be free.
  struct Buffers {
    size_t total = 0;
    size_t out = 0;
  };
  Buffers close();

  // Memory that records are sent from, of whole pages of 4 KiB. A card that reads only what is mapped for it has it
  // mapped, so that they leave by reference; if that fails they are copied, which the log says once for a card. Before
  // lcores run; the memory stays until this object is gone.
  void add_log_memory(std::span<std::byte> memory);

  // The calling thread is an lcore from now on, or is none any more.
  void enter_lcore();
  void leave_lcore();

 private:
  class Impl;
  explicit Devices(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::dataplane
