// Timers: deadlines by name, the next one first. Kept by a group, fired by whoever owns the group.
#pragma once

#include <cstddef>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "base/units.h"

namespace penstock::control::groups {

class Timers {
 public:
  void set(std::string_view name, Nanos deadline) {
    cancel(name);
    const auto [at, added] = deadlines_.emplace(name, deadline);
    order_.emplace(deadline, at->first);
  }
  void cancel(std::string_view name) {
    const auto at = deadlines_.find(name);
    if (at == deadlines_.end()) return;
    order_.erase({at->second, at->first});
    deadlines_.erase(at);
  }
  void clear() {
    order_.clear();
    deadlines_.clear();
  }
  bool empty() const { return deadlines_.empty(); }
  size_t size() const { return deadlines_.size(); }
  bool is_set(std::string_view name) const { return deadlines_.contains(name); }
  // The largest number if there is none.
  Nanos next() const { return order_.empty() ? std::numeric_limits<Nanos>::max() : order_.begin()->first; }
  // Takes one that is due, or nothing.
  std::optional<std::string> take_due(Nanos now) {
    if (order_.empty() || order_.begin()->first > now) return std::nullopt;
    std::string name = order_.begin()->second;
    cancel(name);
    return name;
  }

 private:
  std::map<std::string, Nanos, std::less<>> deadlines_;
  std::set<std::pair<Nanos, std::string>> order_;
};

}  // namespace penstock::control::groups
