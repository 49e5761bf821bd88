// How received bytes are kept: in the device's buffers while there are enough of them, without a copy; small pieces,
// and what comes when the device's are short, in memory of our own (research: a stack that pins all receive buffers
// goes deaf on every connection). Small pieces share a buffer, so that single bytes cost neither memory nor time for
// each.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "base/buffer.h"

namespace penstock::dataplane::tcp {

// So much payload is not worth pinning a buffer of 2 KiB for.
inline constexpr size_t kCompactBelow = 512;
inline constexpr size_t kCompactBytes = 2048;

// Heap memory, with room behind what is small. Keeps count, so that every byte can be seen to come home.
class HeapBuffers final : public BufferPool {
 public:
  Buffer copy_of(std::span<const std::byte> bytes) {
    const size_t size = std::max(bytes.size(), kCompactBytes);
    auto* memory = new std::byte[size];
    std::ranges::copy(bytes, memory);
    bytes_ += size;
    ++buffers_;
    return Buffer(*this, {memory, size}, bytes.size());
  }
  void release(std::span<std::byte> memory) override {
    bytes_ -= memory.size();
    --buffers_;
    delete[] memory.data();
  }
  size_t bytes() const { return bytes_; }
  size_t buffers() const { return buffers_; }

 private:
  size_t bytes_ = 0;
  size_t buffers_ = 0;
};

// Copies a small piece into the room behind the last byte of a Buffer or a BufferChain. False: it is not small, or has
// no place there.
template <class Memory>
bool top_up(Memory& memory, std::span<std::byte> room, std::span<const std::byte> piece) {
  if (piece.size() >= kCompactBelow || piece.size() > room.size()) return false;
  std::ranges::copy(piece, room.begin());
  memory.filled(piece.size());
  return true;
}
inline bool top_up(Buffer& last, std::span<const std::byte> piece) { return top_up(last, last.room(), piece); }
inline bool top_up(BufferChain& chain, std::span<const std::byte> piece) {
  return !chain.empty() && top_up(chain, chain.tail_room(), piece);
}

}  // namespace penstock::dataplane::tcp
