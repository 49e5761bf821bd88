#include "control/address_limit_settings.h"

#include "control/listeners.h"
#include "dataplane/api/address_limits.h"

namespace penstock::control {

using Failure = std::unexpected<std::string>;

std::expected<std::string, std::string> resolve_address_limits(const dataplane::DataplaneOptions& options) {
  const auto overrides =
      dataplane::AddressLimits::parse_overrides(options.connections_max_per_ip_overrides, address_of);
  if (!overrides) return Failure("max.connections.per.ip.overrides: " + overrides.error());
  if (options.connections_max_per_ip == 0 && overrides->empty())
    return Failure(
        "max.connections.per.ip: 0 leaves nobody who may connect; name them in max.connections.per.ip.overrides");
  return dataplane::AddressLimits::to_text(*overrides);
}

}  // namespace penstock::control
