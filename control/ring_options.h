// What a ring's Store gets of the broker's storage settings.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "storage/api/types.h"

namespace penstock::control {

// Of a broker with so many rings, and one that shares its data folder with so many (itself counted).
inline storage::StorageOptions options_of_ring(storage::StorageOptions broker, size_t rings, size_t rings_in_folder) {
  // They share the folder's drive: what the others have taken and not destaged yet needs room there too.
  broker.disk_reserve_bytes += static_cast<int64_t>(rings_in_folder - 1) * broker.ring_bytes;
  // The rate is the broker's, and each ring reads its own segments. 0 is never, and stays that.
  if (broker.scrub_bytes_per_second > 0)
    broker.scrub_bytes_per_second = std::max<int64_t>(broker.scrub_bytes_per_second / static_cast<int64_t>(rings), 1);
  return broker;
}

}  // namespace penstock::control
