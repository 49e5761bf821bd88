// Who holds which place: at most one each. Asked at each step of a simulator, so nothing is allocated anew.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace penstock::sim {

// Place: ordered, such as a topic's id and a partition. Names are referred to until the next clear().
template <class Place>
class Holders {
 public:
  void clear() { held_.clear(); }
  void add(Place place, const std::string& name) { held_.emplace_back(std::move(place), &name); }
  // The names of two that hold one place; empty if there are none.
  std::string sharing() {
    std::ranges::sort(held_, {}, &Held::first);
    const auto at = std::ranges::adjacent_find(held_, {}, &Held::first);
    return at == held_.end() ? "" : *at->second + " and " + *(at + 1)->second;
  }

 private:
  using Held = std::pair<Place, const std::string*>;
  std::vector<Held> held_;
};

}  // namespace penstock::sim
