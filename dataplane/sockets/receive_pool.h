// ReceivePool: the memory of one lcore for bytes that clients have sent and nobody has consumed. Buffers of 64 KiB from
// a last-in-first-out list, so that the memory in use stays small and warm; address space is taken at once, pages when
// they are first touched.
//
// The pool is two shares, so that receiving can wait but never lock up:
//
//   landing    buffers posted for the kernel to fill, and those it filled that are still in some connection's chain.
//              At most landing_limit(); at that bound nothing is posted, and connections read directly
//              (uring_stream.h).
//   reserved   buffers promised to requests whose length is known. A request gets all it lacks or waits in line; once
//              it has them, nothing of what it still needs can be taken by another.
//
//   landing_limit + reserve_limit = buffers of the pool, and each share is counted where a buffer is promised, not
//   where it is touched. So a request with a reservation always finds its buffers, completes, and makes room for the
//   next in line; a peer that stops sending in the middle of one is closed when others wait (UringSockets::tick).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/buffer.h"
#include "base/units.h"

namespace penstock::dataplane {

class ReceivePool final : public BufferPool {
 public:
  static constexpr size_t kBufferBytes = 64 * kKiB;

  // At least 16 buffers.
  explicit ReceivePool(size_t bytes);
  ~ReceivePool();
  ReceivePool(const ReceivePool&) = delete;
  ReceivePool& operator=(const ReceivePool&) = delete;

  static constexpr size_t buffers_for(size_t bytes) { return (bytes + kBufferBytes - 1) / kBufferBytes; }

  size_t landing_limit() const { return landing_limit_; }
  size_t reserve_limit() const { return shares_.size() - landing_limit_; }
  size_t landing_used() const { return landing_used_; }
  size_t reserved() const { return reserved_; }

  // A buffer for the kernel to fill; empty at the bound.
  std::span<std::byte> take_landing();

  bool try_reserve(size_t buffers);
  void unreserve(size_t buffers);
  // One of the buffers that try_reserve() promised; it counts as reserved until it comes home.
  std::span<std::byte> take_reserved();

  void release(std::span<std::byte> memory) override;

 private:
  enum class Share : uint8_t { kFree, kLanding, kReserved };

  std::span<std::byte> take(Share share);

  std::span<std::byte> memory_;
  std::vector<Share> shares_;  // by buffer
  std::vector<uint32_t> free_;
  size_t landing_limit_;
  size_t landing_used_ = 0;
  size_t reserved_ = 0;
};

// Memory of its own for each Buffer, for the few bytes that must not hold a whole one of the pool.
class HeapPool final : public BufferPool {
 public:
  // A Buffer of capacity bytes, of which none is filled.
  Buffer make(size_t capacity) { return {*this, {new std::byte[capacity], capacity}, 0}; }
  void release(std::span<std::byte> memory) override { delete[] memory.data(); }
};

}  // namespace penstock::dataplane
