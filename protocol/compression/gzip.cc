// gzip through zlib. Members may follow one another, as java.util.zip reads them (RFC 1952 section 2.2).
#include <zlib.h>

#include "base/assert.h"
#include "protocol/compression/streams.h"

namespace penstock::protocol {
namespace {

constexpr int kGzipWindow = 15 + 16;  // the largest window, in a gzip wrapper
constexpr int kMemoryLevel = 8;       // zlib's default

Bytef* bytes(const std::byte* data) { return reinterpret_cast<Bytef*>(const_cast<std::byte*>(data)); }

// The stream ends with its owner.
struct Inflater {
  z_stream stream{};
  Inflater() { CHECK(inflateInit2(&stream, kGzipWindow) == Z_OK); }
  ~Inflater() { inflateEnd(&stream); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
};

}  // namespace

Result<void> gzip_compress(int level, std::span<const std::byte> in, Bytes& out) {
  z_stream stream{};
  CHECK(deflateInit2(&stream, level, Z_DEFLATED, kGzipWindow, kMemoryLevel, Z_DEFAULT_STRATEGY) == Z_OK);
  const size_t begin = out.size();
  out.resize(begin + deflateBound(&stream, in.size()));
  stream.next_in = bytes(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = bytes(out.data() + begin);
  stream.avail_out = static_cast<uInt>(out.size() - begin);
  const int done = deflate(&stream, Z_FINISH);
  out.resize(begin + stream.total_out);
  deflateEnd(&stream);
  CHECK(done == Z_STREAM_END);  // deflateBound is a promise
  return {};
}

Result<void> gzip_decompress(std::span<const std::byte> in, size_t most, Bytes& out) {
  Inflater inflater;
  z_stream& stream = inflater.stream;
  stream.next_in = bytes(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  GrowingOutput output(out, most, in.size());
  for (;;) {
    std::byte beyond{};
    std::span<std::byte> room = output.room();
    const bool full = room.empty();
    if (full) room = {&beyond, 1};  // one byte more than is allowed tells a stream that is too long from one that ends
    stream.next_out = bytes(room.data());
    stream.avail_out = static_cast<uInt>(std::min<size_t>(room.size(), 1u << 30));
    const uInt before = stream.avail_out;
    const int done = inflate(&stream, Z_NO_FLUSH);
    const uInt wrote = before - stream.avail_out;
    if (full && wrote > 0) return output.finish(), fail(Errc::kTooLarge);
    output.wrote(wrote);
    if (done == Z_STREAM_END) {
      if (stream.avail_in == 0) return output.finish(), Result<void>{};
      if (inflateReset(&stream) != Z_OK) return output.finish(), fail(Errc::kCorrupt);
    } else if (done == Z_BUF_ERROR || (done == Z_OK && wrote == 0 && stream.avail_in == 0)) {
      return output.finish(), fail(Errc::kTruncated);
    } else if (done != Z_OK) {
      return output.finish(), fail(Errc::kCorrupt);
    }
  }
}

}  // namespace penstock::protocol
