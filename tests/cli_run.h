// Runs a client command in the test's own process, as main does, and keeps what it prints.
#pragma once

#include <string>
#include <vector>

namespace penstock {

struct CommandResult {
  int exit_code = 0;
  std::string out;
  std::string err;
};

// arguments: without the program's name.
CommandResult run_command(std::vector<std::string> arguments);

}  // namespace penstock
