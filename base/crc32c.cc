#include "base/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "base/crc32c_copy.h"

namespace penstock {
namespace {

const bool kFold = folding_supported();

}  // namespace

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
