#include "storage/compact/key_hash.h"

#include <bit>

#include "base/bytes.h"

namespace penstock::storage {
namespace {

struct SipState {
  uint64_t a, b, c, d;

  void mix(int rounds) {
    for (int i = 0; i < rounds; ++i) {
      a += b;
      b = std::rotl(b, 13) ^ a;
      a = std::rotl(a, 32);
      c += d;
      d = std::rotl(d, 16) ^ c;
      a += d;
      d = std::rotl(d, 21) ^ a;
      c += b;
      b = std::rotl(b, 17) ^ c;
      c = std::rotl(c, 32);
    }
  }
  void take(uint64_t word) {
    d ^= word;
    mix(2);
    a ^= word;
  }
  uint64_t sum() const { return a ^ b ^ c ^ d; }
};

}  // namespace

KeyHash hash_of(const HashSecret& secret, std::span<const std::byte> key) {
  // The constants spell "somepseudorandomlygeneratedbytes"; 0xee says that 128 bits are wanted.
  SipState state{secret.low ^ 0x736f6d6570736575ULL, secret.high ^ 0x646f72616e646f6dULL ^ 0xeeULL,
                 secret.low ^ 0x6c7967656e657261ULL, secret.high ^ 0x7465646279746573ULL};
  const uint64_t length = key.size();
  for (; key.size() >= 8; key = key.subspan(8)) state.take(load_le<uint64_t>(key.data()));
  uint64_t last = length << 56;
  for (size_t i = 0; i < key.size(); ++i) last |= std::to_integer<uint64_t>(key[i]) << (8 * i);
  state.take(last);
  KeyHash hash;
  state.c ^= 0xee;
  state.mix(4);
  hash.low = state.sum();
  state.b ^= 0xdd;
  state.mix(4);
  hash.high = state.sum();
  return hash;
}

}  // namespace penstock::storage
