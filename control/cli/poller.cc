#include "control/cli/poller.h"

#include <fmt/format.h>
#include <sys/prctl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/units.h"
#include "control/cli/error.h"

namespace penstock::cli {
namespace {

// Longer than a timer's wake-up takes on an idle core (tens of microseconds), shorter than costs a core at the low
// rates where latency is measured.
constexpr Nanos kPollBefore = 60 * kMicrosecond;
constexpr Nanos kSleepMost = kSecond;  // so that an interrupt that was missed by a hair is seen

void require(bool good, const char* what) {
  if (!good) throw CliError(kExitFailed, fmt::format("{}: {}", what, std::strerror(errno)));
}

}  // namespace

Poller::Poller(Clock& clock) : clock_(clock), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  require(epoll_.fd() >= 0, "epoll_create1");
  // The default slack of 50 us would be added to each sleep.
  require(prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0) == 0, "prctl(PR_SET_TIMERSLACK)");
}

void Poller::add(Wire& wire, uint32_t index) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u32 = index;
  require(epoll_ctl(epoll_.fd(), EPOLL_CTL_ADD, wire.fd(), &event) == 0, "epoll_ctl");
}

void Poller::want_write(Wire& wire, uint32_t index, bool on) {
  epoll_event event{};
  event.events = EPOLLIN | (on ? EPOLLOUT : 0u);
  event.data.u32 = index;
  require(epoll_ctl(epoll_.fd(), EPOLL_CTL_MOD, wire.fd(), &event) == 0, "epoll_ctl");
}

std::span<const Watch::Ready> Poller::wait(const Wake& wake) {
  const Nanos now = clock_.monotonic();
  const Nanos until = std::min({wake.precise - kPollBefore, wake.lazy, now + kSleepMost});
  const Nanos sleep = wake.spin ? 0 : std::max<Nanos>(0, until - now);
  const timespec timeout{sleep / kSecond, sleep % kSecond};
  const int count = epoll_pwait2(epoll_.fd(), events_.data(), static_cast<int>(events_.size()), &timeout, nullptr);
  require(count >= 0 || errno == EINTR, "epoll_pwait2");
  const auto found = static_cast<size_t>(std::max(count, 0));
  for (size_t i = 0; i < found; ++i) {
    const uint32_t events = events_[i].events;
    ready_[i] = {events_[i].data.u32, (events & ~uint32_t{EPOLLOUT}) != 0, (events & EPOLLOUT) != 0};
  }
  return std::span(ready_).first(found);
}

}  // namespace penstock::cli
