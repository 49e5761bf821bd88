// CRC-32C and the fused copy against a bitwise reference: known answers, every short length, random lengths, alignments
// and splits, and nothing written outside the target.
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/crc32c_copy.h"
#include "base/prng.h"

namespace penstock {
namespace {

using Bytes = std::vector<std::byte>;
using Copier = uint32_t (*)(uint32_t, std::byte*, std::span<const std::byte>);

constexpr std::byte kGuard{0xA5};
constexpr size_t kMargin = 80;  // more than the widest store

// The definition: one bit at a time.
uint32_t reference(uint32_t crc, std::span<const std::byte> bytes) {
  crc = ~crc;
  for (const std::byte b : bytes) {
    crc ^= static_cast<uint32_t>(b);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78u : 0u);
  }
  return ~crc;
}

uint32_t chosen(uint32_t crc, std::byte* to, std::span<const std::byte> from) {
  return copy_with_crc32c(crc, {to, from.size()}, from);
}

template <size_t kBlock>
uint32_t blockwise(uint32_t crc, std::byte* to, std::span<const std::byte> from) {
  return copy_with_crc32c_blockwise(crc, to, from, kBlock);
}

struct Named {
  const char* name;
  Copier copy;
};

std::vector<Named> copiers() {
  std::vector<Named> all{{"chosen", chosen},
                         {"blockwise 64", blockwise<64>},
                         {"blockwise 1000", blockwise<1000>},
                         {"blockwise", blockwise<kCopyBlockBytes>}};
  if (folding_supported()) all.push_back({"folding", copy_with_crc32c_folding});
  return all;
}

Bytes random_bytes(Prng& prng, size_t n) {
  Bytes bytes(n);
  prng.fill(bytes);
  return bytes;
}

// One copy of from to an address that is misaligned by shift; false when anything is not as it must be.
bool copies(const Named& copier, uint32_t start, std::span<const std::byte> from, size_t shift) {
  Bytes target(kMargin + shift + from.size() + kMargin, kGuard);
  std::byte* to = target.data() + kMargin + shift;
  const uint32_t crc = copier.copy(start, to, from);
  for (std::byte* b = target.data(); b < to; ++b) {
    if (*b != kGuard) return false;
  }
  for (std::byte* b = to + from.size(); b < target.data() + target.size(); ++b) {
    if (*b != kGuard) return false;
  }
  return crc == reference(start, from) && std::equal(from.begin(), from.end(), to);
}

// RFC 3720 B.4, and the check value of the catalogue of CRCs.
TEST(Crc32c, KnownAnswers) {
  Bytes ascending(32), descending(32);
  for (size_t i = 0; i < 32; ++i) {
    ascending[i] = static_cast<std::byte>(i);
    descending[i] = static_cast<std::byte>(31 - i);
  }
  EXPECT_EQ(crc32c(0, as_bytes("123456789")), 0xE3069283u);
  EXPECT_EQ(crc32c(0, Bytes(32, std::byte{0})), 0x8A9136AAu);
  EXPECT_EQ(crc32c(0, Bytes(32, std::byte{0xFF})), 0x62A8AB43u);
  EXPECT_EQ(crc32c(0, ascending), 0x46DD794Eu);
  EXPECT_EQ(crc32c(0, descending), 0x113FDB5Cu);
  EXPECT_EQ(reference(0, as_bytes("123456789")), 0xE3069283u);
  EXPECT_EQ(crc32c(77, {}), 77u);
}

TEST(Crc32c, EqualsTheReferenceInAnySplit) {
  Prng prng(1);
  for (int round = 0; round < 200; ++round) {
    const Bytes bytes = random_bytes(prng, prng.below(5000));
    const uint32_t start = static_cast<uint32_t>(prng.next());
    uint32_t crc = start;
    std::span<const std::byte> rest(bytes);
    while (!rest.empty()) {
      const size_t n = prng.between(1, rest.size());
      crc = crc32c(crc, rest.first(n));
      rest = rest.subspan(n);
    }
    ASSERT_EQ(crc, reference(start, bytes)) << "round " << round;
  }
}

TEST(CopyWithCrc32c, EveryShortLengthAtEveryAlignment) {
  Prng prng(2);
  for (const Named& copier : copiers()) {
    const Bytes source = random_bytes(prng, 2000);
    for (size_t n = 0; n < 700; ++n) {
      const size_t at = prng.below(64), shift = n % 64;
      ASSERT_TRUE(copies(copier, static_cast<uint32_t>(prng.next()), std::span(source).subspan(at, n), shift))
          << copier.name << ", " << n << " bytes from +" << at << " to +" << shift;
    }
  }
}

TEST(CopyWithCrc32c, RandomLengthsAndAlignments) {
  for (const Named& copier : copiers()) {
    Prng prng(3);
    for (int round = 0; round < 120; ++round) {
      const size_t n = prng.below(prng.one_in(8) ? 80'000 : 9'000), at = prng.below(64), shift = prng.below(64);
      const Bytes source = random_bytes(prng, at + n);
      ASSERT_TRUE(copies(copier, static_cast<uint32_t>(prng.next()), std::span(source).subspan(at), shift))
          << copier.name << ", " << n << " bytes from +" << at << " to +" << shift << ", round " << round;
    }
  }
}

// A batch that lies over several network buffers is gathered piece by piece.
TEST(CopyWithCrc32c, PiecesGatherToTheWhole) {
  for (const Named& copier : copiers()) {
    Prng prng(4);
    for (int round = 0; round < 60; ++round) {
      const Bytes source = random_bytes(prng, prng.below(20'000));
      Bytes target(source.size());
      uint32_t crc = 0;
      for (size_t at = 0; at < source.size();) {
        const size_t n = std::min(source.size() - at, prng.between(1, prng.one_in(4) ? 30 : 6'000));
        crc = copier.copy(crc, target.data() + at, std::span(source).subspan(at, n));
        at += n;
      }
      ASSERT_EQ(crc, reference(0, source)) << copier.name << ", round " << round;
      ASSERT_EQ(source, target) << copier.name << ", round " << round;
    }
  }
}

TEST(CopyWithCrc32cDeathTest, RefusesATargetThatIsTooSmall) {
  Bytes from(10), to(9);
  EXPECT_DEATH(copy_with_crc32c(0, to, from), "CHECK failed");
}

TEST(Crc32c, OtherBeginning) {
  Prng prng(7);
  for (int round = 0; round < 300; ++round) {
    const size_t beginning = prng.between(1, 60);
    Bytes bytes(beginning + (round % 3 == 0 ? prng.below(20) : prng.below(200'000)));
    for (std::byte& b : bytes) b = static_cast<std::byte>(prng.next());
    const uint32_t crc = crc32c(0, bytes);
    const auto head = std::span(bytes).first(beginning);
    const uint32_t before = crc32c(0, head);
    for (std::byte& b : head) b = static_cast<std::byte>(prng.next());
    EXPECT_EQ(crc32c_with_other_beginning(crc, before, crc32c(0, head), bytes.size() - beginning), crc32c(0, bytes));
  }
}

}  // namespace
}  // namespace penstock
