// Fifo<T>: a queue in one piece of memory, for what a connection keeps in sequence order. Grows by doubling up to the
// bound that its user keeps; shrinking does not happen. Index 0 is the oldest.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "base/assert.h"

namespace penstock::dataplane::tcp {

template <class T>
class Fifo {
 public:
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T& operator[](size_t index) {
    DCHECK(index < size_);
    return cells_[(head_ + index) & (cells_.size() - 1)];
  }
  const T& operator[](size_t index) const {
    DCHECK(index < size_);
    return cells_[(head_ + index) & (cells_.size() - 1)];
  }
  T& front() { return (*this)[0]; }
  const T& front() const { return (*this)[0]; }
  T& back() { return (*this)[size_ - 1]; }
  const T& back() const { return (*this)[size_ - 1]; }

  void push_back(T value) {
    if (size_ == cells_.size()) grow();
    cells_[(head_ + size_) & (cells_.size() - 1)] = std::move(value);
    ++size_;
  }
  void pop_front() {
    DCHECK(size_ > 0);
    cells_[head_] = T{};
    head_ = (head_ + 1) & (cells_.size() - 1);
    --size_;
  }
  // Moves what lies behind: for rare cases.
  void insert(size_t index, T value) {
    DCHECK(index <= size_);
    push_back(std::move(value));
    for (size_t i = size_ - 1; i > index; --i) std::swap((*this)[i], (*this)[i - 1]);
  }
  void clear() {
    while (!empty()) pop_front();
  }
  void release_memory() {
    clear();
    cells_ = {};
    head_ = 0;
  }

 private:
  void grow() {
    std::vector<T> larger(cells_.empty() ? 8 : cells_.size() * 2);
    for (size_t i = 0; i < size_; ++i) larger[i] = std::move((*this)[i]);
    cells_ = std::move(larger);
    head_ = 0;
  }

  std::vector<T> cells_;  // a power of two, or none
  size_t head_ = 0;
  size_t size_ = 0;
};

}  // namespace penstock::dataplane::tcp
