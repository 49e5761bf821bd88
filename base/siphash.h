// SipHash-2-4 (Aumasson and Bernstein, 2012): a short keyed hash that a peer who does not know the key cannot steer.
// TCP's sequence numbers, SYN cookies, timestamp offsets, ports and flow table hang on it, and the keys of compacted
// logs. Of 64 bits, or of 128: which it is must be said at the beginning.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace penstock {

struct SipKey {
  uint64_t k0 = 0;
  uint64_t k1 = 0;
};

class SipHash {
 public:
  enum class Bits : uint8_t { k64, k128 };

  // The constants spell "somepseudorandomlygeneratedbytes".
  explicit SipHash(SipKey key, Bits bits = Bits::k64)
      : v0_(key.k0 ^ 0x736f6d6570736575),
        v1_(key.k1 ^ 0x646f72616e646f6d ^ (bits == Bits::k128 ? 0xee : 0)),
        v2_(key.k0 ^ 0x6c7967656e657261),
        v3_(key.k1 ^ 0x7465646279746573) {}

  // Eight bytes of message, little-endian.
  void word(uint64_t m) {
    v3_ ^= m;
    round();
    round();
    v0_ ^= m;
    bytes_ += 8;
  }
  // The last 0 to 7 bytes of the message in the low bytes of tail.
  uint64_t finish(uint64_t tail = 0, size_t tail_bytes = 0) {
    end(tail, tail_bytes);
    return sum(v2_, 0xff);
  }
  // Of 128 bits, the low half first.
  std::pair<uint64_t, uint64_t> finish_128(uint64_t tail = 0, size_t tail_bytes = 0) {
    end(tail, tail_bytes);
    const uint64_t low = sum(v2_, 0xee);
    return {low, sum(v1_, 0xdd)};
  }

 private:
  void end(uint64_t tail, size_t tail_bytes) {
    const uint64_t last = (bytes_ + tail_bytes) << 56 | tail;
    v3_ ^= last;
    round();
    round();
    v0_ ^= last;
  }
  uint64_t sum(uint64_t& marked, uint64_t mark) {
    marked ^= mark;
    for (int i = 0; i < 4; ++i) round();
    return v0_ ^ v1_ ^ v2_ ^ v3_;
  }
  void round() {
    v0_ += v1_;
    v1_ = std::rotl(v1_, 13) ^ v0_;
    v0_ = std::rotl(v0_, 32);
    v2_ += v3_;
    v3_ = std::rotl(v3_, 16) ^ v2_;
    v0_ += v3_;
    v3_ = std::rotl(v3_, 21) ^ v0_;
    v2_ += v1_;
    v1_ = std::rotl(v1_, 17) ^ v2_;
    v2_ = std::rotl(v2_, 32);
  }

  uint64_t v0_, v1_, v2_, v3_;
  uint64_t bytes_ = 0;
};

}  // namespace penstock
