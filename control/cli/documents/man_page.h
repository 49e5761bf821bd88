// The manual page, from the declarations of the command line.
#pragma once

#include <string>

#include "control/cli/command_line.h"

namespace penstock::cli {

// For man(1), in the macros of man(7).
std::string man_page(const Command& root, const std::string& version);

}  // namespace penstock::cli
