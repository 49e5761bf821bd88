// CRC-32C (Castagnoli, reflected 0x82F63B78), the checksum of Kafka's record batches and of our own frames.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace penstock {

// Running form: crc of all bytes so far in, crc including these out. Start with 0; crc32c(0, "123456789") = 0xE3069283.
uint32_t crc32c(uint32_t crc, std::span<const std::byte> bytes);

// Of bytes whose CRC is crc: what it is once a beginning of them, whose CRC was before, has become one of the same
// length whose CRC is after; rest bytes follow that beginning, and are not looked at.
uint32_t crc32c_with_other_beginning(uint32_t crc, uint32_t before, uint32_t after, uint64_t rest);

// Copies from to to (to.size() >= from.size(), no overlap) and returns the running crc of the bytes copied: the one
// pass that the CPU makes over a record's bytes on their way in. Each byte is fetched from memory once.
uint32_t copy_with_crc32c(uint32_t crc, std::span<std::byte> to, std::span<const std::byte> from);

}  // namespace penstock
