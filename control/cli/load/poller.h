// Poller: epoll with a wake-up time of nanoseconds. Sleeping wakes late by the scheduler's whim, which an open loop
// would count as the broker's latency; so the last stretch before a due time is spent polling.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/clock.h"
#include "control/cli/socket.h"

namespace penstock::cli {

class Poller {
 public:
  explicit Poller(Clock& clock);

  // Readiness of fd is told as index. Throws CliError.
  void add(int fd, uint32_t index, bool want_write = false);
  void change(int fd, uint32_t index, bool want_write);

  struct Wake {
    Nanos precise;      // be back in time for this: polls in the last stretch
    Nanos lazy;         // and for this a little late will do
    bool spin = false;  // never sleep
  };
  // What is ready; may be nothing, also before its time. Valid until the next call.
  std::span<const epoll_event> wait(const Wake& wake);

 private:
  Clock& clock_;
  Socket epoll_;  // closes like one
  std::array<epoll_event, 256> ready_;
};

}  // namespace penstock::cli
