// SendQueue: the bytes of one connection from the first unacknowledged one on, as slices of regions (send_memory.h).
// Places count from that first byte. Knows nothing of sequence numbers: FIN is none of its bytes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
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
    // The first n bytes of it, 0 < n <= bytes.
    void shorten(size_t n);
  };

  size_t bytes() const { return bytes_; }
  // What counts against the share of send memory: the bytes in blocks, and the blocks set aside for those that are not.
  size_t held() const { return held_; }
  bool any_shared() const { return shared_ > 0; }
  size_t slice_count() const { return slices_.size(); }

  // Copies as much as there is memory for; returns how much.
  size_t append_copy(SendMemory& memory, std::span<const std::byte> bytes);
  // Takes over one reference to region, in which bytes lie.
  void append_shared(SendMemory::RegionId region, std::span<const std::byte> bytes);
  // Copies the bytes of shared regions whose token is wanted back, and gives those regions up. Returns how many bytes.
  template <class Wanted>
  size_t copy_out(SendMemory& memory, const net::TxOwner& owner, Wanted&& wanted) {
    if (!any_shared()) return 0;
    return copy_out_if(memory, [&](SendMemory::RegionId region) {
      const SendMemory::Lender lender = memory.lender(region);
      return lender.owner == &owner && wanted(lender.token);
    });
  }

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
    uint32_t set_aside = 0;  // blocks, for a copy of what lies in a shared region
  };

  void close_block(SendMemory& memory);
  size_t copy_out_if(SendMemory& memory, const std::function<bool(SendMemory::RegionId)>& wanted);
  void append_copy_of(SendMemory& memory, Fifo<Slice>& to, const Slice& slice);

  Fifo<Slice> slices_;
  size_t bytes_ = 0;
  size_t held_ = 0;
  size_t shared_ = 0;                                    // slices
  SendMemory::RegionId open_block_ = SendMemory::kNone;  // that is being filled: one reference is held for it
  uint32_t block_used_ = 0;
  // Where the last gather() ended: the next one mostly begins there.
  size_t hint_slice_ = 0;
  size_t hint_at_ = 0;  // place of that slice's first byte
};

}  // namespace penstock::dataplane::tcp
