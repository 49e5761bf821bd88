// penstock topic create | list | describe | delete: administers the topics of any Kafka-compatible broker.
#pragma once

namespace penstock::cli {

class Command;

void add_topic_command(Command& root);

}  // namespace penstock::cli
