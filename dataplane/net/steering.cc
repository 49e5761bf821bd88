// Toeplitz by half bytes: 72 look-ups in 4.5 KiB for IPv6, 24 for IPv4.
#include "dataplane/net/steering.h"

#include <cstring>

#include "base/assert.h"
#include "base/bytes.h"

namespace penstock::dataplane::net {

namespace {

// 32 bits of the key from a bit on.
uint32_t key_window(const ToeplitzKey& key, size_t bit) {
  uint64_t window = 0;
  for (size_t i = 0; i < 5; ++i) {
    const size_t at = bit / 8 + i;
    window = window << 8 | (at < key.size() ? std::to_integer<uint64_t>(key[at]) : 0);
  }
  return static_cast<uint32_t>(window >> (8 - bit % 8));
}

}  // namespace

Steering::Steering(const ToeplitzKey& key, unsigned owner_count) : owner_count_(owner_count) {
  CHECK(owner_count > 0 && owner_count <= kBuckets);
  for (size_t half = 0; half < table_.size(); ++half) {
    for (unsigned value = 0; value < 16; ++value) {
      uint32_t sum = 0;
      for (size_t bit = 0; bit < 4; ++bit) {
        if ((value >> (3 - bit) & 1) != 0) sum ^= key_window(key, 4 * half + bit);
      }
      table_[half][value] = sum;
    }
  }
  for (size_t i = 0; i < owners_.size(); ++i) owners_[i] = static_cast<uint16_t>(i % owner_count);
}

uint32_t Steering::add(uint32_t hash, size_t at, std::span<const std::byte> bytes) const {
  for (size_t i = 0; i < bytes.size(); ++i) {
    const auto value = std::to_integer<unsigned>(bytes[i]);
    hash ^= table_[2 * (at + i)][value >> 4] ^ table_[2 * (at + i) + 1][value & 0xf];
  }
  return hash;
}

uint32_t Steering::hash(const Flow& flow) const {
  const size_t skip = flow.source.is_v4() && flow.destination.is_v4() ? 12 : 0;
  const size_t bytes = flow.source.bytes.size() - skip;
  std::array<std::byte, 4> ports;
  store_be(ports.data(), flow.source_port);
  store_be(ports.data() + 2, flow.destination_port);
  uint32_t hash = add(0, 0, std::span(flow.source.bytes).subspan(skip));
  hash = add(hash, bytes, std::span(flow.destination.bytes).subspan(skip));
  return add(hash, 2 * bytes, ports);
}

}  // namespace penstock::dataplane::net
