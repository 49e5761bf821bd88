// Memory from the kernel, of a size that a setting gives: not getting it is an answer and no abort. Zeros, whose pages
// come as they are touched.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

#include "base/units.h"

namespace penstock {

class MappedMemory {
 public:
  // kHuge: of 2 MiB, where the kernel has them. A transfer of the drive then costs it one look instead of one for each
  // 4 KiB, and is one piece (virtio takes at most 254 in a request, less than a MiB of single pages); but the first
  // touch clears a whole one.
  enum class Pages : uint8_t { kOrdinary, kHuge };
  static constexpr size_t kHugePage = 2 * kMiB;

  MappedMemory() = default;
  // Empty if there is not so much. align: a power of two.
  explicit MappedMemory(size_t bytes, size_t align = 4096, Pages pages = Pages::kOrdinary) {
    if (pages == Pages::kHuge) align = std::max(align, kHugePage);
    size_t whole = 0;
    if (bytes == 0 || __builtin_add_overflow(bytes, align, &whole)) return;
    void* at = mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) return;
    mapped_ = {static_cast<std::byte*>(at), whole};
    const auto address = reinterpret_cast<uintptr_t>(at);
    span_ = mapped_.subspan(align_up(address, align) - address, bytes);
    if (pages == Pages::kHuge) (void)madvise(span_.data(), span_.size(), MADV_HUGEPAGE);
  }
  ~MappedMemory() {
    if (!mapped_.empty()) munmap(mapped_.data(), mapped_.size());
  }
  MappedMemory(MappedMemory&& other) noexcept
      : mapped_(std::exchange(other.mapped_, {})), span_(std::exchange(other.span_, {})) {}
  MappedMemory& operator=(MappedMemory&& other) noexcept {
    std::swap(mapped_, other.mapped_);
    std::swap(span_, other.span_);
    return *this;
  }

  std::span<std::byte> span() const { return span_; }
  bool empty() const { return span_.empty(); }
  // The first bytes have their pages, if the kernel gives them: nobody waits for it to clear them later.
  void populate(size_t bytes) const {
    if (!empty()) (void)madvise(span_.data(), std::min(bytes, span_.size()), MADV_POPULATE_WRITE);
  }
  // Zeros again; the pages go back to the kernel, unless they are locked.
  void clear() {
    if (empty() || madvise(mapped_.data(), mapped_.size(), MADV_DONTNEED) == 0) return;
    std::memset(span_.data(), 0, span_.size());
  }

 private:
  std::span<std::byte> mapped_;
  std::span<std::byte> span_;
};

}  // namespace penstock
