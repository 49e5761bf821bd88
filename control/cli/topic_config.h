// penstock topic config: a topic's settings, where each comes from, and changing them.
#pragma once

namespace penstock::cli {

class Command;

// Under `penstock topic`.
void add_topic_config_command(Command& topic);

}  // namespace penstock::cli
