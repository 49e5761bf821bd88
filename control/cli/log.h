// penstock log dump | verify | repair: a data folder looked at, checked and repaired without a broker
// (storage/api/log_tool.h). Exit codes: 0 fine, 1 damaged or refused, 2 it could not be run.
#pragma once

namespace CLI {
class App;
}

namespace penstock::cli {

void add_log_command(CLI::App& app);

}  // namespace penstock::cli
