// RingMemory: the ring's mirror in memory, chunk for chunk. It is write buffer, replication source and tail cache at
// once: what is in the ring is here at the same place, so an lsn is all the address that anybody needs.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "base/assert.h"
#include "storage/ring/frame.h"

namespace penstock::storage {

class RingMemory {
 public:
  explicit RingMemory(std::span<std::byte> memory) : memory_(memory) { CHECK(memory.size() % kChunkBytes == 0); }

  uint64_t bytes() const { return memory_.size(); }
  std::span<const std::byte> whole() const { return memory_; }
  uint64_t place(Lsn lsn) const { return lsn.value() % memory_.size(); }
  std::byte* at(Lsn lsn) const { return memory_.data() + place(lsn); }
  // First lsn of the next chunk.
  static Lsn chunk_end(Lsn lsn) { return Lsn{align_down(lsn.value(), kChunkBytes) + kChunkBytes}; }
  static uint64_t left_in_chunk(Lsn lsn) { return chunk_end(lsn) - lsn; }
  std::span<std::byte> span(Lsn lsn, size_t n) const {
    CHECK(n <= left_in_chunk(lsn));
    return {at(lsn), n};
  }

  // Where byte n of a payload that begins at start lies: a payload goes on behind the next chunk's frame header.
  static Lsn advance(Lsn start, uint64_t n) {
    while (n >= left_in_chunk(start)) {
      n -= left_in_chunk(start);
      start = chunk_end(start) + kFrameHeaderBytes;
    }
    return start + n;
  }

  // Bytes [skip, skip + n) of the payload at start as contiguous pieces: fills pieces, returns how many; stops early
  // when pieces is full.
  size_t view(Lsn start, uint64_t skip, uint64_t n, std::span<std::span<const std::byte>> pieces) const {
    size_t count = 0;
    for (Lsn from = advance(start, skip); n > 0 && count < pieces.size();) {
      const uint64_t step = std::min(n, left_in_chunk(from));
      pieces[count++] = span(from, step);
      n -= step;
      from = advance(from, step);
    }
    return count;
  }

 private:
  std::span<std::byte> memory_;
};

}  // namespace penstock::storage
