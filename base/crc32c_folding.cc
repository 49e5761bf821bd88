// Copy and CRC-32C in one pass with 512-bit carry-less multiplication. After Gopal, Ozturk and others, "Fast CRC
// Computation for Generic Polynomials Using PCLMULQDQ Instruction" (Intel, 2009), section "bit-reflected".
//
// The bytes are a polynomial over GF(2), earlier bytes the higher powers. To move 16 bytes a = (low, high) forward by D
// bytes and add them to those that stand there, modulo the CRC's polynomial P:
//
//     low * (x^(8D + 32) mod P)  +  high * (x^(8D - 32) mod P)
//
// A product of reflected numbers comes out one bit short, hence the shift in fold_constant. What is left after folding
// is congruent to the whole message, so its own CRC, which the crc32 instruction gives, is the message's.
#include "base/assert.h"
#include "base/crc32c_copy.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <cstring>

namespace penstock {
namespace {

#define FOLDING [[gnu::target("avx512f,vpclmulqdq,pclmul,sse4.2")]]

constexpr uint32_t kReflectedPolynomial = 0x82F63B78;

// x^n mod P, reflected, and shifted by one.
constexpr uint64_t fold_constant(unsigned n) {
  uint32_t power = 0x80000000;  // x^0
  for (unsigned i = 0; i < n; ++i) power = (power >> 1) ^ ((power & 1) != 0 ? kReflectedPolynomial : 0);
  return uint64_t{power} << 1;
}

// The two constants that move 16 bytes forward by kBytes.
template <unsigned kBytes>
struct Distance {
  static constexpr uint64_t kLow = fold_constant(8 * kBytes + 32);
  static constexpr uint64_t kHigh = fold_constant(8 * kBytes - 32);
};

template <unsigned kBytes>
FOLDING inline __m512i distance() {
  constexpr auto kLow = static_cast<int64_t>(Distance<kBytes>::kLow);
  constexpr auto kHigh = static_cast<int64_t>(Distance<kBytes>::kHigh);
  return _mm512_set_epi64(kHigh, kLow, kHigh, kLow, kHigh, kLow, kHigh, kLow);
}

// a moved forward by the distance, plus b.
FOLDING inline __m512i fold(__m512i a, __m512i by, __m512i b) {
  constexpr int kXorOfThree = 0x96;
  return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(a, by, 0x00), _mm512_clmulepi64_epi128(a, by, 0x11), b,
                                   kXorOfThree);
}

// A cursor over source and target.
struct Copy {
  const std::byte* from;
  std::byte* to;
  size_t left;

  FOLDING inline __m512i take_64() {
    const __m512i bytes = _mm512_loadu_si512(from);
    _mm512_storeu_si512(to, bytes);
    advance(64);
    return bytes;
  }
  // The next n bytes by the crc32 instruction, eight at a time.
  FOLDING inline uint32_t take_few(uint32_t state, size_t n) {
    uint64_t wide = state;
    for (; n >= 8; n -= 8) {
      uint64_t word;
      std::memcpy(&word, from, 8);
      std::memcpy(to, &word, 8);
      wide = _mm_crc32_u64(wide, word);
      advance(8);
    }
    for (; n > 0; --n) {
      *to = *from;
      wide = _mm_crc32_u8(static_cast<uint32_t>(wide), static_cast<uint8_t>(*from));
      advance(1);
    }
    return static_cast<uint32_t>(wide);
  }
  void advance(size_t n) {
    from += n;
    to += n;
    left -= n;
  }
};

// Four times 64 bytes a turn: enough products in flight to hide the latency of one. At least 448 bytes are left.
FOLDING inline __m512i take_long_run(Copy& copy, __m512i first) {
  __m512i a = first, b = copy.take_64(), c = copy.take_64(), d = copy.take_64();
  const __m512i by_256 = distance<256>();
  while (copy.left >= 256) {
    a = fold(a, by_256, copy.take_64());
    b = fold(b, by_256, copy.take_64());
    c = fold(c, by_256, copy.take_64());
    d = fold(d, by_256, copy.take_64());
  }
  const __m512i by_64 = distance<64>();
  return fold(fold(fold(a, by_64, b), by_64, c), by_64, d);
}

// At least 64 bytes are left; fewer are when this returns.
FOLDING inline uint32_t take_blocks(Copy& copy, uint32_t state) {
  // The state so far is added to the first four bytes; what it came from is then forgotten.
  const __m512i carried = _mm512_zextsi128_si512(_mm_cvtsi32_si128(static_cast<int>(state)));
  __m512i sum = _mm512_xor_si512(copy.take_64(), carried);
  if (copy.left >= 448) sum = take_long_run(copy, sum);
  const __m512i by_64 = distance<64>();
  while (copy.left >= 64) sum = fold(sum, by_64, copy.take_64());

  alignas(64) uint64_t words[8];
  _mm512_store_si512(words, sum);
  uint64_t wide = 0;
  for (const uint64_t word : words) wide = _mm_crc32_u64(wide, word);
  return static_cast<uint32_t>(wide);
}

}  // namespace

bool folding_supported() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("vpclmulqdq") &&
         __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.2");
}

FOLDING uint32_t copy_with_crc32c_folding(uint32_t crc, std::byte* to, std::span<const std::byte> from) {
  // From here on it pays to align the target first: a store over two cache lines counts twice.
  constexpr size_t kAlignFromBytes = 4096;
  Copy copy{.from = from.data(), .to = to, .left = from.size()};
  uint32_t state = ~crc;
  if (copy.left >= kAlignFromBytes) state = copy.take_few(state, -reinterpret_cast<uintptr_t>(to) % 64);
  if (copy.left >= 64) state = take_blocks(copy, state);
  return ~copy.take_few(state, copy.left);
}

}  // namespace penstock

#else

namespace penstock {

bool folding_supported() { return false; }
uint32_t copy_with_crc32c_folding(uint32_t, std::byte*, std::span<const std::byte>) { CHECK(!"supported"); }

}  // namespace penstock

#endif
