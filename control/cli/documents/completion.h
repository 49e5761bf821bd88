// Completion scripts for shells, from the declarations of the command line: commands, options, the choices of a value,
// files, folders, and the topics of the broker at the default address.
#pragma once

#include <string>

#include "control/cli/command_line.h"

namespace penstock::cli {

std::string bash_completion(const Command& root);
std::string zsh_completion(const Command& root);
std::string fish_completion(const Command& root);

}  // namespace penstock::cli
