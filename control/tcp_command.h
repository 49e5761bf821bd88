// penstock tcp: our TCP over a device, without a broker: an echo, a sink, a source, and clients of such.
#pragma once

namespace penstock::cli {
class Command;
}  // namespace penstock::cli

namespace penstock::control {

void add_tcp_command(cli::Command& root);

}  // namespace penstock::control
