// A device as the command line names it: what a listener takes behind "dpdk:", that prefix itself being optional.
#pragma once

#include <expected>
#include <memory>
#include <string>

#include "control/listeners.h"
#include "dataplane/api/devices.h"

namespace penstock::control {

// What is wrong is one line. flag: as it was spelled, for that line.
std::expected<Listener, std::string> parse_device_flag(const std::string& flag, const std::string& text);

// Opens it, for one thread.
std::expected<std::unique_ptr<dataplane::Devices>, std::string> open_device(const dataplane::DeviceSettings& settings,
                                                                            const dataplane::DataplaneOptions& options,
                                                                            bool huge_pages);

}  // namespace penstock::control
