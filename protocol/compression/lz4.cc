// lz4 as LZ4 frames: blocks of 64 KiB that stand alone and no checksum of the content, as Kafka's clients make them
// (KIP-57; the batch has its own checksum). Any frame is read, several one after another too.
#include <lz4frame.h>

#include "base/assert.h"
#include "protocol/compression/streams.h"

namespace penstock::protocol {
namespace {

// The frame decoder ends with its owner.
struct Decoder {
  LZ4F_dctx* context = nullptr;
  Decoder() { CHECK(LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION)) == 0); }
  ~Decoder() { LZ4F_freeDecompressionContext(context); }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
};

}  // namespace

Result<void> lz4_compress(int level, std::span<const std::byte> in, Bytes& out) {
  LZ4F_preferences_t preferences{};
  preferences.frameInfo.blockSizeID = LZ4F_max64KB;
  preferences.frameInfo.blockMode = LZ4F_blockIndependent;
  preferences.compressionLevel = level;
  const size_t begin = out.size();
  out.resize(begin + LZ4F_compressFrameBound(in.size(), &preferences));
  const size_t wrote = LZ4F_compressFrame(out.data() + begin, out.size() - begin, in.data(), in.size(), &preferences);
  CHECK(LZ4F_isError(wrote) == 0);  // the bound is a promise
  out.resize(begin + wrote);
  return {};
}

Result<void> lz4_decompress(std::span<const std::byte> in, size_t most, Bytes& out) {
  Decoder decoder;
  GrowingOutput output(out, most, in.size());
  size_t wanted = 1;  // 0: a frame has ended
  while (!in.empty() || wanted != 0) {
    std::byte beyond{};
    std::span<std::byte> room = output.room();
    const bool full = room.empty();
    if (full) room = {&beyond, 1};  // one byte more than is allowed tells a frame that is too long from one that ends
    size_t wrote = room.size();
    size_t took = in.size();
    wanted = LZ4F_decompress(decoder.context, room.data(), &wrote, in.data(), &took, nullptr);
    if (LZ4F_isError(wanted) != 0) return output.finish(), fail(Errc::kCorrupt);
    if (full && wrote > 0) return output.finish(), fail(Errc::kTooLarge);
    output.wrote(wrote);
    in = in.subspan(took);
    if (wrote == 0 && took == 0 && wanted != 0) return output.finish(), fail(Errc::kTruncated);
  }
  output.finish();
  return {};
}

}  // namespace penstock::protocol
