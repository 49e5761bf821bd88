// ReceivePool: the memory of one lcore for bytes that clients have sent and nobody has consumed. Buffers of 64 KiB from
// a last-in-first-out list, so that the memory in use stays small and warm; address space is taken at once, pages when
// they are first touched.
//
// The pool is two shares, so that receiving can wait but never lock up:
//
//   landing    buffers posted for the kernel to fill, and those with bytes in some connection's chain. Taken as bytes
//              come; who finds none goes on with the other share, and comes back when some are free again. The last
//              sixteenth is for requests that one buffer completes: no number of long ones can keep it from them.
//   reserved   buffers promised to requests whose length is known: all that a request still lacks, or it waits in line,
//              first come first served, without being read from.
//
//   landing_limit + reserve_limit = buffers of the pool, and reserve_limit holds the largest request. A buffer counts
//   where it is promised, not where it is touched. So the front of the line gets its reservation as soon as those
//   before it are done, and whoever has one finds its buffers, completes, and makes room: no cycle of waiting. A peer
//   that stops in the middle of a request, or does not read the answers before it, is closed when memory is short
//   (UringSockets::tick), all such at once; what comes behind a request does not share its memory; and since a
//   reservation is only made for bytes that have come, to announce a long request takes nothing from the others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/buffer.h"
#include "base/mapped_memory.h"
#include "base/units.h"

namespace penstock::dataplane {

class ReceivePool final : public BufferPool {
 public:
  static constexpr size_t kBufferBytes = 64 * kKiB;

  // At least 16 buffers. Look at has_memory() and fits() before use.
  ReceivePool(size_t bytes, size_t request_bytes_max);
  ~ReceivePool();
  ReceivePool(const ReceivePool&) = delete;
  ReceivePool& operator=(const ReceivePool&) = delete;

  static constexpr size_t buffers_for(size_t bytes) { return (bytes + kBufferBytes - 1) / kBufferBytes; }

  // Whether there was memory for it; else it has no buffer.
  bool has_memory() const { return !memory_.empty(); }
  // Whether the largest request leaves enough to land in.
  bool fits() const { return landing_limit_ >= kLandingMin; }
  size_t landing_limit() const { return landing_limit_; }
  // How many of them may be used for a new one to be posted, and for one more to be read into; at landing_limit()
  // requests that lack no more than a buffer find none either.
  size_t post_limit() const { return landing_limit_ - short_part(); }
  size_t read_limit() const { return landing_limit_ - landing_limit_ / 4; }
  size_t reserve_limit() const { return shares_.size() - landing_limit_; }
  size_t landing_used() const { return landing_used_; }
  size_t reserved() const { return reserved_; }

  // A buffer for the kernel to fill; empty at the bound.
  std::span<std::byte> take_landing() { return take_landing(post_limit()); }
  // One for a connection that reads for itself; a quarter of the share is left to the kernel.
  std::span<std::byte> take_landing_for_read() { return take_landing(read_limit()); }
  // One for a request that it completes.
  std::span<std::byte> take_landing_for_short() { return take_landing(landing_limit_); }

  // Of the landing share, those that may stand posted and empty: when they are all that is free, others wait for
  // memory.
  size_t post_max() const { return landing_limit_ / 4; }

  bool try_reserve(size_t buffers);
  void unreserve(size_t buffers);
  // One of the buffers that try_reserve() promised; it counts as reserved until it comes home.
  std::span<std::byte> take_reserved();

  void release(std::span<std::byte> memory) override;

 private:
  enum class Share : uint8_t { kFree, kLanding, kReserved };

  static constexpr size_t kLandingMin = 8;

  size_t short_part() const { return landing_limit_ < 16 ? 1 : landing_limit_ / 16; }
  std::span<std::byte> take(Share share);
  std::span<std::byte> take_landing(size_t limit);

  MappedMemory mapped_;
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
