// How received bytes are kept: in the device's buffers while there are enough of them, without a copy; small pieces and
// what comes when the device's are short in memory of their own size (research: a stack that pins all receive buffers
// goes deaf on every connection).
#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <utility>

#include "base/buffer.h"

namespace penstock::dataplane::tcp {

// So much payload is not worth pinning a buffer of 2 KiB for.
inline constexpr size_t kCompactBelow = 512;

// Heap memory of exactly the asked size. Keeps count, so that every byte can be seen to come home.
class HeapBuffers final : public BufferPool {
 public:
  Buffer copy_of(std::span<const std::byte> bytes) {
    auto* memory = new std::byte[bytes.size()];
    std::memcpy(memory, bytes.data(), bytes.size());
    bytes_ += bytes.size();
    return Buffer(*this, {memory, bytes.size()}, bytes.size());
  }
  void release(std::span<std::byte> memory) override {
    bytes_ -= memory.size();
    delete[] memory.data();
  }
  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_ = 0;
};

// Puts buffer behind chain; a small one into the room behind the last byte, if it fits there, so that a peer that sends
// single bytes does not hold 2 KiB for each.
inline void append_compact(BufferChain& chain, Buffer buffer) {
  const size_t n = buffer.size();
  if (n > 0 && n < kCompactBelow && chain.tail_room().size() >= n) {
    std::memcpy(chain.tail_room().data(), buffer.bytes().data(), n);
    chain.filled(n);
    return;
  }
  chain.append(std::move(buffer));
}

}  // namespace penstock::dataplane::tcp
