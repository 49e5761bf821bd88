#include "control/cli/cli.h"

#include "control/cli/bench.h"
#include "control/cli/log.h"
#include "control/cli/topic.h"

namespace penstock::cli {

void add_cli_commands(CLI::App& app) {
  add_topic_command(app);
  add_bench_command(app);
  add_log_command(app);
}

}  // namespace penstock::cli
