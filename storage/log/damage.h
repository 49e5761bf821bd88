// What is done when bytes of a segment are found to be bad or missing: the operator is told of each segment once.
#pragma once

#include <cstdint>

#include "storage/log/segment_files.h"
#include "storage/log/shard.h"

namespace penstock::storage {

// what: of its bytes [from, to), as in "fail their checksum".
void tell_damage(Shard& shard, LogId log, Segment& segment, uint64_t from, uint64_t to, const char* what);

// Its file is not there, or does not open.
void tell_unopened(Shard& shard, LogId log, Segment& segment, Error error);

// The file of a segment that its log still names, to read from: where it is not there, that is damage (kCorrupt) and
// told, not an end of the log. Else as SegmentFiles::acquire(): what does not open now (rights, descriptors) may do so
// later; that is told now and then.
Result<FileHandle> acquire_named(Shard& shard, SegmentFiles& files, LogId log, SegmentId id);

}  // namespace penstock::storage
