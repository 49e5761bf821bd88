#include "control/cli/records/codec_option.h"

#include <fmt/format.h>

namespace penstock::cli {

using protocol::Compression;

void add_codec_options(Command& command, Compression& codec, std::optional<int>& level) {
  command.choice<Compression>("-z,--codec", codec,
                              {{"none", Compression::kNone},
                               {"gzip", Compression::kGzip},
                               {"snappy", Compression::kSnappy},
                               {"lz4", Compression::kLz4},
                               {"zstd", Compression::kZstd}},
                              "how batches are compressed (default none)");
  command.option("--level", level, "of the codec: gzip 1 to 9, lz4 1 to 17, zstd -131072 to 22");
}

void check_level(Compression codec, std::optional<int> level) {
  if (!level) return;
  const protocol::LevelRange range = protocol::levels_of(codec);
  if (range.least == range.most) throw UsageError(fmt::format("--level: {} has no levels", to_string(codec)));
  if (*level < range.least || *level > range.most)
    throw UsageError(fmt::format("--level: {} has {} to {}", to_string(codec), range.least, range.most));
}

}  // namespace penstock::cli
