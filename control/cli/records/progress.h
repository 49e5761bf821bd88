// The one line on a terminal that says how far a run is; it is written over itself and goes away at the end.
#pragma once

#include <unistd.h>

#include <cstdio>
#include <string>
#include <utility>

#include "base/clock.h"

namespace penstock::cli {

// A line of its own, whatever of a Progress stands there.
inline void say_line(const std::string& line) {
  std::fputs(((isatty(STDERR_FILENO) != 0 ? "\r\x1b[K" : "") + line + "\n").c_str(), stderr);
}

class Progress {
 public:
  // Silent where standard error is no terminal, or quiet asks for it.
  Progress(Clock& clock, bool quiet) : clock_(clock), shown_(!quiet && isatty(STDERR_FILENO) != 0) {
    next_ = clock.monotonic() + kSecond;
  }
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  bool shown() const { return shown_; }
  Nanos next() const { return next_; }
  // At most once a second. text: counts so far.
  template <class Text>
  void tick(Text text) {
    const Nanos now = clock_.monotonic();
    if (now < next_) return;
    next_ = now + kSecond;
    if (!shown_) return;
    std::fputs(("\r\x1b[K" + std::string(text())).c_str(), stderr);
    dirty_ = true;
  }
  void clear() {
    if (std::exchange(dirty_, false)) std::fputs("\r\x1b[K", stderr);
  }

 private:
  Clock& clock_;
  bool shown_;
  bool dirty_ = false;
  Nanos next_ = 0;
};

}  // namespace penstock::cli
