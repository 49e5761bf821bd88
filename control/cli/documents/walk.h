// A visit to each command of the tree with the words that lead to it.
#pragma once

#include <string>
#include <vector>

#include "control/cli/command_line.h"

namespace penstock::cli {

// each(command, path): "penstock", "penstock topic", "penstock topic create"; parents first, in the order of
// declaration.
template <class Each>
void for_each_command(const Command& command, const std::string& path, const Each& each) {
  each(command, path);
  for (const Command& below : command.commands()) for_each_command(below, path + " " + below.name(), each);
}

// With spaces between them.
inline std::string spaced(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : " ") + word;
  return out;
}

}  // namespace penstock::cli
