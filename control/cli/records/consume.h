// penstock consume: the records of a topic on standard output.
#pragma once

namespace penstock::cli {

class Command;

void add_consume_command(Command& root);

}  // namespace penstock::cli
