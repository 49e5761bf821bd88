// Log lines to standard error, with time and level.
#pragma once

#include <string_view>

namespace penstock::control {

// Before threads start. level: a word of penstock.log.level.
void set_up_log(std::string_view level);

}  // namespace penstock::control
