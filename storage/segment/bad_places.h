// What of a segment's bytes is known to be bad.
// BadIntervals: the intervals of a segment that could not be read as they were written when they were read last. What
// is promised of the segment ends before them; who asks for them has them read again.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <optional>
#include <vector>

#include "protocol/types.h"

namespace penstock::storage {

class BadIntervals {
 public:
  // Intervals by their number in the segment. There are no more of them than the segment has, 4 bytes each.
  void set(uint64_t interval, bool bad) {
    const auto at = std::ranges::lower_bound(numbers_, interval);
    const bool there = at != numbers_.end() && *at == interval;
    if (bad && !there) numbers_.insert(at, static_cast<uint32_t>(interval));
    if (!bad && there) numbers_.erase(at);
  }
  bool contains(uint64_t interval) const { return std::ranges::binary_search(numbers_, interval); }
  // The first of them at or behind interval.
  std::optional<uint64_t> first_from(uint64_t interval) const {
    const auto at = std::ranges::lower_bound(numbers_, interval);
    if (at == numbers_.end()) return std::nullopt;
    return *at;
  }
  // Those from interval on are of other bytes now.
  void cut(uint64_t interval) { numbers_.erase(std::ranges::lower_bound(numbers_, interval), numbers_.end()); }
  bool empty() const { return numbers_.empty(); }

 private:
  std::vector<uint32_t> numbers_;  // rising
};

// Bytes in which a scan found no good batches.
struct Hole {
  uint64_t from;
  uint64_t to;
  Offset lost_to;  // base of the first good batch behind it; kEnd: it goes to the segment's end
  static constexpr Offset kEnd{INT64_MAX};
  friend bool operator==(const Hole&, const Hole&) = default;
};

// By place, none touches the next. So many at most: a segment with more of them is not served behind the last.
class Holes {
 public:
  static constexpr size_t kMost = 64;

  bool full() const { return holes_.size() == kMost; }
  void add(uint64_t from, uint64_t to) {
    if (!holes_.empty() && holes_.back().to == from) {
      holes_.back().to = to;
      return;
    }
    holes_.push_back({from, to, Hole::kEnd});
  }
  // A good batch begins at position.
  void end_at(uint64_t position, Offset base) {
    if (!holes_.empty() && holes_.back().to == position) holes_.back().lost_to = base;
  }
  // The hole that begins at position; nullptr if none does.
  const Hole* at(uint64_t position) const {
    const auto it = std::ranges::lower_bound(holes_, position, {}, &Hole::from);
    return it == holes_.end() || it->from != position ? nullptr : &*it;
  }
  // Where the next one begins, at or behind position; UINT64_MAX: nowhere.
  uint64_t next_from(uint64_t position) const {
    const auto it = std::ranges::lower_bound(holes_, position, {}, &Hole::from);
    return it == holes_.end() ? UINT64_MAX : it->from;
  }
  bool contains(uint64_t position) const {
    const auto it = std::ranges::upper_bound(holes_, position, {}, &Hole::from);
    return it != holes_.begin() && std::prev(it)->to > position;
  }
  // Whether bytes before position may have had offsets from from on.
  bool may_have_had(Offset from, uint64_t position) const {
    return std::ranges::any_of(holes_, [&](const Hole& hole) { return hole.from < position && hole.lost_to > from; });
  }
  void cut(uint64_t position) {
    std::erase_if(holes_, [&](const Hole& hole) { return hole.from >= position; });
  }
  bool empty() const { return holes_.empty(); }
  const Hole& front() const { return holes_.front(); }

 private:
  std::vector<Hole> holes_;
};

}  // namespace penstock::storage
