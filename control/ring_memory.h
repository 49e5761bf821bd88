// Memory that the log's bytes lie in. For the lcores' rings: huge pages if the machine has reserved enough, else
// ordinary memory that asks for transparent ones, and a log line that says which. Given back with this object.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/mapped_memory.h"

namespace penstock::control {

class RingMemoryPool {
 public:
  explicit RingMemoryPool(bool try_huge_pages) : try_huge_pages_(try_huge_pages) {}
  ~RingMemoryPool();
  RingMemoryPool(const RingMemoryPool&) = delete;
  RingMemoryPool& operator=(const RingMemoryPool&) = delete;

  // Zeroed, aligned to 2 MiB. Empty if there is not so much.
  std::span<std::byte> allocate(size_t bytes);
  // For a cache of cold reads: ordinary memory, whose pages come as they are used or a device has them mapped.
  std::span<std::byte> allocate_cache(size_t bytes);

 private:
  std::span<std::byte> map_huge(size_t bytes);
  std::span<std::byte> map_ordinary(size_t bytes);

  const bool try_huge_pages_;
  std::vector<std::span<std::byte>> huge_;
  std::vector<MappedMemory> ordinary_;
};

}  // namespace penstock::control
