#include "control/listeners.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
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
  const auto address = parse_host_port(rest);
  if (!address) return Failure(std::string(setting) + ": '" + text + "': " + address.error());
  listener.bind = *address;
  return listener;
}

std::expected<std::vector<Listener>, std::string> parse_list(std::string_view setting, std::string_view text) {
  std::vector<Listener> listeners;
  for (const std::string& part : split_list(text)) {
    auto listener = parse_listener(setting, part);
    if (!listener) return Failure(listener.error());
    if (std::ranges::find(listeners, listener->name, &Listener::name) != listeners.end()) {
      return Failure(std::string(setting) + ": the listener name " + listener->name + " stands there twice");
    }
    listeners.push_back(*std::move(listener));
  }
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

std::expected<dataplane::ListenerAddress, std::string> resolve(const Listener& listener) {
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

std::expected<std::vector<AdvertisedAddress>, std::string> advertise(const BrokerOptions& options,
                                                                     const std::vector<Listener>& listeners,
                                                                     const std::vector<uint16_t>& bound_ports) {
  const auto told = parse_list("advertised.listeners", options.advertised_listeners);
  if (!told) return Failure(told.error());
  for (const Listener& one : *told) {
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
