#include "dataplane/link/config.h"

#include <optional>

#include "dataplane/net/address.h"

namespace penstock::dataplane {
namespace {

using Failure = std::unexpected<std::string>;

Failure wrong(const DeviceSettings& settings, const std::string& what) {
  return Failure("device " + settings.device + ": " + what);
}

}  // namespace

std::expected<net::NetworkConfig, std::string> network_config(const DeviceSettings& settings) {
  net::NetworkConfig config{.vlan = settings.vlan};
  if (settings.addresses.empty()) return wrong(settings, "address= is missing: it has no address of the kernel's");
  for (const std::string& text : settings.addresses) {
    const auto address = net::parse_interface_address(text);
    if (!address || net::is_limited_broadcast(address->address)) {
      return wrong(settings, "address=" + text + " is no host's address with a prefix, as 192.0.2.1/24");
    }
    auto& place = address->address.is_v4() ? config.v4 : config.v6;
    if (place) return wrong(settings, "address= stands there twice for one family; a device has one of each");
    place = address;
  }
  for (const std::string& text : settings.gateways) {
    const auto address = net::parse_address(text);
    if (!address) return wrong(settings, "gateway=" + text + " is no IPv4 or IPv6 address");
    const auto& ours = address->is_v4() ? config.v4 : config.v6;
    auto& place = address->is_v4() ? config.gateway_v4 : config.gateway_v6;
    if (place) return wrong(settings, "gateway= stands there twice for one family");
    const bool near = ours && net::same_prefix(*address, ours->address, ours->prefix_bits);
    if (!near && !net::is_link_local_v6(*address)) {
      return wrong(settings, "gateway=" + text + " is not on the link: no address= has its prefix");
    }
    place = address;
  }
  if (settings.vlan > 4094) return wrong(settings, "vlan= is a number from 1 to 4094");
  return config;
}

std::expected<void, std::string> check_device(const DeviceSettings& settings) {
  if (auto config = network_config(settings); !config) return Failure(config.error());
  return {};
}

}  // namespace penstock::dataplane
