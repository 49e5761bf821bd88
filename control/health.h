// Health: whether the broker serves, and if not, why; written by start-up and the event loop, read by /readyz.
#pragma once

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

 private:
  void set(std::string reason) {
    const std::lock_guard lock(mutex_);
    reason_ = std::move(reason);
  }
  mutable std::mutex mutex_;
  std::string reason_ = "starting";
};

}  // namespace penstock::control
