#include "control/listeners.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <map>
#include <memory>
#include <optional>

namespace penstock::control {
namespace {

using Failure = std::unexpected<std::string>;

bool is_every_address(std::string_view host) { return host.empty() || host == "0.0.0.0" || host == "::"; }

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const size_t at = text.find(',');
    std::string_view part = text.substr(0, at);
    text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
    part.remove_prefix(std::min(part.find_first_not_of(' '), part.size()));
    part = part.substr(0, part.find_last_not_of(' ') + 1);
    if (!part.empty()) parts.emplace_back(part);
  }
  return parts;
}

constexpr std::string_view kDevicePrefix = "dpdk:";
constexpr uint16_t kKafkaPort = 9092;

// key=value of a device, as its list goes on behind a comma; nothing if it is a listener of its own.
std::optional<std::pair<std::string_view, std::string_view>> key_value(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) return std::nullopt;
  const std::string_view key = text.substr(0, equals);
  const bool word = std::ranges::all_of(key, [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '-'; });
  if (!word) return std::nullopt;
  return std::pair(key, text.substr(equals + 1));
}

bool names_device(std::string_view listener) {
  const size_t at = listener.find("://");
  return (at == std::string_view::npos ? listener : listener.substr(at + 3)).starts_with(kDevicePrefix);
}

// The list with what belongs to one device in one part.
std::vector<std::string> split_listeners(std::string_view text) {
  std::vector<std::string> listeners;
  for (std::string& part : split_list(text)) {
    if (!listeners.empty() && names_device(listeners.back()) && key_value(part)) {
      listeners.back() += "," + part;
    } else {
      listeners.push_back(std::move(part));
    }
  }
  return listeners;
}

bool parse_number(std::string_view text, uint16_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size();
}

// text: behind "dpdk:".
std::expected<void, std::string> parse_device(std::string_view text, Listener& listener) {
  dataplane::DeviceSettings& settings = listener.device_settings;
  listener.bind.port = kKafkaPort;
  for (const std::string& part : split_list(text)) {
    const auto pair = key_value(part);
    const std::string_view key = settings.device.empty() || !pair ? std::string_view() : pair->first;
    if (key == "address") {
      settings.addresses.emplace_back(pair->second);
    } else if (key == "gateway") {
      settings.gateways.emplace_back(pair->second);
    } else if (key == "vlan" || key == "mtu" || key == "port") {
      uint16_t& number = key == "vlan" ? settings.vlan : key == "mtu" ? settings.mtu : listener.bind.port;
      if (!parse_number(pair->second, number) || number == 0) {
        return Failure(part + " is no number from 1 to 65535");
      }
    } else if (key == "tso") {
      if (pair->second != "on" && pair->second != "off") return Failure(part + ": tso is on or off");
      settings.tso = pair->second == "on";
    } else {
      settings.device += (settings.device.empty() ? "" : ",") + part;
    }
  }
  if (settings.device.empty()) return Failure("the device is missing: dpdk:net_af_packet,iface=NAME,address=...");
  return {};
}

// The kernel's interface that a device stands on; empty if it is another kind.
std::string_view interface_of(std::string_view device) {
  const size_t at = device.find(",iface=");
  if (at == std::string_view::npos || !device.starts_with("net_af_")) return {};
  const std::string_view rest = device.substr(at + std::string_view(",iface=").size());
  return rest.substr(0, rest.find(','));
}

// Who names a device that stands before has its settings, and says none of its own that differ.
std::expected<void, std::string> join_devices(std::string_view setting, std::vector<Listener>& listeners) {
  std::vector<const Listener*> firsts;
  const auto refuse = [&](const Listener& listener, const std::string& what) {
    return Failure(std::string(setting) + ": " + listener.name + ": device " + listener.device_settings.device + what);
  };
  for (size_t i = 0; i < listeners.size(); ++i) {
    Listener& listener = listeners[i];
    dataplane::DeviceSettings& settings = listener.device_settings;
    if (settings.device.empty()) continue;
    const auto found = std::ranges::find_if(
        firsts, [&](const Listener* first) { return first->device_settings.device == settings.device; });
    listener.device = static_cast<uint16_t>(found - firsts.begin());
    if (found == firsts.end()) {
      const std::string_view interface = interface_of(settings.device);
      const auto other = std::ranges::find_if(firsts, [&](const Listener* first) {
        return !interface.empty() && interface_of(first->device_settings.device) == interface;
      });
      if (other != firsts.end()) {
        return refuse(listener, ": interface " + std::string(interface) + " is " + (*other)->name +
                                    "'s already, and frames come to one of both; name that device again, with port=");
      }
      firsts.push_back(&listener);
    } else {
      const dataplane::DeviceSettings bare{.device = settings.device, .addresses = {}, .gateways = {}};
      if (settings != bare && settings != (*found)->device_settings) {
        return refuse(listener, " has other settings in " + (*found)->name + "; say them once");
      }
      settings = (*found)->device_settings;
    }
    for (size_t before = 0; before < i; ++before) {
      if (listeners[before].device == listener.device && listeners[before].bind.port == listener.bind.port) {
        return refuse(listener, ": port " + std::to_string(listener.bind.port) + " is " + listeners[before].name +
                                    "'s already; add port=");
      }
    }
    if (!settings.addresses.empty()) {
      listener.bind.host = settings.addresses.front().substr(0, settings.addresses.front().find('/'));
    }
  }
  return {};
}

std::expected<Listener, std::string> parse_listener(std::string_view setting, const std::string& text) {
  Listener listener{.name = "PLAINTEXT", .bind = {}};
  std::string_view rest = text;
  const size_t at = rest.find("://");
  if (at != std::string_view::npos) {
    listener.name = rest.substr(0, at);
    rest.remove_prefix(at + 3);
  }
  const bool word = !listener.name.empty() && std::ranges::all_of(listener.name, [](char c) {
    return ('A' <= c && c <= 'Z') || ('0' <= c && c <= '9') || c == '_' || c == '-';
  });
  if (!word)
    return Failure(std::string(setting) + ": '" + text + "': a listener's name has capitals, digits and _ only");
  if (listener.name == "SSL" || listener.name.starts_with("SASL_")) {
    return Failure(std::string(setting) + ": '" + text + "': this version has no TLS and no login; use PLAINTEXT");
  }
  if (rest.starts_with(kDevicePrefix)) {
    if (auto done = parse_device(rest.substr(kDevicePrefix.size()), listener); !done) {
      return Failure(std::string(setting) + ": '" + text + "': " + done.error());
    }
    return listener;
  }
  const auto address = parse_host_port(rest);
  if (!address) return Failure(std::string(setting) + ": '" + text + "': " + address.error());
  listener.bind = *address;
  return listener;
}

std::expected<std::vector<Listener>, std::string> parse_list(std::string_view setting, std::string_view text) {
  std::vector<Listener> listeners;
  for (const std::string& part : split_listeners(text)) {
    auto listener = parse_listener(setting, part);
    if (!listener) return Failure(listener.error());
    if (std::ranges::find(listeners, listener->name, &Listener::name) != listeners.end()) {
      return Failure(std::string(setting) + ": the listener name " + listener->name + " stands there twice");
    }
    listeners.push_back(*std::move(listener));
  }
  if (auto done = join_devices(setting, listeners); !done) return Failure(done.error());
  return listeners;
}

struct FreeAddresses {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};
using AddressList = std::unique_ptr<addrinfo, FreeAddresses>;

AddressList look_up(const std::string& host) {
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (getaddrinfo(host.c_str(), nullptr, &wanted, &list) != 0) return nullptr;
  return AddressList(list);
}

// This machine's name, if clients can be expected to look it up.
std::optional<std::string> machine_name() {
  char name[256] = {};
  if (gethostname(name, sizeof name - 1) != 0 || name[0] == '\0') return std::nullopt;
  if (look_up(name) == nullptr) return std::nullopt;
  return name;
}

}  // namespace

std::expected<HostPort, std::string> parse_host_port(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return Failure("HOST:PORT is expected, '" + std::string(text) + "' has no port");
  HostPort address;
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.size() >= 2 && host.starts_with('[') && host.ends_with(']');
  if (bracketed)
    host = host.substr(1, host.size() - 2);
  else if (host.find(':') != std::string_view::npos)
    return Failure("an IPv6 address stands in brackets: [::1]:9092");
  const std::string_view port = text.substr(colon + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (error != std::errc{} || end != port.data() + port.size()) {
    return Failure("the port '" + std::string(port) + "' is not a number from 0 to 65535");
  }
  address.host = host;
  return address;
}

std::expected<std::vector<Listener>, std::string> parse_listeners(const BrokerOptions& options) {
  auto listeners = parse_list("listeners", options.listeners);
  if (listeners && listeners->empty()) return Failure("listeners: at least one address is needed");
  return listeners;
}

std::vector<dataplane::DeviceSettings> devices_of(const std::vector<Listener>& listeners) {
  std::vector<dataplane::DeviceSettings> devices;
  for (const Listener& listener : listeners) {
    if (listener.device == devices.size()) devices.push_back(listener.device_settings);
  }
  return devices;
}

std::expected<dataplane::ListenerAddress, std::string> resolve(const Listener& listener) {
  if (listener.device) {
    return dataplane::ListenerAddress{
        .host = listener.bind.host, .port = listener.bind.port, .device = listener.device};
  }
  if (listener.bind.host.empty()) return dataplane::ListenerAddress{.host = "0.0.0.0", .port = listener.bind.port};
  const AddressList list = look_up(listener.bind.host);
  if (list == nullptr) {
    return Failure("listeners: the name '" + listener.bind.host + "' cannot be looked up; use a numeric address");
  }
  char numeric[NI_MAXHOST];
  if (getnameinfo(list->ai_addr, list->ai_addrlen, numeric, sizeof numeric, nullptr, 0, NI_NUMERICHOST) != 0) {
    return Failure("listeners: '" + listener.bind.host + "' has no usable address");
  }
  return dataplane::ListenerAddress{.host = numeric, .port = listener.bind.port};
}

std::string address_of(const std::string& name) {
  const AddressList list = look_up(name);
  const addrinfo* found = list.get();
  for (const addrinfo* one = list.get(); one != nullptr; one = one->ai_next) {
    if (one->ai_family != AF_INET) continue;
    found = one;
    break;
  }
  char numeric[NI_MAXHOST];
  if (found == nullptr) return {};
  const int rc = getnameinfo(found->ai_addr, found->ai_addrlen, numeric, sizeof numeric, nullptr, 0, NI_NUMERICHOST);
  return rc == 0 ? numeric : std::string();
}

std::expected<void, std::string> check_ports(const std::vector<Listener>& listeners, const std::string& http) {
  struct Port {
    std::string whose;
    std::string host;
    uint16_t port;
  };
  std::vector<Port> ports;
  for (const Listener& listener : listeners) {
    if (listener.device) continue;
    const auto address = resolve(listener);
    if (!address) return Failure(address.error());
    ports.push_back({"listeners: " + listener.name, address->host, address->port});
  }
  if (!http.empty()) {
    const auto bind = parse_host_port(http);
    if (!bind) return Failure("penstock.http.listener: " + bind.error());
    const auto address = resolve({.name = "HTTP", .bind = *bind});
    ports.push_back({"penstock.http.listener", address ? address->host : bind->host, bind->port});
  }
  const auto is_v6 = [](const std::string& host) { return host.find(':') != std::string::npos; };
  for (size_t i = 0; i < ports.size(); ++i) {
    for (size_t k = 0; k < i; ++k) {
      const auto& [whose, host, port] = ports[i];
      const bool overlap = host == ports[k].host || (is_v6(host) == is_v6(ports[k].host) &&
                                                     (is_every_address(host) || is_every_address(ports[k].host)));
      if (port == 0 || port != ports[k].port || !overlap) continue;
      return Failure(whose + ": port " + std::to_string(port) + " is that of " + ports[k].whose +
                     " already; choose another");
    }
  }
  return {};
}

std::expected<std::vector<AdvertisedAddress>, std::string> advertise(const BrokerOptions& options,
                                                                     const std::vector<Listener>& listeners,
                                                                     const std::vector<uint16_t>& bound_ports) {
  const auto told = parse_list("advertised.listeners", options.advertised_listeners);
  if (!told) return Failure(told.error());
  for (const Listener& one : *told) {
    if (one.device) return Failure("advertised.listeners: " + one.name + ": clients connect to HOST:PORT");
    if (is_every_address(one.bind.host)) {
      return Failure("advertised.listeners: clients cannot connect to '" + one.bind.host +
                     "'; name a host or an address");
    }
    if (std::ranges::find(listeners, one.name, &Listener::name) == listeners.end()) {
      return Failure("advertised.listeners: there is no listener named " + one.name);
    }
  }
  std::vector<AdvertisedAddress> addresses;
  for (size_t i = 0; i < listeners.size(); ++i) {
    const Listener& listener = listeners[i];
    const auto own = std::ranges::find(*told, listener.name, &Listener::name);
    if (own != told->end()) {
      const uint16_t port = own->bind.port == 0 ? bound_ports[i] : own->bind.port;
      addresses.push_back({.host = own->bind.host, .port = port});
    } else if (!is_every_address(listener.bind.host)) {
      addresses.push_back({.host = listener.bind.host, .port = bound_ports[i]});
    } else if (const auto name = machine_name()) {
      addresses.push_back({.host = *name, .port = bound_ports[i]});
    } else {
      return Failure("advertised.listeners: the listener " + listener.name +
                     " takes every address and this machine's name cannot be looked up; say what clients shall "
                     "connect to: --set advertised.listeners=" +
                     listener.name + "://HOST:" + std::to_string(bound_ports[i]));
    }
  }
  return addresses;
}

}  // namespace penstock::control
