#include "storage/compact/key_hash.h"

#include "base/bytes.h"

namespace penstock::storage {

KeyHash hash_of(const SipKey& secret, std::span<const std::byte> key) {
  SipHash hash(secret, SipHash::Bits::k128);
  for (; key.size() >= 8; key = key.subspan(8)) hash.word(load_le<uint64_t>(key.data()));
  uint64_t tail = 0;
  for (size_t i = 0; i < key.size(); ++i) tail |= std::to_integer<uint64_t>(key[i]) << (8 * i);
  const auto [low, high] = hash.finish_128(tail, key.size());
  return {.low = low, .high = high};
}

}  // namespace penstock::storage
