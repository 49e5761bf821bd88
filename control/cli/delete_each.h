// delete_each(): what a command deletes by name, each by itself: one that cannot be deleted does not keep the others.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace penstock::cli {

// remove deletes one and throws CliError with the reason, or returns false where there was nothing to do. Prints who
// was deleted, as JSON with who was not and why. In the end throws CliError that names every one that was not. A broker
// that cannot be reached ends it at once.
void delete_each(const std::vector<std::string>& names, bool json,
                 const std::function<bool(const std::string&)>& remove);

}  // namespace penstock::cli
