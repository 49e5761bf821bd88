// Any bytes as a compressed stream of any codec: never more output than allowed, and what we compress comes back.
#include <cstdint>
#include <span>
#include <vector>

#include "base/assert.h"
#include "protocol/compression/batches.h"
#include "protocol/compression/codec.h"

// The first byte chooses codec and bound.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace penstock::protocol;
  if (size == 0) return 0;
  const auto codec = static_cast<Compression>(data[0] % 6);  // one that is none, too
  const size_t most = size_t{1} << (data[0] / 6 % 20);
  const auto input = std::as_bytes(std::span(data + 1, size - 1));
  std::vector<std::byte> out;
  const auto done = decompress(codec, input, most, out);
  CHECK(out.size() <= most);

  if (input.size() >= kBatchHeaderBytes) {
    if (const auto batch = recompressed(input, Compression::kLz4, 1, most)) {
      CHECK(batch_crc_ok(*batch));
      CHECK(view_of(*batch).compression() == Compression::kLz4);
    }
  }
  if (done) {
    std::vector<std::byte> packed;
    CHECK(compress(codec, levels_of(codec).least, out, packed));
    std::vector<std::byte> again;
    CHECK(decompress(codec, packed, out.size(), again));
    CHECK(again == out);
  }
  return 0;
}
