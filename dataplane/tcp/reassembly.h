// Reassembly: what came ahead of a hole, as at most 64 disjoint ranges in sequence order. Anything in the offered
// window is taken, and small pieces share buffers; at a bound the highest range goes, never what fills the hole at
// rcv_nxt. What was dropped is simply not reported in SACK blocks any more (RFC 2018 8: the data receiver may).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "base/buffer.h"
#include "dataplane/tcp/header.h"
#include "dataplane/tcp/receive_memory.h"
#include "dataplane/tcp/seq.h"

namespace penstock::dataplane::tcp {

class Reassembly {
 public:
  static constexpr size_t kRangesMax = 64;
  // Buffers: one a range, and one for so many bytes. Whose segments share buffers stays below that.
  static constexpr size_t kBytesPerBuffer = kCompactBelow / 2;

  bool empty() const { return ranges_.empty(); }
  size_t range_count() const { return ranges_.size(); }
  size_t bytes() const { return bytes_; }
  size_t buffers() const { return buffers_; }
  // Buffers moved from one range to another, all in all: for tests.
  size_t moved() const { return moved_; }
  SackBlock range(size_t index) const { return {ranges_[index].begin, ranges_[index].end}; }

  struct Inserted {
    size_t bytes;    // new ones
    bool duplicate;  // some of it was there already: duplicate says which (RFC 2883)
    SackBlock twice{};
    size_t evicted = 0;  // bytes dropped at the bound
    size_t copied = 0;   // bytes that do not lie in buffer any more
  };
  // bytes begin at begin, which lies behind rcv_nxt; the buffer lies in the window. heap: for what leaves most of its
  // buffer empty.
  Inserted insert(SeqNumber begin, Buffer buffer, HeapBuffers& heap);

  // Moves what begins at or before rcv_nxt behind chain; returns the new rcv_nxt.
  SeqNumber take(SeqNumber rcv_nxt, BufferChain& chain);

  // The ranges, the one that came last first, then by how long ago they changed (RFC 2018 4). Returns how many.
  size_t sack_blocks(std::span<SackBlock> out) const;

  // Memory is short: everything goes. Returns the bytes.
  size_t drop_all();

 private:
  struct Range {
    SeqNumber begin;
    SeqNumber end;
    uint64_t touched;  // larger: later
    std::deque<Buffer> buffers;
    Range(SeqNumber from, SeqNumber to, uint64_t when) : begin(from), end(to), touched(when) {}
    Range(Range&&) noexcept = default;
    Range& operator=(Range&&) noexcept = default;
    ~Range() = default;
    size_t bytes() const { return seq_bytes(begin, end); }
  };

  Buffer keep(Buffer buffer, HeapBuffers& heap, Inserted& result);
  void append(Range& range, Buffer buffer, HeapBuffers& heap, Inserted& result);
  void prepend(Range& range, Buffer buffer, HeapBuffers& heap, Inserted& result);
  void join(Range& low, Range& high);
  void forget(const Range& range);
  void evict_highest(Inserted& result);

  std::vector<Range> ranges_;
  size_t bytes_ = 0;
  size_t buffers_ = 0;
  size_t moved_ = 0;
  uint64_t touches_ = 0;
};

}  // namespace penstock::dataplane::tcp
