// penstock bench matrix: what record size, batch size, codec, acks and partitions each cost, in one table.
#pragma once

namespace penstock::cli {

class Command;

// Under `penstock bench`.
void add_bench_matrix_command(Command& bench);

}  // namespace penstock::cli
