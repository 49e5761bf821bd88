// The settings of how many connections an address may have, with addresses for names.
#pragma once

#include <expected>
#include <string>

#include "dataplane/api/types.h"

namespace penstock::control {

// max.connections.per.ip.overrides as lcores take it: each name is looked up. What is wrong is one line that names the
// setting.
std::expected<std::string, std::string> resolve_address_limits(const dataplane::DataplaneOptions& options);

}  // namespace penstock::control
