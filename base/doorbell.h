// Wakes a thread that sleeps in poll or io_uring: an eventfd. Whoever pushed into a thread's ring rings its doorbell.
// NightBell: the same for threads that poll their rings as long as they have work: it is heard only by one that sleeps,
// so that two busy lcores exchange messages without a system call.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

#include "base/assert.h"

namespace penstock {

class Doorbell {
 public:
  Doorbell() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) { CHECK(fd_ >= 0); }
  ~Doorbell() { close(fd_); }
  Doorbell(const Doorbell&) = delete;
  Doorbell& operator=(const Doorbell&) = delete;

  int fd() const { return fd_; }

  // Any thread, any time; safe in a signal handler.
  void ring() const {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = write(fd_, &one, sizeof one);  // EAGAIN: it rings already
  }
  // The sleeper, after it woke.
  void clear() const {
    uint64_t count;
    [[maybe_unused]] const ssize_t n = read(fd_, &count, sizeof count);
  }

 private:
  const int fd_;
};

class NightBell {
 public:
  explicit NightBell(const Doorbell& doorbell) : doorbell_(doorbell) {}

  // The owner: from now on pushes ring. Look at every ring once more behind this, then sleep.
  void go_to_sleep() { asleep_.exchange(true, std::memory_order_acq_rel); }
  void wake_up() { asleep_.store(false, std::memory_order_relaxed); }
  // Anybody, behind a push. Both exchanges are in one order: either this one comes second and rings, or the sleeper's
  // does, and then its look finds what was pushed.
  void ring() {
    if (asleep_.exchange(false, std::memory_order_acq_rel)) doorbell_.ring();
  }

 private:
  const Doorbell& doorbell_;
  alignas(64) std::atomic<bool> asleep_{false};
};

}  // namespace penstock
