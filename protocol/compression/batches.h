// Whole record batches from one codec to another: what a client's batch becomes when its topic asks for another
// compression.type, what compaction and tools read. KIP-98 (the layout), KIP-390 (levels).
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/result.h"
#include "protocol/compression/codec.h"
#include "protocol/record_batch.h"

namespace penstock::protocol {

// The records of a whole batch, uncompressed, appended to out: at most `most` bytes. Errors as decompress().
Result<void> append_records(std::span<const std::byte> batch, size_t most, std::vector<std::byte>& out);

// The batch with the same records and header fields in another codec, length and checksum made anew. The records are
// not looked at. most: bound of the uncompressed records. Errors as decompress(); the batch's own checksum is for the
// caller.
Result<std::vector<std::byte>> recompressed(std::span<const std::byte> batch, Compression codec, int level,
                                            size_t most);

}  // namespace penstock::protocol
