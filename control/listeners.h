// Listener settings: where to bind, and what clients are told. NAME://HOST:PORT, parted by commas; an IPv6 address
// stands in brackets.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "control/slow_path/slow_path.h"
#include "control/types.h"
#include "dataplane/api/lcore.h"

namespace penstock::control {

struct HostPort {
  std::string host;  // without brackets
  uint16_t port = 0;
};

// "HOST:PORT" or "[::1]:PORT"; an empty host is every address. Nothing if it is neither.
std::expected<HostPort, std::string> parse_host_port(std::string_view text);

struct Listener {
  std::string name;  // PLAINTEXT if the setting does not say
  HostPort bind;
};

// What is wrong is one line that names the setting.
std::expected<std::vector<Listener>, std::string> parse_listeners(const BrokerOptions& options);

// The address to bind: a name is looked up.
std::expected<dataplane::ListenerAddress, std::string> resolve(const Listener& listener);

// By listener, once the ports are known. 0.0.0.0 and :: are never told to clients: without advertised.listeners the
// machine's name is, if it can be looked up; otherwise the setting is asked for.
std::expected<std::vector<AdvertisedAddress>, std::string> advertise(const BrokerOptions& options,
                                                                     const std::vector<Listener>& listeners,
                                                                     const std::vector<uint16_t>& bound_ports);

}  // namespace penstock::control
