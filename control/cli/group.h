// penstock group list | describe | reset | delete: looks at and moves the consumer groups of any Kafka-compatible
// broker.
#pragma once

namespace penstock::cli {

class Command;

void add_group_command(Command& root);

}  // namespace penstock::cli
