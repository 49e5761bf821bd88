// A segment's sidecar: what is known about the segment, so that it need not be read to be used. A cache with a
// checksum: if it is lost or damaged, a scan of the segment (storage/segment/segment_scan.h) makes it again.
// docs/internals/log_format.md, "Sidecar", has every byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "storage/segment/log_facts.h"
#include "storage/segment/segment_index.h"

namespace penstock::storage {

inline constexpr uint32_t kSidecarMagic = 0x4344534B;  // "KSDC" as the bytes lie on disk
inline constexpr uint16_t kSidecarVersion = 1;

struct Sidecar {
  SegmentIndex index;
  bool sealed = false;  // the segment will not grow; else it was written at a stop and tells how far it had come
  // Reserved: nobody fills or uses these yet (docs/internals/log_format.md, "Sidecar"). State slots have epochs and
  // producers.
  std::vector<EpochEntry> epochs;           // of the whole log, up to the end of this segment
  std::vector<ProducerState> producers;     // as of the end of this segment
  std::vector<AbortedTransaction> aborted;  // whose marker lies in this segment
};

// What encode() fills: a whole number of blocks.
uint64_t sidecar_bytes(const Sidecar& sidecar, uint64_t block_bytes);
// Writes all of out, which has sidecar_bytes(); zeros behind the end.
void encode(const Sidecar& sidecar, std::span<std::byte> out);

// bytes: the file, or more. Whatever they are, the memory taken is in proportion to them. kTruncated: it is longer than
// bytes; kUnsupported: a version that is not known; kCorrupt: no sidecar, or a damaged one.
Result<Sidecar> decode_sidecar(std::span<const std::byte> bytes);

}  // namespace penstock::storage
