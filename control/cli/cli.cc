// Assembles the client subcommands; each has a file of its own.
#include "control/cli/cli.h"

#include <CLI/CLI.hpp>

namespace penstock::cli {

void add_cli_commands(CLI::App& app) { app.require_subcommand(0, 1); }

}  // namespace penstock::cli
