// One pair of functions a codec, behind codec.h. Contracts as there: compress appends to out, decompress appends at
// most `most` bytes.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/result.h"

namespace penstock::protocol {

using Bytes = std::vector<std::byte>;

Result<void> gzip_compress(int level, std::span<const std::byte> in, Bytes& out);
Result<void> gzip_decompress(std::span<const std::byte> in, size_t most, Bytes& out);
Result<void> snappy_compress(std::span<const std::byte> in, Bytes& out);
Result<void> snappy_decompress(std::span<const std::byte> in, size_t most, Bytes& out);
Result<void> lz4_compress(int level, std::span<const std::byte> in, Bytes& out);
Result<void> lz4_decompress(std::span<const std::byte> in, size_t most, Bytes& out);
Result<void> zstd_compress(int level, std::span<const std::byte> in, Bytes& out);
Result<void> zstd_decompress(std::span<const std::byte> in, size_t most, Bytes& out);

// Output of a decompressor that does not say beforehand how much there will be: room that grows with what was written,
// so that a small input cannot make it large, up to a bound.
class GrowingOutput {
 public:
  GrowingOutput(Bytes& out, size_t most, size_t input_bytes);

  // Where the next bytes go; empty when the bound is reached.
  std::span<std::byte> room();
  void wrote(size_t bytes) { used_ += bytes; }
  // Whether nothing more is allowed.
  bool full() const { return used_ == most_; }
  // Cuts the output to what was written.
  void finish() { out_.resize(begin_ + used_); }

 private:
  Bytes& out_;
  size_t begin_;
  size_t most_;
  size_t used_ = 0;
  size_t room_;
};

}  // namespace penstock::protocol
