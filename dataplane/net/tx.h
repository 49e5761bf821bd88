// What a sender lends to the network: slices of memory that a frame refers to, and who is told when they are free
// again. Shared by tcp (which lends), net (which puts an IP header before them) and nic (which gives them to the
// device).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace penstock::dataplane::net {

// A slice of a frame, in the order of the bytes on the wire. Never empty.
struct TxPiece {
  std::span<const std::byte> bytes;
};

// A frame has at most so many: one header mbuf and this many external ones.
inline constexpr size_t kTxPiecesMax = 16;

// Seam: who lent the pieces. release() is called exactly once for each send that named the owner, on the thread that
// sent, when neither a queue nor the device needs the bytes any more; that may be before the send returns.
class TxOwner {
 public:
  virtual void release(uint64_t token) = 0;

 protected:
  ~TxOwner() = default;
};

}  // namespace penstock::dataplane::net
