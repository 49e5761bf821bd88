// What a user says of a device's addresses, as the network layer takes it.
#pragma once

#include <expected>
#include <string>

#include "dataplane/api/devices.h"
#include "dataplane/net/network.h"

namespace penstock::dataplane {

// What is wrong is one line.
std::expected<net::NetworkConfig, std::string> network_config(const DeviceSettings& settings);

}  // namespace penstock::dataplane
