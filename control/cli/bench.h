// penstock bench produce | consume | latency | groups | disk: measures a broker from outside, and the drive beneath it.
// docs/BENCHMARKING.md tells how to use it.
#pragma once

#include "control/cli/transport.h"

namespace penstock::cli {

class Command;

void add_bench_command(Command& root, const OpenNic& open_nic);

}  // namespace penstock::cli
