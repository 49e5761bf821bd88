// penstock produce: lines, or what else a delimiter parts, become records of a topic.
#pragma once

namespace penstock::cli {

class Command;

void add_produce_command(Command& root);

}  // namespace penstock::cli
