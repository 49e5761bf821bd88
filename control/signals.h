// SIGTERM, SIGINT and SIGHUP ask to stop; a second SIGTERM or SIGINT ends the process at once. A second SIGHUP does
// not: who closes a terminal sends two, the shell's and the kernel's. Under nohup SIGHUP stays ignored.
#pragma once

#include "base/doorbell.h"

namespace penstock::control {

// Before threads start: they inherit the mask, so that only the calling thread takes the signals. bell outlives the
// process's use of it.
void handle_stop_signals(const Doorbell& bell);
bool stop_was_asked();

// Around the start of threads that shall not take them.
class SignalsBlocked {
 public:
  SignalsBlocked();
  ~SignalsBlocked();
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;
};

}  // namespace penstock::control
