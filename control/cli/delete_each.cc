#include "control/cli/delete_each.h"

#include <fmt/format.h>

#include "control/cli/command.h"
#include "control/cli/error.h"
#include "control/cli/json.h"

namespace penstock::cli {

void delete_each(const std::vector<std::string>& names, bool json,
                 const std::function<bool(const std::string&)>& remove) {
  auto deleted = Json::array();
  auto failed = Json::array();
  std::string reasons;
  for (const std::string& name : names) {
    try {
      if (!remove(name)) continue;
      deleted.push_back(name);
      if (!json) print(fmt::format("Deleted {}\n", name));
    } catch (const CliError& error) {
      if (error.exit_code() == kExitUnreachable) throw;
      failed.push_back(Json{{"name", name}, {"error", error.what()}});
      reasons += (reasons.empty() ? "" : "; ") + std::string(error.what());
    }
  }
  if (json) print(Json{{"deleted", deleted}, {"failed", failed}});
  if (!reasons.empty()) throw CliError(kExitFailed, reasons);
}

}  // namespace penstock::cli
