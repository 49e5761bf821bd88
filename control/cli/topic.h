// penstock topic create | list | describe | delete: administers the topics of any Kafka-compatible broker.
#pragma once

namespace CLI {
class App;
}

namespace penstock::cli {

void add_topic_command(CLI::App& app);

}  // namespace penstock::cli
