// Listener settings: where to bind, and what clients are told. Parted by commas, each is one of
//
//   NAME://HOST:PORT                                    a socket of the kernel; an IPv6 address stands in brackets
//   NAME://dpdk:DEVICE,address=ADDRESS/PREFIX,...       a device that this process drives itself
//
// DEVICE is DPDK's name of it (dataplane/nic/device.h); what follows as key=value belongs to it as well, but for
// address and gateway (one of each family), vlan, mtu and port, which are ours. Listeners that name the same device
// share it: they have different ports, and the first one says the rest.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/slow_path/slow_path.h"
#include "control/types.h"
#include "dataplane/api/devices.h"
#include "dataplane/api/lcore.h"

namespace penstock::control {

struct HostPort {
  std::string host;  // without brackets
  uint16_t port = 0;
};

// "HOST:PORT" or "[::1]:PORT"; an empty host is every address. Nothing if it is neither.
std::expected<HostPort, std::string> parse_host_port(std::string_view text);

struct Listener {
  std::string name;                               // PLAINTEXT if the setting does not say
  HostPort bind;                                  // of a device: its first address
  std::optional<uint16_t> device = std::nullopt;  // its index in devices_of()
  dataplane::DeviceSettings device_settings = {};
};

// What is wrong is one line that names the setting.
std::expected<std::vector<Listener>, std::string> parse_listeners(const BrokerOptions& options);

// The devices that listeners name, each once.
std::vector<dataplane::DeviceSettings> devices_of(const std::vector<Listener>& listeners);

// That no two of the kernel's listeners, nor HTTP's (HOST:PORT, or empty: none), want the same port of an address.
std::expected<void, std::string> check_ports(const std::vector<Listener>& listeners, const std::string& http);

// The address to bind: a name is looked up.
std::expected<dataplane::ListenerAddress, std::string> resolve(const Listener& listener);

// The numeric address of a name, one of IPv4 if it has any; empty if it cannot be looked up.
std::string address_of(const std::string& name);

// By listener, once the ports are known. 0.0.0.0 and :: are never told to clients: without advertised.listeners the
// machine's name is, if it can be looked up; otherwise the setting is asked for.
std::expected<std::vector<AdvertisedAddress>, std::string> advertise(const BrokerOptions& options,
                                                                     const std::vector<Listener>& listeners,
                                                                     const std::vector<uint16_t>& bound_ports);

}  // namespace penstock::control
