// Who owns received bytes is in the type. Buffer (move-only): I own this memory until I am destroyed, then it goes home
// to its pool. std::span: I look, during this call. BufferChain: an ordered run of Buffers, read as one byte string.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <deque>
#include <span>
#include <utility>

#include "base/assert.h"

namespace penstock {

// Seam: where a Buffer's memory goes home to (a provided-buffer ring, an mbuf pool, heap memory in a test).
class BufferPool {
 public:
  virtual void release(std::span<std::byte> memory) = 0;

 protected:
  ~BufferPool() = default;
};

class Buffer {
 public:
  // Owns memory, of which the first used bytes are filled.
  Buffer(BufferPool& pool, std::span<std::byte> memory, size_t used) : pool_(&pool), memory_(memory), end_(used) {
    CHECK(used <= memory.size());
  }
  Buffer(Buffer&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)),
        memory_(std::exchange(other.memory_, {})),
        begin_(std::exchange(other.begin_, 0)),
        end_(std::exchange(other.end_, 0)),
        shared_(std::exchange(other.shared_, false)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(memory_, other.memory_);
    std::swap(begin_, other.begin_);
    std::swap(end_, other.end_);
    std::swap(shared_, other.shared_);
    return *this;
  }
  ~Buffer() {
    if (pool_ != nullptr) pool_->release(memory_);
  }

  std::span<const std::byte> bytes() const { return memory_.subspan(begin_, end_ - begin_); }
  size_t size() const { return end_ - begin_; }
  // Memory behind the filled bytes.
  std::span<std::byte> room() { return memory_.subspan(end_); }
  // The first n bytes of room() are filled now.
  void filled(size_t n) {
    CHECK(n <= memory_.size() - end_);
    end_ += n;
  }
  void drop_front(size_t n) {
    CHECK(n <= size());
    begin_ += n;
  }
  // The first n bytes as a Buffer of its own; the memory goes home when both are gone. Both stay on one thread, or with
  // one at a time.
  Buffer split_front(size_t n);
  void drop_back(size_t n) {
    CHECK(n <= size());
    end_ -= n;
  }
  // What the pool has lent: more than size() where a little lies in much.
  size_t memory_bytes() const { return memory_.size(); }

 private:
  BufferPool* pool_;
  std::span<std::byte> memory_;
  size_t begin_ = 0;
  size_t end_ = 0;
  bool shared_ = false;  // pool_ is a SharedMemory
};

// Memory that several Buffers have parts of.
class SharedMemory final : public BufferPool {
 public:
  SharedMemory(BufferPool& home, std::span<std::byte> memory) : home_(home), memory_(memory) {}
  void share() { ++parts_; }
  void release(std::span<std::byte>) override {
    if (--parts_ > 0) return;
    home_.release(memory_);
    delete this;
  }

 private:
  ~SharedMemory() = default;
  BufferPool& home_;
  const std::span<std::byte> memory_;
  size_t parts_ = 1;
};

inline Buffer Buffer::split_front(size_t n) {
  CHECK(n <= size());
  if (!shared_) pool_ = new SharedMemory(*pool_, memory_);
  shared_ = true;
  static_cast<SharedMemory*>(pool_)->share();
  Buffer front(*pool_, memory_.first(begin_ + n), begin_ + n);
  front.shared_ = true;
  front.begin_ = begin_;
  begin_ += n;
  return front;
}

class BufferChain {
 public:
  BufferChain() = default;
  // What was moved from is empty, and may be filled again.
  BufferChain(BufferChain&& other) noexcept
      : buffers_(std::exchange(other.buffers_, {})), size_(std::exchange(other.size_, 0)) {}
  BufferChain& operator=(BufferChain&& other) noexcept {
    buffers_ = std::exchange(other.buffers_, {});
    size_ = std::exchange(other.size_, 0);
    return *this;
  }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  size_t buffer_count() const { return buffers_.size(); }
  // Filled bytes of the index-th Buffer, for a reader that goes forward through the chain.
  std::span<const std::byte> piece(size_t index) const { return buffers_[index].bytes(); }

  void append(Buffer buffer) {
    if (buffer.size() == 0) return;
    size_ += buffer.size();
    buffers_.push_back(std::move(buffer));
  }
  // Everything of other, which is empty then.
  void append(BufferChain&& other) {
    for (Buffer& buffer : other.buffers_) append(std::move(buffer));
    other.clear();
  }
  // Drops the first n bytes; Buffers that empty go home.
  void consume(size_t n) {
    CHECK(n <= size_);
    size_ -= n;
    while (n > 0) {
      const size_t step = std::min(n, buffers_.front().size());
      buffers_.front().drop_front(step);
      if (buffers_.front().size() == 0) buffers_.pop_front();
      n -= step;
    }
  }
  // The first n bytes, moved out: whole Buffers as they are, and a part of the one where they end.
  BufferChain take_front(size_t n) {
    CHECK(n <= size_);
    BufferChain front;
    while (front.size_ < n) {
      const size_t left = n - front.size_;
      size_ -= std::min(left, buffers_.front().size());
      if (buffers_.front().size() > left) {
        front.append(buffers_.front().split_front(left));
      } else {
        front.append(std::move(buffers_.front()));
        buffers_.pop_front();
      }
    }
    return front;
  }
  void clear() {
    buffers_.clear();
    size_ = 0;
  }
  // Room behind the last byte, for a transport that tops up its last Buffer; empty if there is none.
  std::span<std::byte> tail_room() { return buffers_.empty() ? std::span<std::byte>{} : buffers_.back().room(); }
  void filled(size_t n) {
    buffers_.back().filled(n);
    size_ += n;
  }

  // Copies out.size() bytes from place at on; the chain has them.
  void copy_out(size_t at, std::span<std::byte> out) const {
    for_each_piece(at, out.size(), [&](std::span<const std::byte> piece) {
      std::memcpy(out.data(), piece.data(), piece.size());
      out = out.subspan(piece.size());
    });
  }

  // Calls visit(span) for each contiguous piece of [at, at + n); the chain has them.
  template <class Visit>
  void for_each_piece(size_t at, size_t n, Visit&& visit) const {
    CHECK(at <= size_ && n <= size_ - at);
    for (const Buffer& buffer : buffers_) {
      if (n == 0) return;
      if (at >= buffer.size()) {
        at -= buffer.size();
        continue;
      }
      const auto piece = buffer.bytes().subspan(at, std::min(n, buffer.size() - at));
      at = 0;
      n -= piece.size();
      visit(piece);
    }
  }

 private:
  std::deque<Buffer> buffers_;
  size_t size_ = 0;
};

}  // namespace penstock
