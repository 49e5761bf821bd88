// What clients say: a few requests in a row, of versions old and new. Seeds for connection_fuzz.
#pragma once

#include <cstddef>
#include <vector>

namespace penstock {

std::vector<std::byte> conversation(size_t number);

}  // namespace penstock
