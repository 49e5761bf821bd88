#include "tests/sim/tso.h"

#include <algorithm>

#include "base/bytes.h"

namespace penstock::sim {

std::vector<std::vector<std::byte>> cut_segments(std::span<const std::byte> header, std::span<const std::byte> payload,
                                                 size_t segment_bytes) {
  constexpr size_t kSeqAt = 4, kFlagsAt = 13;
  constexpr std::byte kFinAndPsh{0x09};
  std::vector<std::vector<std::byte>> segments;
  for (size_t at = 0; at < payload.size(); at += segment_bytes) {
    const auto part = payload.subspan(at, std::min(segment_bytes, payload.size() - at));
    std::vector<std::byte>& segment = segments.emplace_back(header.begin(), header.end());
    store_be(segment.data() + kSeqAt, load_be<uint32_t>(header.data() + kSeqAt) + static_cast<uint32_t>(at));
    if (at + part.size() < payload.size()) segment[kFlagsAt] &= ~kFinAndPsh;
    segment.insert(segment.end(), part.begin(), part.end());
  }
  return segments;
}

}  // namespace penstock::sim
