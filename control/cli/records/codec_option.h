// The options that name a codec and its level.
#pragma once

#include <optional>

#include "control/cli/command_line.h"
#include "protocol/compression/codec.h"

namespace penstock::cli {

void add_codec_options(Command& command, protocol::Compression& codec, std::optional<int>& level);

// Throws UsageError for a level that the codec does not have.
void check_level(protocol::Compression codec, std::optional<int> level);

}  // namespace penstock::cli
