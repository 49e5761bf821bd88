// As a device that cuts a large TCP segment into small ones.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace penstock::sim {

// header: TCP's, whose checksum field is left as it is. Whole segments, each with a header of its own.
std::vector<std::vector<std::byte>> cut_segments(std::span<const std::byte> header, std::span<const std::byte> payload,
                                                 size_t segment_bytes);

}  // namespace penstock::sim
