// The receive pool's book-keeping. Sanitizer builds poison a buffer while it is free, so that a look at bytes that were
// given back is found.
#include "dataplane/sockets/receive_pool.h"

#include <algorithm>

#include "base/assert.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, n) ((void)(at), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(at, n) ((void)(at), (void)(n))
#endif

namespace penstock::dataplane {

ReceivePool::ReceivePool(size_t bytes, size_t request_bytes_max)
    : mapped_(std::max<size_t>(bytes / kBufferBytes, 16) * kBufferBytes),
      memory_(mapped_.span()),
      shares_(memory_.size() / kBufferBytes, Share::kFree) {
  const size_t reserve = std::max(buffers_for(request_bytes_max), shares_.size() / 2);
  landing_limit_ = shares_.size() - std::min(reserve, shares_.size());
  if (memory_.empty()) return;
  ASAN_POISON_MEMORY_REGION(memory_.data(), memory_.size());
  free_.reserve(shares_.size());
  for (size_t i = shares_.size(); i-- > 0;) free_.push_back(static_cast<uint32_t>(i));
}

ReceivePool::~ReceivePool() {
  CHECK(free_.size() == shares_.size());
  if (memory_.empty()) return;
  ASAN_UNPOISON_MEMORY_REGION(memory_.data(), memory_.size());
}

std::span<std::byte> ReceivePool::take_landing(size_t limit) {
  if (landing_used_ >= limit) return {};
  ++landing_used_;
  return take(Share::kLanding);
}

bool ReceivePool::try_reserve(size_t buffers) {
  if (buffers > reserve_limit() - reserved_) return false;
  reserved_ += buffers;
  return true;
}

void ReceivePool::unreserve(size_t buffers) {
  CHECK(buffers <= reserved_);
  reserved_ -= buffers;
}

std::span<std::byte> ReceivePool::take_reserved() { return take(Share::kReserved); }

std::span<std::byte> ReceivePool::take(Share share) {
  CHECK(!free_.empty());  // the two shares' counts add up to the pool
  const size_t index = free_.back();
  free_.pop_back();
  shares_[index] = share;
  const auto memory = memory_.subspan(index * kBufferBytes, kBufferBytes);
  ASAN_UNPOISON_MEMORY_REGION(memory.data(), memory.size());
  return memory;
}

void ReceivePool::release(std::span<std::byte> memory) {
  const size_t index = static_cast<size_t>(memory.data() - memory_.data()) / kBufferBytes;
  CHECK(index < shares_.size());
  CHECK(shares_[index] != Share::kFree);
  if (shares_[index] == Share::kLanding) {
    --landing_used_;
  } else {
    --reserved_;
  }
  shares_[index] = Share::kFree;
  free_.push_back(static_cast<uint32_t>(index));
  ASAN_POISON_MEMORY_REGION(memory.data(), memory.size());
}

}  // namespace penstock::dataplane
