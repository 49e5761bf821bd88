// penstock serve: one broker in the foreground, from its settings to its exit code.
#pragma once

#include <cstdint>
#include <optional>

#include "control/options.h"

namespace penstock::control {

struct ServeRequest {
  Settings settings;
  std::optional<uint64_t> accept_loss_at = {};  // --accept-loss-at: the operator's override of a refused recovery
};

// Returns when SIGTERM, SIGINT or SIGHUP has been obeyed (0; also if it came while the start was under way), or when it
// cannot start or an lcore has failed (1), having said why in one line. Prints one line beginning with "ready" on
// standard output once it serves.
int serve(ServeRequest request);

}  // namespace penstock::control
