// penstock bench matrix: what record size, batch size, codec, acks and partitions each cost, in one table.
#pragma once

#include "control/cli/transport.h"

namespace penstock::cli {

class Command;

// Under `penstock bench`.
void add_bench_matrix_command(Command& bench, const OpenNic& open_nic);

}  // namespace penstock::cli
