// SpscRing: a bounded queue from one thread to one other; the only way two threads of ours talk.
// Capacity is fixed at construction (a power of two). A full ring refuses: back-pressure belongs to the caller.
// Each side caches the other's index, so that in steady state a push or pop touches one foreign cache line a lap.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <memory>
#include <optional>
#include <utility>

#include "base/assert.h"

namespace penstock {

template <class T>
class SpscRing {
 public:
  explicit SpscRing(size_t capacity) : mask_(capacity - 1), slots_(std::make_unique<T[]>(capacity)) {
    CHECK(std::has_single_bit(capacity));
  }

  size_t capacity() const { return mask_ + 1; }

  // Producer only. Moves from item and returns true; on a full ring leaves item as it was and returns false.
  [[nodiscard]] bool try_push(T& item) {
    const size_t tail = producer_.at.load(std::memory_order_relaxed);
    if (tail - producer_.seen == capacity()) {
      producer_.seen = consumer_.at.load(std::memory_order_acquire);
      if (tail - producer_.seen == capacity()) return false;
    }
    slots_[tail & mask_] = std::move(item);
    producer_.at.store(tail + 1, std::memory_order_release);
    return true;
  }
  [[nodiscard]] bool try_push(T&& item) { return try_push(item); }

  // Consumer only. The oldest item, or nothing.
  std::optional<T> try_pop() {
    std::optional<T> item;  // the one that every path returns: built in the caller's place, not moved there
    const size_t head = consumer_.at.load(std::memory_order_relaxed);
    if (head == consumer_.seen) {
      consumer_.seen = producer_.at.load(std::memory_order_acquire);
      if (head == consumer_.seen) return item;
    }
    item.emplace(std::move(slots_[head & mask_]));
    slots_[head & mask_] = T{};  // what the item owned goes with it, not when its slot comes round again
    consumer_.at.store(head + 1, std::memory_order_release);
    return item;
  }

  // Consumer only. True when a pop would find nothing now.
  bool empty() const {
    return consumer_.at.load(std::memory_order_relaxed) == producer_.at.load(std::memory_order_acquire);
  }

 private:
  struct alignas(64) Side {
    std::atomic<size_t> at{0};  // written by the side that owns it, read by the other
    size_t seen = 0;            // the other side's index when last looked at
  };

  const size_t mask_;
  const std::unique_ptr<T[]> slots_;
  Side producer_;
  Side consumer_;
};

}  // namespace penstock
