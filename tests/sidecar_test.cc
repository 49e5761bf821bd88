// The bytes of a sidecar: what is written is read, and nothing else is.
#include "storage/segment/sidecar.h"

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "tests/segment_maker.h"

namespace penstock::storage {
namespace {

constexpr uint64_t kBlock = 4096;
using Bytes = std::vector<std::byte>;

Bytes encoded(const Sidecar& sidecar, uint64_t block_bytes = kBlock) {
  Bytes out(sidecar_bytes(sidecar, block_bytes), std::byte{0xee});
  encode(sidecar, out);
  return out;
}

size_t used_bytes(const Bytes& file) { return load_le<uint64_t>(file.data() + 8); }

void reseal(Bytes& file) {
  const size_t used = used_bytes(file);
  store_le(file.data() + used - 4, crc32c(0, std::span(file).first(used - 4)));
}

void expect_equal(const Sidecar& a, const Sidecar& b) {
  EXPECT_EQ(a.index.base(), b.index.base());
  EXPECT_EQ(a.index.bytes(), b.index.bytes());
  EXPECT_EQ(a.index.known_from(), b.index.known_from());
  EXPECT_EQ(a.index.crc_at_known_from(), b.index.crc_at_known_from());
  EXPECT_EQ(a.index.max_timestamp(), b.index.max_timestamp());
  EXPECT_EQ(intervals_of(a.index), intervals_of(b.index));
  EXPECT_EQ(a.sealed, b.sealed);
  EXPECT_EQ(a.epochs, b.epochs);
  EXPECT_EQ(a.producers, b.producers);
  EXPECT_EQ(a.aborted, b.aborted);
}

// Two intervals, the second with a batch of its own, and one of everything else.
Sidecar small_sidecar() {
  Sidecar sidecar{.index = SegmentIndex(Offset{0x1122}), .sealed = true};
  const Bytes zeros(SegmentIndex::kIntervalBytes + 100);
  sidecar.index.add_batch(0, Offset{0x1122}, 0x18f00000001);
  sidecar.index.add_batch(SegmentIndex::kIntervalBytes + 16, Offset{0x1125}, 5);
  sidecar.index.add_bytes(zeros);
  sidecar.epochs = {{LeaderEpoch{7}, Offset{0x1122}}};
  ProducerState producer{.id = ProducerId{0x2a}, .epoch = 3, .held = 12, .last_timestamp = 0x18f00000001, .count = 2};
  producer.batches[0] = {.first_sequence = 0, .last_sequence = 2, .base_offset = Offset{0x1122}};
  producer.batches[1] = {.first_sequence = 3, .last_sequence = 11, .base_offset = Offset{0x1125}};
  sidecar.producers = {producer};
  sidecar.aborted = {{ProducerId{0x2a}, Offset{0x1122}, Offset{0x112e}, Offset{0x1123}}};
  return sidecar;
}

Sidecar random_sidecar(Prng& prng) {
  const MadeSegment segment =
      make_segment(prng, Offset{static_cast<int64_t>(prng.below(1'000'000))}, prng.below(300'000) + 1);
  const uint64_t end = segment.bytes.size();
  const uint64_t from = prng.one_in(3) ? prng.below(end + 1) : 0;
  const uint64_t begin = align_down(from, SegmentIndex::kIntervalBytes);
  Sidecar sidecar{.index = index_of(segment, end, from, crc32c(0, segment.span(begin, from))),
                  .sealed = prng.one_in(2)};
  for (uint64_t i = 0, n = prng.below(4); i < n; ++i)
    sidecar.epochs.push_back({LeaderEpoch{static_cast<int32_t>(i * 3)}, Offset{static_cast<int64_t>(i * 100)}});
  const auto any = [&] { return static_cast<int64_t>(prng.next()); };
  for (uint64_t i = 0, n = prng.below(5); i < n; ++i) {
    ProducerState producer{.id = ProducerId{any()},
                           .epoch = static_cast<int16_t>(prng.next()),
                           .held = any(),
                           .last_timestamp = any(),
                           .count = static_cast<uint8_t>(prng.between(1, ProducerState::kMostBatches))};
    for (size_t k = 0; k < producer.count; ++k)
      producer.batches[k] = {static_cast<int32_t>(prng.next()), static_cast<int32_t>(prng.next()), Offset{any()}};
    sidecar.producers.push_back(producer);
  }
  for (uint64_t i = 0, n = prng.below(3); i < n; ++i)
    sidecar.aborted.push_back({ProducerId{any()}, Offset{any()}, Offset{any()}, Offset{any()}});
  return sidecar;
}

// docs/internals/log_format.md, "Sidecar". What is read here is on somebody's disk: this may not change.
TEST(Sidecar, GoldenBytes) {
  const Bytes file = encoded(small_sidecar());
  ASSERT_EQ(file.size(), kBlock);
  const std::string_view expected =
      "4b534443"
      "0100"
      "0100"
      "0801000000000000"
      "2211000000000000"  // magic, version, sealed, bytes, base
      "6480000000000000"
      "0000000000000000"
      "00000000"  // segment bytes, known from, CRC there
      "02000000"
      "01000000"
      "01000000"
      "01000000"
      "00000000"  // counts
      "adba43bc"
      "00000000"
      "00000000"
      "010000008f010000"  // intervals
      "f69fcb07"
      "10000000"
      "03000000"
      "010000008f010000"
      "07000000"
      "2211000000000000"  // epoch
      "2a00000000000000"
      "0c00000000000000"
      "010000008f010000"
      "0300"
      "02"  // producer: id, held, time, epoch, count
      "0000000000"
      "00000000"
      "02000000"
      "2211000000000000"  // and its batches
      "03000000"
      "0b000000"
      "2511000000000000"
      "00000000000000000000000000000000"
      "00000000000000000000000000000000"
      "00000000000000000000000000000000"
      "2a00000000000000"
      "2211000000000000"
      "2e11000000000000"
      "2311000000000000"  // aborted transaction
      "b8dabd96";
  std::string text;
  for (size_t i = 0; i < used_bytes(file); ++i) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    text += kDigits[std::to_integer<size_t>(file[i] >> 4)];
    text += kDigits[std::to_integer<size_t>(file[i] & std::byte{15})];
  }
  EXPECT_EQ(text, expected);
  for (size_t i = used_bytes(file); i < file.size(); ++i) ASSERT_EQ(file[i], std::byte{0});
}

TEST(Sidecar, WhatIsWrittenIsRead) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    Prng prng(seed);
    const Sidecar sidecar = random_sidecar(prng);
    const uint64_t block_bytes = prng.one_in(2) ? kBlock : 16 * kKiB;
    const Bytes file = encoded(sidecar, block_bytes);
    EXPECT_EQ(file.size() % block_bytes, 0u);
    const auto decoded = decode_sidecar(file);
    ASSERT_TRUE(decoded.has_value());
    expect_equal(*decoded, sidecar);
    EXPECT_EQ(encoded(*decoded, block_bytes), file);
  }
}

TEST(Sidecar, AnEmptySegmentHasOneToo) {
  const Sidecar sidecar{.index = SegmentIndex(Offset{9})};
  const auto decoded = decode_sidecar(encoded(sidecar));
  ASSERT_TRUE(decoded.has_value());
  expect_equal(*decoded, sidecar);
}

TEST(Sidecar, AnIndexThatWasReadGrowsOn) {
  Prng prng(3);
  const MadeSegment segment = make_segment(prng, Offset{5}, 200'000);
  const uint64_t at = segment.batches[segment.batches.size() / 3].place.position;
  auto decoded = decode_sidecar(encoded({.index = index_of(segment, at)}));
  ASSERT_TRUE(decoded.has_value());
  SegmentIndex& index = decoded->index;
  index.add_bytes(segment.from(at));
  for (const MadeBatch& batch : segment.batches)
    if (batch.place.position >= at) index.add_batch(batch.place.position, batch.place.base, batch.max_timestamp);
  EXPECT_EQ(intervals_of(index), intervals_of(index_of(segment, segment.bytes.size())));
}

TEST(Sidecar, EachFlippedBitIsSeen) {
  Bytes file = encoded(small_sidecar());
  const size_t used = used_bytes(file);
  for (size_t byte = 0; byte < used; ++byte) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      file[byte] ^= static_cast<std::byte>(1u << bit);
      EXPECT_FALSE(decode_sidecar(file).has_value()) << byte << " " << bit;
      file[byte] ^= static_cast<std::byte>(1u << bit);
    }
  }
  EXPECT_TRUE(decode_sidecar(file).has_value());
}

TEST(Sidecar, EachLengthBelowTheWholeIsTooShort) {
  const Bytes file = encoded(small_sidecar());
  for (size_t n = 0; n < used_bytes(file); ++n) {
    const Bytes part(file.begin(), file.begin() + static_cast<ptrdiff_t>(n));
    const auto decoded = decode_sidecar(part);
    ASSERT_FALSE(decoded.has_value());
    EXPECT_EQ(decoded.error().code, Errc::kTruncated) << n;
  }
  EXPECT_TRUE(decode_sidecar(std::span(file).first(used_bytes(file))).has_value());
}

TEST(Sidecar, ANewerVersionIsToldFromDamage) {
  Bytes file = encoded(small_sidecar());
  store_le(file.data() + 4, uint16_t{2});
  EXPECT_EQ(decode_sidecar(file).error().code, Errc::kUnsupported);
  store_le(file.data(), uint32_t{0});
  EXPECT_EQ(decode_sidecar(file).error().code, Errc::kCorrupt);
}

// One field changed, the checksum made right again.
template <class T>
Error refused(size_t at, T value) {
  Bytes file = encoded(small_sidecar());
  store_le(file.data() + at, value);
  reseal(file);
  const auto decoded = decode_sidecar(file);
  EXPECT_FALSE(decoded.has_value());
  return decoded ? Error{} : decoded.error();
}

TEST(Sidecar, FieldsThatContradictEachOtherAreCorrupt) {
  constexpr Error kCorrupt{Errc::kCorrupt};
  constexpr size_t kFirst = 64, kSecond = 84, kEpoch = 104, kProducer = 116;
  EXPECT_EQ(refused(16, int64_t{-1}), kCorrupt);           // base
  EXPECT_EQ(refused(24, uint64_t{100}), kCorrupt);         // bytes of fewer intervals
  EXPECT_EQ(refused(24, ~uint64_t{0}), kCorrupt);          // of more than there are
  EXPECT_EQ(refused(32, uint64_t{1} << 40), kCorrupt);     // known from behind the end
  EXPECT_EQ(refused(40, uint32_t{1}), kCorrupt);           // a CRC of nothing
  EXPECT_EQ(refused(44, uint32_t{0xffffffff}), kCorrupt);  // counts and bytes disagree
  EXPECT_EQ(refused(52, uint32_t{0}), kCorrupt);
  EXPECT_EQ(refused(kFirst + 4, uint32_t{1}), kCorrupt);  // a segment does not begin with a batch
  EXPECT_EQ(refused(kFirst + 4, SegmentIndex::kNone), kCorrupt);
  EXPECT_EQ(refused(kFirst + 8, uint32_t{5}), kCorrupt);            // offsets that fall
  EXPECT_EQ(refused(kFirst + 12, int64_t{1} << 50), kCorrupt);      // a greatest so far that falls
  EXPECT_EQ(refused(kSecond + 4, uint32_t{100}), kCorrupt);         // a batch behind the end
  EXPECT_EQ(refused(kSecond + 4, uint32_t{32768}), kCorrupt);       // in no interval
  EXPECT_EQ(refused(kSecond + 4, SegmentIndex::kNone), kCorrupt);   // no batch, and yet an offset
  EXPECT_EQ(refused(kSecond + 8, uint32_t{0x80000000}), kCorrupt);  // an offset too far from the base
  EXPECT_EQ(refused(kSecond + 8, uint32_t{0}), kCorrupt);           // offsets that stay
  EXPECT_EQ(refused(kProducer + 26, uint8_t{0}), kCorrupt);         // batches remembered
  EXPECT_EQ(refused(kProducer + 26, uint8_t{6}), kCorrupt);
  Sidecar falling = small_sidecar();
  falling.epochs = {{LeaderEpoch{7}, Offset{10}}, {LeaderEpoch{8}, Offset{20}}};
  Bytes file = encoded(falling);
  store_le(file.data() + kEpoch + 12, int32_t{7});
  reseal(file);
  EXPECT_FALSE(decode_sidecar(file).has_value());
  file = encoded(falling);
  store_le(file.data() + kEpoch + 16, int64_t{9});
  reseal(file);
  EXPECT_FALSE(decode_sidecar(file).has_value());
}

}  // namespace
}  // namespace penstock::storage
