// How far searches for a time have come in the segments of a log, so that each ends, whatever the caches hold at once
// and however many others look there too. Holds as records are appended and the log's start rises; truncation and
// compaction forget it. Bounded: of more searches than kMost the one noted longest ago begins again.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "storage/api/types.h"

namespace penstock::storage {

class TimeScans {
 public:
  static constexpr size_t kMost = 32;

  // Position of segment below which no batch has a record of at least time t, from the log's start on; 0 if not known.
  uint64_t come_to(Offset segment, int64_t t) const {
    const auto it = std::ranges::find_if(scans_, [&](const Scan& scan) { return scan.is_of(segment, t); });
    return it == scans_.end() ? 0 : it->position;
  }
  void note(Offset segment, int64_t t, uint64_t position) {
    std::erase_if(scans_, [&](const Scan& scan) { return scan.is_of(segment, t); });
    if (scans_.size() == kMost) scans_.erase(scans_.begin());
    scans_.push_back({segment, t, position});
  }
  void forget() { scans_ = {}; }

 private:
  struct Scan {
    Offset segment;
    int64_t t;
    uint64_t position;
    bool is_of(Offset s, int64_t time) const { return segment == s && t == time; }
  };
  std::vector<Scan> scans_;  // the one noted last is last
};

}  // namespace penstock::storage
