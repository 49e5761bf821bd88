// zstd (RFC 8878, KIP-110): one frame without a checksum out, any frames in.
#include <zstd.h>

#include "base/assert.h"
#include "protocol/compression/streams.h"

namespace penstock::protocol {
namespace {

// What level 22 uses where the length is not known beforehand, as in Java's stream; Kafka's own reader stops there too.
constexpr int kWindowLogMost = 27;

struct Decoder {
  ZSTD_DCtx* context = ZSTD_createDCtx();
  Decoder() {
    CHECK(context != nullptr);
    CHECK(ZSTD_isError(ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, kWindowLogMost)) == 0);
  }
  ~Decoder() { ZSTD_freeDCtx(context); }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
};

}  // namespace

Result<void> zstd_compress(int level, std::span<const std::byte> in, Bytes& out) {
  const size_t begin = out.size();
  out.resize(begin + ZSTD_compressBound(in.size()));
  const size_t wrote = ZSTD_compress(out.data() + begin, out.size() - begin, in.data(), in.size(), level);
  CHECK(ZSTD_isError(wrote) == 0);  // the bound is a promise
  out.resize(begin + wrote);
  return {};
}

Result<void> zstd_decompress(std::span<const std::byte> in, size_t most, Bytes& out) {
  Decoder decoder;
  GrowingOutput output(out, most, in.size());
  ZSTD_inBuffer source{in.data(), in.size(), 0};
  size_t wanted = 1;  // 0: a frame has ended
  while (source.pos < source.size || wanted != 0) {
    std::byte beyond{};
    std::span<std::byte> room = output.room();
    const bool full = room.empty();
    if (full) room = {&beyond, 1};  // one byte more than is allowed tells a frame that is too long from one that ends
    ZSTD_outBuffer target{room.data(), room.size(), 0};
    const size_t before = source.pos;
    wanted = ZSTD_decompressStream(decoder.context, &target, &source);
    if (ZSTD_isError(wanted) != 0) return output.finish(), fail(Errc::kCorrupt);
    if (full && target.pos > 0) return output.finish(), fail(Errc::kTooLarge);
    output.wrote(target.pos);
    if (target.pos == 0 && source.pos == before && wanted != 0) return output.finish(), fail(Errc::kTruncated);
  }
  output.finish();
  return {};
}

}  // namespace penstock::protocol
