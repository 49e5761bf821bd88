// A Store whose ring's memory is of the heap, for the rigs of whole lcores.
#pragma once

#include <cstdio>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/units.h"
#include "storage/api/store.h"

namespace penstock::sim {

// memory gets the ring's, and outlives the Store. A Store that does not open ends the test.
inline std::unique_ptr<storage::Store> open_on_heap(storage::StoreRequest request,
                                                    std::deque<std::vector<std::byte>>& memory) {
  auto& ring = memory.emplace_back(static_cast<size_t>(request.options.ring_bytes) + 4096);
  request.allocate = [&ring](size_t bytes) {
    const auto at = reinterpret_cast<uintptr_t>(ring.data());
    return std::span(ring).subspan(align_up(at, 4096) - at, bytes);
  };
  auto opened = storage::Store::open(std::move(request));
  if (!opened) std::fprintf(stderr, "%s\n", opened.error().what.c_str());
  CHECK(opened.has_value());
  return std::move(*opened);
}

}  // namespace penstock::sim
