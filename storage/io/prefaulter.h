// Gives a large memory its pages on a thread of its own, from the front on, so that nobody who starts waits for the
// kernel to clear them: on a virtual machine that takes a second for each GB or two.
#pragma once

#include <cstddef>
#include <span>
#include <thread>

#include "base/ring.h"

namespace penstock::storage {

class Prefaulter {
 public:
  // memory: begins on a page; lives as long as this. step_bytes: whole pages.
  Prefaulter(std::span<std::byte> memory, size_t step_bytes);
  // Ends after the step under way.
  ~Prefaulter() = default;
  Prefaulter(const Prefaulter&) = delete;
  Prefaulter& operator=(const Prefaulter&) = delete;

  // So many bytes from the front on have their pages, or the kernel would not give them. By one thread at a time.
  size_t ready();

 private:
  void run(const std::stop_token& stop);

  const std::span<std::byte> memory_;
  const size_t step_bytes_;
  size_t ready_ = 0;
  SpscRing<size_t> done_;  // where each step ended
  std::jthread thread_;
};

}  // namespace penstock::storage
