// snappy as Kafka has it: the frames of snappy-java, which are a header and blocks of {i32 length, raw snappy}. Bare
// raw snappy, as librdkafka and Go clients send it, is read too.
#include <snappy-c.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/units.h"
#include "protocol/compression/streams.h"

namespace penstock::protocol {
namespace {

constexpr std::array<unsigned char, 8> kMagic{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0};
constexpr size_t kFrameHeaderBytes = kMagic.size() + 2 * sizeof(int32_t);  // and its version, and the oldest reader's
constexpr int32_t kVersion = 1;
constexpr size_t kBlockBytes =
    32 * kKiB;  // snappy-java's; more gains nothing, snappy looks back no further than 64 KiB

const char* chars(const std::byte* data) { return reinterpret_cast<const char*>(data); }
char* chars(std::byte* data) { return reinterpret_cast<char*>(data); }

Result<void> decompress_block(std::span<const std::byte> in, size_t most, Bytes& out) {
  size_t length = 0;
  if (snappy_uncompressed_length(chars(in.data()), in.size(), &length) != SNAPPY_OK) return fail(Errc::kCorrupt);
  if (length > most) return fail(Errc::kTooLarge);
  // A copy makes at most 64 bytes of three. What claims more than that lies, and gets no memory.
  if (length > 32 * in.size()) return fail(Errc::kCorrupt);
  const size_t begin = out.size();
  out.resize(begin + length);
  if (snappy_uncompress(chars(in.data()), in.size(), chars(out.data() + begin), &length) == SNAPPY_OK) return {};
  out.resize(begin);
  return fail(Errc::kCorrupt);
}

}  // namespace

Result<void> snappy_compress(std::span<const std::byte> in, Bytes& out) {
  for (const unsigned char byte : kMagic) out.push_back(std::byte{byte});
  out.resize(out.size() + 2 * sizeof(int32_t));
  store_be(out.data() + out.size() - 2 * sizeof(int32_t), kVersion);
  store_be(out.data() + out.size() - sizeof(int32_t), kVersion);
  while (!in.empty()) {
    const auto block = in.first(std::min(in.size(), kBlockBytes));
    in = in.subspan(block.size());
    const size_t begin = out.size();
    size_t length = snappy_max_compressed_length(block.size());
    out.resize(begin + sizeof(int32_t) + length);
    CHECK(::snappy_compress(chars(block.data()), block.size(), chars(out.data() + begin + sizeof(int32_t)), &length) ==
          SNAPPY_OK);
    store_be(out.data() + begin, static_cast<int32_t>(length));
    out.resize(begin + sizeof(int32_t) + length);
  }
  return {};
}

Result<void> snappy_decompress(std::span<const std::byte> in, size_t most, Bytes& out) {
  if (in.size() < kFrameHeaderBytes || std::memcmp(in.data(), kMagic.data(), kMagic.size()) != 0)
    return decompress_block(in, most, out);
  if (load_be<int32_t>(in.data() + kMagic.size() + sizeof(int32_t)) > kVersion) return fail(Errc::kUnsupported);
  in = in.subspan(kFrameHeaderBytes);
  const size_t begin = out.size();
  while (!in.empty()) {
    if (in.size() < sizeof(int32_t)) return fail(Errc::kTruncated);
    const auto length = load_be<int32_t>(in.data());
    in = in.subspan(sizeof(int32_t));
    if (length < 0) return fail(Errc::kCorrupt);
    if (static_cast<size_t>(length) > in.size()) return fail(Errc::kTruncated);
    TRY_VOID(decompress_block(in.first(static_cast<size_t>(length)), most - (out.size() - begin), out));
    in = in.subspan(static_cast<size_t>(length));
  }
  return {};
}

}  // namespace penstock::protocol
