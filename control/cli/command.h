// What every client subcommand shares: its broker option, how values with units are read, and how errors leave.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/units.h"
#include "control/cli/quantity.h"
#include "control/cli/socket.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace penstock::cli {

struct BrokerOptions {
  Endpoint bootstrap{"127.0.0.1", 9092};
  Nanos timeout = 10 * kSecond;
};
void add_broker_options(CLI::App& command, BrokerOptions& options);

// Options whose text has a unit (control/cli/quantity.h). The default is what the variable holds; shown says it in
// help.
CLI::Option* add_bytes_option(CLI::App& command, const std::string& name, uint64_t& value, const std::string& help);
CLI::Option* add_duration_option(CLI::App& command, const std::string& name, Nanos& value, const std::string& help);
CLI::Option* add_rate_option(CLI::App& command, const std::string& name, Rate& value, const std::string& help);

// Runs action when command was chosen. A CliError or any other exception becomes one line on standard error and an exit
// code (control/cli/cli.h).
void on_run(CLI::App& command, std::function<void()> action);

// Writes text to a file, or to standard output for "-". Throws CliError.
void write_output(const std::string& path, const std::string& text);

// Rows of cells as aligned columns; the first row is the heading.
std::string table_text(const std::vector<std::vector<std::string>>& rows);

}  // namespace penstock::cli
