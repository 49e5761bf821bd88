// The subcommands of penstock that run beside a broker: its clients (topic, bench) and the tool for its data folder
// (log), for the program that owns the command line (control/main.cc).
#pragma once

namespace CLI {
class App;
}

namespace penstock::cli {

// Adds them to app. A command runs while app parses, and leaves by throwing CLI::RuntimeError with its exit code (0 is
// a plain return), so that the caller's one catch of CLI::ParseError with app.exit() serves every end.
// Exit codes: 0 done; 1 the broker refused or the run failed; 2 the broker cannot be reached, or the folder not be
// read; CLI11's own (100 and above) for arguments that make no sense.
void add_cli_commands(CLI::App& app);

}  // namespace penstock::cli
