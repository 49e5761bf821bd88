// Seeds of frames_fuzz: a conversation of real frames each.
#pragma once

#include <cstddef>
#include <vector>

namespace penstock::fuzz {

std::vector<std::vector<std::byte>> frame_seeds();

}  // namespace penstock::fuzz
