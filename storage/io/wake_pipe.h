// What base/doorbell.h is, as a pipe: for a bell that an io_uring watches which itself rings an eventfd. The kernel
// lets no eventfd ring from within the ringing of another: it puts the second one off, and 6.18 was seen to lose it.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstddef>

#include "base/assert.h"

namespace penstock::storage {

class WakePipe {
 public:
  WakePipe() { CHECK(pipe2(ends_.data(), O_CLOEXEC | O_NONBLOCK) == 0); }
  ~WakePipe() {
    for (const int end : ends_) close(end);
  }
  WakePipe(const WakePipe&) = delete;
  WakePipe& operator=(const WakePipe&) = delete;

  int fd() const { return ends_[0]; }  // readable once it rang
  void ring() const {
    const std::byte one{};
    [[maybe_unused]] const ssize_t n = write(ends_[1], &one, 1);  // EAGAIN: it rings already
  }
  void clear() const {
    std::array<std::byte, 4096> rung;
    [[maybe_unused]] const ssize_t n = read(ends_[0], rung.data(), rung.size());
  }

 private:
  std::array<int, 2> ends_;
};

}  // namespace penstock::storage
