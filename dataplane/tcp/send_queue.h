// SendQueue: the bytes of one connection from the first unacknowledged one on, as slices of regions (send_memory.h).
// Places count from that first byte. Knows nothing of sequence numbers: FIN is none of its bytes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/net/tx.h"
#include "dataplane/tcp/fifo.h"
#include "dataplane/tcp/send_memory.h"

namespace penstock::dataplane::tcp {

class SendQueue {
 public:
  // A segment's payload: pieces in order and the regions that they lie in.
  struct Gathered {
    std::array<net::TxPiece, net::kTxPiecesMax> pieces;
    std::array<SendMemory::RegionId, net::kTxPiecesMax> regions;
    size_t count = 0;
    size_t bytes = 0;
  };

  size_t bytes() const { return bytes_; }
  size_t copied() const { return copied_; }  // of them, in blocks
  size_t slice_count() const { return slices_.size(); }

  // Copies as much as there is memory for; returns how much.
  size_t append_copy(SendMemory& memory, std::span<const std::byte> bytes);
  // Takes over one reference to region, in which bytes lie.
  void append_shared(SendMemory::RegionId region, std::span<const std::byte> bytes);

  // At most bytes from place at on; less if they lie in more than kTxPiecesMax slices. at < bytes().
  Gathered gather(size_t at, size_t bytes);

  // The first n bytes are acknowledged.
  void drop_front(SendMemory& memory, size_t n);
  void clear(SendMemory& memory) { drop_front(memory, bytes_); }
  void release_memory() { slices_.release_memory(); }

  // For invariant I7.
  size_t recount() const;

 private:
  struct Slice {
    const std::byte* data = nullptr;
    uint32_t bytes = 0;
    SendMemory::RegionId region = SendMemory::kNone;
  };

  void close_block(SendMemory& memory);

  Fifo<Slice> slices_;
  size_t bytes_ = 0;
  size_t copied_ = 0;
  SendMemory::RegionId open_block_ = SendMemory::kNone;  // that is being filled: one reference is held for it
  uint32_t block_used_ = 0;
  // Where the last gather() ended: the next one mostly begins there.
  size_t hint_slice_ = 0;
  size_t hint_at_ = 0;  // place of that slice's first byte
};

}  // namespace penstock::dataplane::tcp
