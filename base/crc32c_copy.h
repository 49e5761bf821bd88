// The two ways to copy and checksum in one pass. base/crc32c.h's copy_with_crc32c chooses between them once, at start,
// by what the CPU can do; they are visible here so that the tests compare both with a reference and bench with each
// other. docs/adr/0004-fused-copy-crc.md has the figures.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace penstock {

// memcpy and ISA-L by turns, a block at a time, so that the checksum finds its bytes in the L1 cache. Any CPU.
// 4 KiB: a block and its copy are a quarter of the smallest L1 cache in use, 32 KiB; smaller ones pay for more calls.
inline constexpr size_t kCopyBlockBytes = 4096;
uint32_t copy_with_crc32c_blockwise(uint32_t crc, std::byte* to, std::span<const std::byte> from,
                                    size_t block_bytes = kCopyBlockBytes);

// Each 64 bytes are loaded once, stored, and folded into the checksum by carry-less multiplication.
// Only where folding_supported(): x86-64 with AVX-512F and VPCLMULQDQ.
bool folding_supported();
uint32_t copy_with_crc32c_folding(uint32_t crc, std::byte* to, std::span<const std::byte> from);

}  // namespace penstock
