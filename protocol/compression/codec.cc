#include "protocol/compression/codec.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/assert.h"
#include "base/units.h"
#include "protocol/compression/streams.h"

namespace penstock::protocol {
namespace {

constexpr std::array<std::string_view, 5> kNames{"none", "gzip", "snappy", "lz4", "zstd"};
constexpr size_t kInputMost = 2 * kGiB - 1;  // lengths inside the formats and their libraries are 32 bits

void append(std::span<const std::byte> in, std::vector<std::byte>& out) { out.insert(out.end(), in.begin(), in.end()); }

}  // namespace

std::string_view to_string(Compression codec) {
  const auto at = static_cast<size_t>(codec);
  return at < kNames.size() ? kNames[at] : "unknown";
}

std::optional<Compression> compression_named(std::string_view name) {
  const auto found = std::ranges::find(kNames, name);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<Compression>(found - kNames.begin());
}

LevelRange levels_of(Compression codec) {
  switch (codec) {
    case Compression::kGzip: return {1, 9, 6};  // and -1, which means 6
    case Compression::kLz4: return {1, 17, 9};
    case Compression::kZstd: return {-131072, 22, 3};
    case Compression::kNone:
    case Compression::kSnappy: return {};
  }
  return {};
}

Result<void> compress(Compression codec, int level, std::span<const std::byte> in, std::vector<std::byte>& out) {
  if (in.size() > kInputMost) return fail(Errc::kTooLarge);
  switch (codec) {
    case Compression::kNone: append(in, out); return {};
    case Compression::kGzip: return gzip_compress(level, in, out);
    case Compression::kSnappy: return snappy_compress(in, out);
    case Compression::kLz4: return lz4_compress(level, in, out);
    case Compression::kZstd: return zstd_compress(level, in, out);
  }
  return fail(Errc::kUnsupported);
}

Result<void> decompress(Compression codec, std::span<const std::byte> in, size_t most, std::vector<std::byte>& out) {
  if (in.size() > kInputMost) return fail(Errc::kTooLarge);
  switch (codec) {
    case Compression::kNone:
      if (in.size() > most) return fail(Errc::kTooLarge);
      append(in, out);
      return {};
    case Compression::kGzip: return gzip_decompress(in, most, out);
    case Compression::kSnappy: return snappy_decompress(in, most, out);
    case Compression::kLz4: return lz4_decompress(in, most, out);
    case Compression::kZstd: return zstd_decompress(in, most, out);
  }
  return fail(Errc::kUnsupported);
}

GrowingOutput::GrowingOutput(Bytes& out, size_t most, size_t input_bytes)
    : out_(out), begin_(out.size()), most_(most), room_(std::max<size_t>(4 * input_bytes, 4 * kKiB)) {}

std::span<std::byte> GrowingOutput::room() {
  if (out_.size() - begin_ == used_) {
    // Doubling, so that the copies of a growing vector cost a constant factor.
    const size_t wanted = std::max(room_, 2 * used_);
    out_.resize(begin_ + std::min(wanted, most_));
  }
  return std::span(out_).subspan(begin_ + used_);
}

}  // namespace penstock::protocol
