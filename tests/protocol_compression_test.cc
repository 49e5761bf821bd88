// The codecs of record batches: round trips, bounds, damage, and what other clients' libraries write.
#include <gtest/gtest.h>
#include <snappy-c.h>

#include <cstdlib>
#include <string>

#include "base/bytes.h"
#include "base/prng.h"
#include "base/units.h"
#include "protocol/compression/batches.h"
#include "protocol/compression/codec.h"

namespace penstock::protocol {
namespace {

using Bytes = std::vector<std::byte>;

constexpr Compression kAll[] = {Compression::kNone, Compression::kGzip, Compression::kSnappy, Compression::kLz4,
                                Compression::kZstd};
constexpr Compression kReal[] = {Compression::kGzip, Compression::kSnappy, Compression::kLz4, Compression::kZstd};

// Words that come again, as text has them; every codec makes it smaller.
Bytes text_of(size_t size, Prng& prng) {
  Bytes out;
  while (out.size() < size) {
    const std::string word = "word" + std::to_string(prng.below(50)) + " ";
    const auto bytes = as_bytes(word);
    out.insert(out.end(), bytes.begin(), bytes.end());
  }
  out.resize(size);
  return out;
}

Bytes random_bytes(size_t size, Prng& prng) {
  Bytes out(size);
  prng.fill(out);
  return out;
}

Prng seeded() {
  const char* const seed = std::getenv("PENSTOCK_SEED");
  return Prng(seed != nullptr ? std::strtoull(seed, nullptr, 10) : 4711);
}

TEST(Compression, NamesAreKafkas) {
  for (const Compression codec : kAll) EXPECT_EQ(compression_named(to_string(codec)), codec);
  EXPECT_EQ(to_string(Compression::kLz4), "lz4");
  EXPECT_EQ(compression_named("LZ4"), std::nullopt);
  EXPECT_EQ(compression_named("producer"), std::nullopt);
  EXPECT_EQ(to_string(static_cast<Compression>(7)), "unknown");
}

TEST(Compression, WhatGoesInComesOutAtEveryLevel) {
  Prng prng = seeded();
  for (const Compression codec : kAll) {
    const LevelRange levels = levels_of(codec);
    for (const int level : {levels.least, levels.usual, levels.most}) {
      for (const size_t size : {size_t{0}, size_t{1}, size_t{100}, 64 * kKiB, 64 * kKiB + 1, 300'000ul}) {
        for (const Bytes& in : {text_of(size, prng), random_bytes(size, prng), Bytes(size)}) {
          Bytes packed = {std::byte{1}};  // appends
          ASSERT_TRUE(compress(codec, level, in, packed));
          Bytes out = {std::byte{2}, std::byte{3}};
          ASSERT_TRUE(decompress(codec, std::span(packed).subspan(1), size, out)) << to_string(codec) << " " << size;
          ASSERT_EQ(Bytes(out.begin() + 2, out.end()), in) << to_string(codec) << " level " << level;
        }
      }
    }
  }
}

TEST(Compression, TextGetsSmallerAndHigherLevelsNoLarger) {
  Prng prng = seeded();
  const Bytes in = text_of(200'000, prng);
  for (const Compression codec : kReal) {
    Bytes usual;
    ASSERT_TRUE(compress(codec, levels_of(codec).usual, in, usual));
    EXPECT_LT(usual.size(), in.size() / 2) << to_string(codec);
    Bytes best;
    ASSERT_TRUE(compress(codec, levels_of(codec).most, in, best));
    EXPECT_LE(best.size(), usual.size()) << to_string(codec);
  }
}

TEST(Compression, OutputIsBoundedToTheByte) {
  Prng prng = seeded();
  for (const Compression codec : kAll) {
    const Bytes in = text_of(100'000, prng);
    Bytes packed;
    ASSERT_TRUE(compress(codec, levels_of(codec).usual, in, packed));
    for (const size_t most : {size_t{0}, size_t{1}, in.size() / 2, in.size() - 1}) {
      Bytes out;
      const auto done = decompress(codec, packed, most, out);
      ASSERT_FALSE(done) << to_string(codec) << " " << most;
      EXPECT_EQ(done.error().code, Errc::kTooLarge) << to_string(codec);
      EXPECT_LE(out.size(), most);
    }
    Bytes out;
    EXPECT_TRUE(decompress(codec, packed, in.size(), out)) << to_string(codec);
  }
}

TEST(Compression, ABombGetsNoMoreMemoryThanItsBound) {
  for (const Compression codec : kReal) {
    Bytes packed;
    ASSERT_TRUE(compress(codec, levels_of(codec).usual, Bytes(32 * kMiB), packed));
    Bytes out;
    const auto done = decompress(codec, packed, 100'000, out);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, Errc::kTooLarge) << to_string(codec);
    EXPECT_LE(out.capacity(), 2 * (100'000u + 4 * packed.size())) << to_string(codec);
  }
  // A block of snappy that claims 1 GiB in seven bytes.
  const unsigned char claim[] = {0x80, 0x80, 0x80, 0x80, 0x04, 0x00, 'x'};
  Bytes out;
  EXPECT_FALSE(decompress(Compression::kSnappy, std::as_bytes(std::span(claim)), 2 * kGiB, out));
  EXPECT_EQ(out.capacity(), 0u);
}

TEST(Compression, ACutStreamIsSaidToBeNone) {
  Prng prng = seeded();
  const Bytes in = text_of(3000, prng);
  for (const Compression codec : kReal) {
    Bytes packed;
    ASSERT_TRUE(compress(codec, levels_of(codec).usual, in, packed));
    const size_t blocks_begin = codec == Compression::kSnappy ? 17 : 0;  // a header alone holds nothing, legally
    for (size_t size = blocks_begin; size < packed.size(); ++size) {
      Bytes out;
      ASSERT_FALSE(decompress(codec, std::span(packed).first(size), in.size(), out)) << to_string(codec) << size;
    }
    packed.push_back(std::byte{0});
    Bytes out;
    EXPECT_FALSE(decompress(codec, packed, in.size() + 100, out)) << to_string(codec) << ": something behind it";
  }
}

TEST(Compression, DamageIsBoundedAndNeverMoreThanAllowed) {
  Prng prng = seeded();
  for (const Compression codec : kReal) {
    Bytes whole;
    ASSERT_TRUE(compress(codec, levels_of(codec).usual, text_of(5000, prng), whole));
    for (int round = 0; round < 500; ++round) {
      Bytes packed = whole;
      for (uint64_t flips = 1 + prng.below(4); flips > 0; --flips)
        packed[prng.below(packed.size())] ^= static_cast<std::byte>(1 << prng.below(8));
      Bytes out;
      (void)decompress(codec, packed, 20'000,
                       out);  // snappy and zstd have no checksum of their own: both ends are legal
      ASSERT_LE(out.size(), 20'000u);
    }
  }
}

TEST(Compression, MembersAndFramesMayFollowOneAnother) {
  Prng prng = seeded();
  for (const Compression codec : {Compression::kGzip, Compression::kLz4, Compression::kZstd}) {
    const Bytes first = text_of(1000, prng);
    const Bytes second = random_bytes(70'000, prng);
    Bytes packed;
    ASSERT_TRUE(compress(codec, levels_of(codec).usual, first, packed));
    ASSERT_TRUE(compress(codec, levels_of(codec).usual, second, packed));
    Bytes both = first;
    both.insert(both.end(), second.begin(), second.end());
    Bytes out;
    ASSERT_TRUE(decompress(codec, packed, both.size(), out)) << to_string(codec);
    EXPECT_EQ(out, both);
  }
}

TEST(Compression, BareSnappyIsReadAsLibrdkafkaSendsIt) {
  Prng prng = seeded();
  const Bytes in = text_of(100'000, prng);
  size_t length = snappy_max_compressed_length(in.size());
  Bytes packed(length);
  ASSERT_EQ(::snappy_compress(reinterpret_cast<const char*>(in.data()), in.size(),
                              reinterpret_cast<char*>(packed.data()), &length),
            SNAPPY_OK);
  packed.resize(length);
  Bytes out;
  ASSERT_TRUE(decompress(Compression::kSnappy, packed, in.size(), out));
  EXPECT_EQ(out, in);
  // And what we write has snappy-java's header: magic, version 1, readable from version 1.
  Bytes framed;
  ASSERT_TRUE(compress(Compression::kSnappy, 0, in, framed));
  const unsigned char header[] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1};
  EXPECT_EQ(Bytes(framed.begin(), framed.begin() + 16),
            Bytes(std::as_bytes(std::span(header)).begin(), std::as_bytes(std::span(header)).end()));
  framed[15] = std::byte{2};  // readable from version 2
  out.clear();
  const auto newer = decompress(Compression::kSnappy, framed, in.size(), out);
  ASSERT_FALSE(newer);
  EXPECT_EQ(newer.error().code, Errc::kUnsupported);
}

TEST(Compression, UnknownCodecIsRefused) {
  Bytes out;
  EXPECT_EQ(compress(static_cast<Compression>(5), 0, Bytes(10), out).error().code, Errc::kUnsupported);
  EXPECT_EQ(decompress(static_cast<Compression>(6), Bytes(10), 100, out).error().code, Errc::kUnsupported);
}

Bytes batch_of(int records, Prng& prng) {
  BatchBuilder builder({.producer_id = ProducerId{9}, .producer_epoch = 3, .base_sequence = 5, .transactional = true});
  for (int i = 0; i < records; ++i) builder.add(1000 + i, as_bytes("key"), text_of(200, prng));
  return builder.finish();
}

TEST(Compression, BatchesGoFromAnyCodecToAny) {
  Prng prng = seeded();
  const Bytes plain = batch_of(50, prng);
  const size_t records = plain.size() - kBatchHeaderBytes;
  for (const Compression from : kAll) {
    const auto first = recompressed(plain, from, levels_of(from).usual, records);
    ASSERT_TRUE(first);
    ASSERT_TRUE(batch_crc_ok(*first));
    ASSERT_EQ(view_of(*first).compression(), from);
    for (const Compression to : kAll) {
      const auto second = recompressed(*first, to, levels_of(to).usual, records);
      ASSERT_TRUE(second);
      EXPECT_EQ(check_batch_header(std::span(*second).first(kBatchHeaderBytes), second->size()), ErrorCode::kNone);
      EXPECT_EQ(view_of(*second).compression(), to);
      EXPECT_TRUE(view_of(*second).transactional());
      EXPECT_EQ(view_of(*second).producer_id(), ProducerId{9});
      const auto back = recompressed(*second, Compression::kNone, 0, records);
      ASSERT_TRUE(back);
      EXPECT_EQ(*back, plain) << to_string(from) << " " << to_string(to);
    }
    const auto small = recompressed(*first, Compression::kZstd, 3, records - 1);
    ASSERT_FALSE(small);
    EXPECT_EQ(small.error().code, Errc::kTooLarge);
  }
}

}  // namespace
}  // namespace penstock::protocol
