// The four codecs of Kafka's record batches (gzip, snappy, lz4, zstd) over whole blocks of records: what clients,
// recompression and compaction share. Bytes in, bytes out; each call stands alone and may run on any thread.
// Formats: gzip RFC 1952; snappy in the frames of snappy-java, or bare; LZ4 frames (KIP-57); zstd RFC 8878 (KIP-110).
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "protocol/record_batch.h"

namespace penstock::protocol {

// "none", "gzip", "snappy", "lz4", "zstd": Kafka's names, also of compression.type.
std::string_view to_string(Compression codec);
std::optional<Compression> compression_named(std::string_view name);

// Levels as Kafka's compression.gzip.level, compression.lz4.level and compression.zstd.level take them (KIP-390). The
// codecs without a level have the empty range 0 to 0.
struct LevelRange {
  int least = 0;
  int most = 0;
  int usual = 0;
};
LevelRange levels_of(Compression codec);

// Appends in, compressed, to out. level: within levels_of(codec). kTooLarge: more than 2 GiB.
Result<void> compress(Compression codec, int level, std::span<const std::byte> in, std::vector<std::byte>& out);

// Appends what in holds to out, at most `most` bytes of it. kTooLarge: it holds more; kCorrupt, kTruncated: it is no
// whole stream of this codec. Memory beside out: the codec's state, for zstd a window of at most 128 MiB of which only
// as much is touched as there is output. After an error out holds what came before it.
Result<void> decompress(Compression codec, std::span<const std::byte> in, size_t most, std::vector<std::byte>& out);

}  // namespace penstock::protocol
