// The client commands' way to a broker over a network device that this process drives itself, with our own TCP: what
// bench --nic opens. It polls: whoever waits for it takes a core.
#pragma once

#include <memory>

#include "control/cli/transport.h"

namespace penstock::control {

// Throws cli::CliError with one line.
std::unique_ptr<cli::Transport> open_device_transport(const cli::NicOptions& nic, Nanos timeout);

}  // namespace penstock::control
