#include "control/device_flags.h"

#include <sys/random.h>

#include <span>
#include <utility>

#include "base/assert.h"
#include "control/types.h"

namespace penstock::control {

std::expected<Listener, std::string> parse_device_flag(const std::string& flag, const std::string& text) {
  BrokerOptions options;
  options.listeners = text.starts_with("dpdk:") ? text : "dpdk:" + text;
  auto listeners = parse_listeners(options);
  if (!listeners) {
    const std::string& why = listeners.error();
    const size_t colon = why.find(':');  // behind the setting's name
    return std::unexpected(flag + (colon == std::string::npos ? ": " + why : why.substr(colon)));
  }
  if (listeners->size() != 1) return std::unexpected(flag + ": one device is expected");
  if (auto fit = dataplane::check_device(listeners->front().device_settings); !fit) return std::unexpected(fit.error());
  return std::move(listeners->front());
}

std::expected<std::unique_ptr<dataplane::Devices>, std::string> open_device(const dataplane::DeviceSettings& settings,
                                                                            const dataplane::DataplaneOptions& options,
                                                                            bool huge_pages) {
  return dataplane::Devices::open({.devices = {settings},
                                   .lcores = 1,
                                   .huge_pages = huge_pages,
                                   .options = options,
                                   .fill_random = [](std::span<std::byte> out) {
                                     CHECK(getrandom(out.data(), out.size(), 0) == static_cast<ssize_t>(out.size()));
                                   }});
}

}  // namespace penstock::control
