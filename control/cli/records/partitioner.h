// Which partition a record goes to: as Kafka's own clients choose, so that one key stays in one partition whoever
// produces it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace penstock::cli {

// MurmurHash2 with Kafka's seed (org.apache.kafka.common.utils.Utils.murmur2).
uint32_t murmur2(std::span<const std::byte> bytes);

// The place of a key's partition among count of them.
inline size_t place_of_key(std::span<const std::byte> key, size_t count) { return (murmur2(key) & 0x7fffffff) % count; }

}  // namespace penstock::cli
