#include "control/cli/records/partitioner.h"

#include "base/bytes.h"

namespace penstock::cli {
namespace {

constexpr uint32_t kSeed = 0x9747b28c;
constexpr uint32_t kMultiplier = 0x5bd1e995;

}  // namespace

uint32_t murmur2(std::span<const std::byte> bytes) {
  uint32_t hash = kSeed ^ static_cast<uint32_t>(bytes.size());
  for (; bytes.size() >= sizeof(uint32_t); bytes = bytes.subspan(sizeof(uint32_t))) {
    uint32_t word = load_le<uint32_t>(bytes.data()) * kMultiplier;
    word = (word ^ (word >> 24)) * kMultiplier;
    hash = (hash * kMultiplier) ^ word;
  }
  if (!bytes.empty()) {
    for (size_t i = bytes.size(); i-- > 0;) hash ^= std::to_integer<uint32_t>(bytes[i]) << (8 * i);
    hash *= kMultiplier;
  }
  hash = (hash ^ (hash >> 13)) * kMultiplier;
  return hash ^ (hash >> 15);
}

}  // namespace penstock::cli
