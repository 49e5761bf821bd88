// What every client subcommand shares: its broker option, how values with units are read, and how it prints.
#pragma once

#include <string>
#include <vector>

#include "base/units.h"
#include "control/cli/quantity.h"
#include "control/cli/socket.h"
#include "control/cli/transport.h"

namespace penstock::cli {

class Command;
class Json;
struct Option;

struct BrokerOptions {
  Endpoint bootstrap{"127.0.0.1", 9092};
  Nanos timeout = 10 * kSecond;
  bool ends_at_interrupt = false;  // a wait for an answer; else only who asks looks (load/interrupt.h)
  NicOptions nic = {};
};
void add_broker_options(Command& command, BrokerOptions& options);
// --nic, if there is somebody to open it.
void add_nic_options(Command& command, NicOptions& options, const OpenNic& open);

// Options whose text has a unit (control/cli/quantity.h). The default is what the variable holds; shown says it in
// help.
Option& add_bytes_option(Command& command, const std::string& name, uint64_t& value, const std::string& help);
Option& add_duration_option(Command& command, const std::string& name, Nanos& value, const std::string& help);
Option& add_rate_option(Command& command, const std::string& name, Rate& value, const std::string& help);

// Writes text to a file, or to standard output for "-". Throws CliError.
void write_output(const std::string& path, const std::string& text);
// To standard output.
void print(const std::string& text);
void print(const Json& value);

// Rows of cells as aligned columns; the first row is the heading.
std::string table_text(const std::vector<std::vector<std::string>>& rows);

}  // namespace penstock::cli
