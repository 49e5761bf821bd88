// penstock log dump | verify | repair: a data folder looked at, checked and repaired without a broker
// (storage/api/log_tool.h). Exit codes: 0 fine, 1 damaged or refused, 2 it could not be run.
#pragma once

namespace penstock::cli {

class Command;

void add_log_command(Command& root);

}  // namespace penstock::cli
