// Health: whether the broker serves, and if not, why; and what is wrong with parts of it. Written by start-up and the
// event loop, read by /readyz and /healthz.
#pragma once

#include <map>
#include <mutex>
#include <string>

namespace penstock::control {

class Health {
 public:
  // Empty: it serves.
  std::string reason() const {
    const std::lock_guard lock(mutex_);
    return reason_;
  }
  void set_ready() { set(""); }
  void set_not_ready(std::string reason) { set(std::move(reason)); }

  // A line each; empty: nothing is wrong that the broker knows of.
  std::string problems() const {
    const std::lock_guard lock(mutex_);
    std::string lines;
    for (const auto& [part, line] : problems_) lines += line + "\n";
    return lines;
  }
  // What is wrong with a part, in one line that says what to do; empty: nothing any more.
  void set_problem(const std::string& part, std::string line) {
    const std::lock_guard lock(mutex_);
    if (line.empty())
      problems_.erase(part);
    else
      problems_[part] = std::move(line);
  }

 private:
  void set(std::string reason) {
    const std::lock_guard lock(mutex_);
    reason_ = std::move(reason);
  }
  mutable std::mutex mutex_;
  std::string reason_ = "starting";
  std::map<std::string, std::string> problems_;
};

}  // namespace penstock::control
