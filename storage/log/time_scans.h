// How far searches for a time have come in the segments of a log, so that each ends, whatever the caches hold at once
// and however many others look there too. Holds as records are appended and the log's start rises; truncation and
// compaction forget it. Bounded: while kMost others are under way a new one is not noted, and has from them what they
// passed.
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
  static constexpr uint64_t kStaleAfter = 4096;  // questions of others: who asks does so at each turn

  // Position of segment below which no batch has a record of at least time t, from the log's start on; 0 if not known.
  uint64_t come_to(Offset segment, int64_t t) {
    ++asked_;
    uint64_t position = 0;
    for (Scan& scan : scans_) {
      if (scan.segment != segment || scan.t > t) continue;
      position = std::max(position, scan.position);  // none of an earlier time, so none of this
      if (scan.t == t) scan.asked = asked_;
    }
    return position;
  }
  void note(Offset segment, int64_t t, uint64_t position) {
    const Scan news{segment, t, position, asked_};
    const auto same = std::ranges::find_if(scans_, [&](const Scan& s) { return s.segment == segment && s.t == t; });
    if (same != scans_.end()) {
      *same = news;
    } else if (scans_.size() < kMost) {
      scans_.push_back(news);
    } else if (const auto oldest = std::ranges::min_element(scans_, {}, &Scan::asked);
               asked_ - oldest->asked > kStaleAfter) {
      *oldest = news;
    }
  }
  void forget() { scans_ = {}; }

 private:
  struct Scan {
    Offset segment;
    int64_t t;
    uint64_t position;
    uint64_t asked;  // when it was asked for last
  };
  std::vector<Scan> scans_;
  uint64_t asked_ = 0;
};

}  // namespace penstock::storage
