#include "control/ring_memory.h"

#include <sys/mman.h>

#include "base/log.h"
#include "base/units.h"

namespace penstock::control {

RingMemoryPool::~RingMemoryPool() {
  for (const auto memory : huge_) munmap(memory.data(), memory.size());
}

std::span<std::byte> RingMemoryPool::allocate(size_t bytes) {
  const std::span<std::byte> huge = try_huge_pages_ ? map_huge(bytes) : std::span<std::byte>{};
  return huge.empty() ? map_ordinary(bytes) : huge;
}

std::span<std::byte> RingMemoryPool::map_huge(size_t bytes) {
  const size_t whole = align_up(bytes, MappedMemory::kHugePage);
  // MAP_POPULATE: a page that is missing shows here, not as a SIGBUS on the lcore.
  void* at =
      mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);
  if (at == MAP_FAILED) return {};
  huge_.emplace_back(static_cast<std::byte*>(at), whole);
  LOG_INFO("ring memory: %zu MiB of huge pages", bytes / kMiB);
  return huge_.back().first(bytes);
}

std::span<std::byte> RingMemoryPool::map_ordinary(size_t bytes) {
  MappedMemory memory(bytes, MappedMemory::kHugePage, MappedMemory::Pages::kHuge);
  if (memory.empty()) return {};
  ordinary_.push_back(std::move(memory));
  LOG_INFO("ring memory: %zu MiB of ordinary memory (for huge pages: sysctl vm.nr_hugepages=%zu)", bytes / kMiB,
           align_up(bytes, MappedMemory::kHugePage) / MappedMemory::kHugePage);
  return ordinary_.back().span();
}

std::span<std::byte> RingMemoryPool::allocate_cache(size_t bytes) {
  MappedMemory memory(bytes, MappedMemory::kHugePage);
  if (memory.empty()) return {};
  ordinary_.push_back(std::move(memory));
  return ordinary_.back().span();
}

}  // namespace penstock::control
