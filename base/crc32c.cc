#include "base/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "base/crc32c_copy.h"

namespace penstock {
namespace {

const bool kFold = folding_supported();

// Polynomials over GF(2) modulo Castagnoli's, bits reflected: the highest bit is x^0.
constexpr uint32_t kOne = 1u << 31;
constexpr uint32_t kModulus = 0x82F63B78;

constexpr uint32_t times_x(uint32_t a) { return (a & 1) != 0 ? a >> 1 ^ kModulus : a >> 1; }

constexpr uint32_t times(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (uint32_t bit = kOne; bit != 0; bit >>= 1) {
    if ((a & bit) != 0) product ^= b;
    b = times_x(b);
  }
  return product;
}

// x^(8 n): what n zero bytes behind it multiply a CRC by.
constexpr uint32_t zeros_behind(uint64_t n) {
  uint32_t power = kOne;
  for (int i = 0; i < 8; ++i) power = times_x(power);
  uint32_t result = kOne;
  for (; n != 0; n >>= 1) {
    if ((n & 1) != 0) result = times(result, power);
    power = times(power, power);
  }
  return result;
}

}  // namespace

// CRCs of equal lengths differ by a linear function of what differs in the bytes.
uint32_t crc32c_with_other_beginning(uint32_t crc, uint32_t before, uint32_t after, uint64_t rest) {
  return crc ^ times(before ^ after, zeros_behind(rest));
}

uint32_t crc32c(uint32_t crc, std::span<const std::byte> bytes) {
  auto* data = reinterpret_cast<unsigned char*>(const_cast<std::byte*>(bytes.data()));
  while (!bytes.empty()) {  // ISA-L takes an int length
    const size_t n = std::min<size_t>(bytes.size(), size_t{1} << 30);
    crc = ~crc32_iscsi(data, static_cast<int>(n), ~crc);
    data += n;
    bytes = bytes.subspan(n);
  }
  return crc;
}

uint32_t copy_with_crc32c_blockwise(uint32_t crc, std::byte* to, std::span<const std::byte> from, size_t block_bytes) {
  while (!from.empty()) {
    size_t n = std::min(from.size(), block_bytes);
    // A length that the compiler knows to be small makes it expand memcpy into `rep movs`, which is three times slower
    // than the library's when source and target are not aligned alike. So it may not know.
    asm("" : "+r"(n));
    std::memcpy(to, from.data(), n);
    crc = crc32c(crc, {to, n});
    to += n;
    from = from.subspan(n);
  }
  return crc;
}

uint32_t copy_with_crc32c(uint32_t crc, std::span<std::byte> to, std::span<const std::byte> from) {
  CHECK(to.size() >= from.size());
  return kFold ? copy_with_crc32c_folding(crc, to.data(), from)
               : copy_with_crc32c_blockwise(crc, to.data(), from, kCopyBlockBytes);
}

}  // namespace penstock
