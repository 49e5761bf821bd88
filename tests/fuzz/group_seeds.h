// Records of __consumer_offsets, of each kind, in the form that group_records_fuzz reads.
#pragma once

#include <cstddef>
#include <vector>

namespace penstock::testing {

std::vector<std::vector<std::byte>> group_record_seeds();

}  // namespace penstock::testing
