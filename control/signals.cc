#include "control/signals.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>

namespace penstock::control {
namespace {

std::atomic<const Doorbell*> stop_bell{nullptr};
std::atomic<int> times_asked{0};  // by SIGTERM or SIGINT
std::atomic<bool> hung_up{false};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free,
              "used in a signal handler");

void on_stop_signal(int signal) {
  constexpr int kEndedBySecondSignal = 1;
  if (signal == SIGHUP)
    hung_up = true;
  else if (times_asked.fetch_add(1) > 0)
    _exit(kEndedBySecondSignal);
  if (const Doorbell* bell = stop_bell.load()) bell->ring();
}

sigset_t stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);
  return set;
}

}  // namespace

void handle_stop_signals(const Doorbell& bell) {
  stop_bell = &bell;
  struct sigaction action{};
  action.sa_handler = on_stop_signal;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  struct sigaction inherited{};
  sigaction(SIGHUP, nullptr, &inherited);
  if (inherited.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);  // a client that is gone shows as EPIPE
}

bool stop_was_asked() { return times_asked.load() > 0 || hung_up.load(); }

SignalsBlocked::SignalsBlocked() {
  const sigset_t set = stop_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

SignalsBlocked::~SignalsBlocked() {
  const sigset_t set = stop_signals();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

}  // namespace penstock::control
