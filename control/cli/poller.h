// Poller: a Watch of the kernel's sockets: epoll with a wake-up time of nanoseconds. Sleeping wakes late by the
// scheduler's whim, which an open loop would count as the broker's latency; so the last stretch before a due time is
// spent polling.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <cstdint>
#include <span>

#include "base/clock.h"
#include "control/cli/socket.h"
#include "control/cli/transport.h"

namespace penstock::cli {

class Poller final : public Watch {
 public:
  explicit Poller(Clock& clock);

  void add(Wire& wire, uint32_t index) override;
  void want_write(Wire& wire, uint32_t index, bool on) override;
  std::span<const Ready> wait(const Wake& wake) override;

 private:
  static constexpr size_t kReadyMost = 256;

  Clock& clock_;
  Socket epoll_;  // closes like one
  std::array<epoll_event, kReadyMost> events_;
  std::array<Ready, kReadyMost> ready_;
};

}  // namespace penstock::cli
