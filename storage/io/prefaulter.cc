#include "storage/io/prefaulter.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>

#include "base/assert.h"

namespace penstock::storage {

Prefaulter::Prefaulter(std::span<std::byte> memory, size_t step_bytes)
    : memory_(memory), step_bytes_(step_bytes), done_(std::bit_ceil(memory.size() / step_bytes + 1)) {
  // Signals are for the threads that expect them.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

size_t Prefaulter::ready() {
  while (const auto end = done_.try_pop()) ready_ = *end;
  return ready_;
}

// MADV_POPULATE_WRITE (Linux 5.14) changes no byte: memory that is in use already stays as it is. A page that cannot be
// had now is had, or missed, by whoever touches it.
void Prefaulter::run(const std::stop_token& stop) {
  pthread_setname_np(pthread_self(), "penstock-pages");
  for (size_t at = 0; at < memory_.size() && !stop.stop_requested();) {
    const size_t bytes = std::min(step_bytes_, memory_.size() - at);
    (void)madvise(memory_.data() + at, bytes, MADV_POPULATE_WRITE);
    at += bytes;
    CHECK(done_.try_push(at));
  }
}

}  // namespace penstock::storage
