#include "control/ring_memory.h"

#include <sys/mman.h>

#include "base/log.h"
#include "base/units.h"

namespace penstock::control {
namespace {

constexpr size_t kHugePage = 2 * kMiB;

std::span<std::byte> map(size_t bytes, int flags) {
  void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
  if (at == MAP_FAILED) return {};
  return {static_cast<std::byte*>(at), bytes};
}

}  // namespace

RingMemoryPool::~RingMemoryPool() {
  for (const auto memory : mapped_) munmap(memory.data(), memory.size());
}

std::span<std::byte> RingMemoryPool::allocate(size_t bytes) {
  const std::span<std::byte> huge = try_huge_pages_ ? map_huge(bytes) : std::span<std::byte>{};
  return huge.empty() ? map_ordinary(bytes) : huge;
}

std::span<std::byte> RingMemoryPool::map_huge(size_t bytes) {
  // MAP_POPULATE: a page that is missing shows here, not as a SIGBUS on the lcore.
  const auto memory = map(align_up(bytes, kHugePage), MAP_HUGETLB | MAP_POPULATE);
  if (memory.empty()) return {};
  mapped_.push_back(memory);
  LOG_INFO("ring memory: %zu MiB of huge pages", bytes / kMiB);
  return memory.first(bytes);
}

std::span<std::byte> RingMemoryPool::map_ordinary(size_t bytes) {
  const auto memory = map(align_up(bytes, kHugePage) + kHugePage, 0);
  if (memory.empty()) return {};
  mapped_.push_back(memory);
  const auto address = reinterpret_cast<uintptr_t>(memory.data());
  const auto aligned = memory.subspan(align_up(address, kHugePage) - address, bytes);
  madvise(aligned.data(), aligned.size(), MADV_HUGEPAGE);
  LOG_INFO("ring memory: %zu MiB of ordinary memory (for huge pages: sysctl vm.nr_hugepages=%zu)", bytes / kMiB,
           align_up(bytes, kHugePage) / kHugePage);
  return aligned;
}

}  // namespace penstock::control
