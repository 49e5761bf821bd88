// The subcommands of penstock that run beside a broker: its clients (topic, produce, consume, bench), the tools for its
// data folder (log) and its machine (check), and what the command line says of itself (completion, man); for the
// program that owns the command line (control/main.cc).
#pragma once

#include "control/cli/transport.h"

namespace penstock::cli {

class Command;

// Adds them to root; run_command_line (command_line.h) then runs the one that the user named.
// Exit codes: 0 done; 1 the broker refused or the run failed; 2 the broker cannot be reached, or the folder not be
// read; 100 and above for arguments that make no sense.
// open_nic: who opens the device of bench --nic; without one there is no such option.
void add_cli_commands(Command& root, const OpenNic& open_nic = nullptr);

}  // namespace penstock::cli
