// Ctrl-C ends a run early but in order: what was measured is still printed. While an Interrupt lives, SIGINT and
// SIGTERM only set a flag; the second one ends the process as usual.
#pragma once

#include <csignal>

namespace penstock::cli {

class Interrupt {
 public:
  Interrupt() {
    struct sigaction action{};
    action.sa_handler = [](int) { seen_ = 1; };
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    sigaction(SIGINT, &action, &old_int_);
    sigaction(SIGTERM, &action, &old_term_);
    seen_ = 0;
  }
  ~Interrupt() {
    sigaction(SIGINT, &old_int_, nullptr);
    sigaction(SIGTERM, &old_term_, nullptr);
    seen_ = 0;
  }
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  bool seen() const { return requested(); }
  // The same for who waits deeper inside; without an Interrupt, never.
  static bool requested() { return seen_ != 0; }

 private:
  static inline volatile std::sig_atomic_t seen_ = 0;
  struct sigaction old_int_{};
  struct sigaction old_term_{};
};

}  // namespace penstock::cli
