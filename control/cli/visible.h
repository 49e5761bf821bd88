// Texts that clients of the broker chose, names of groups and hosts say, for a terminal.
#pragma once

#include <string>
#include <string_view>

namespace penstock::cli {

// With control characters, which may be orders to a terminal, as \x1b.
std::string visible(std::string_view text);

}  // namespace penstock::cli
