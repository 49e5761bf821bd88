// Devices of a program that was built without DPDK (cmake -DPENSTOCK_DPDK=OFF): there are none.
#include "base/assert.h"
#include "dataplane/api/device_counters.h"
#include "dataplane/api/devices.h"

namespace penstock::dataplane {

class Devices::Impl {};

std::expected<std::unique_ptr<Devices>, std::string> Devices::open(const DevicesRequest& request) {
  if (request.devices.empty()) return std::unique_ptr<Devices>(new Devices(nullptr));
  return std::unexpected(std::string("this program was built without DPDK, so it drives no devices"));
}

Devices::Devices(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Devices::~Devices() = default;
Devices::Buffers Devices::close() { return {}; }
void Devices::add_log_memory(std::span<std::byte>) {}
std::span<SharedDevice* const> Devices::all() const { return {}; }
const std::string& Devices::description(size_t) const { std::unreachable(); }
const std::string& Devices::name(size_t) const { std::unreachable(); }
const DeviceCounters& Devices::counters(size_t, uint16_t) const { std::unreachable(); }
void Devices::enter_lcore() {}
void Devices::leave_lcore() {}

}  // namespace penstock::dataplane
