// penstock bench produce | consume | latency | disk: measures a broker from outside, and the drive beneath it.
// docs/BENCHMARKING.md tells how to use it.
#pragma once

namespace CLI {
class App;
}

namespace penstock::cli {

void add_bench_command(CLI::App& app);

}  // namespace penstock::cli
