// Bytes as they come from a network: in pieces of random sizes, each in memory of its own.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "base/buffer.h"
#include "base/prng.h"

namespace penstock::protocol::testing {

class HeapPool final : public BufferPool {
 public:
  void release(std::span<std::byte> memory) override { delete[] memory.data(); }
  Buffer copy_of(std::span<const std::byte> bytes) {
    auto* memory = new std::byte[bytes.size()];
    std::ranges::copy(bytes, memory);
    return Buffer(*this, {memory, bytes.size()}, bytes.size());
  }
};

// Pieces of 1 to most bytes.
inline BufferChain chain_of(HeapPool& pool, std::span<const std::byte> bytes, Prng& prng, size_t most) {
  BufferChain chain;
  while (!bytes.empty()) {
    const size_t n = std::min<size_t>(bytes.size(), prng.between(1, most));
    chain.append(pool.copy_of(bytes.first(n)));
    bytes = bytes.subspan(n);
  }
  return chain;
}

}  // namespace penstock::protocol::testing
