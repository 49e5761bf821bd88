// EpochCache: which leader epoch gave which offsets of a log: the first offset of each. With it a follower finds where
// its log and a leader's part ways (KIP-101, KIP-320). A cache: the batches' own epochs rebuild it. Rules as in Kafka's
// LeaderEpochFileCache.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "storage/api/store.h"
#include "storage/segment/log_facts.h"

namespace penstock::storage {

class EpochCache {
 public:
  // A batch with this epoch begins at start. Most often the epoch is the last one's, and nothing changes. Entries that
  // contradict it (a later epoch, or a start at or behind this one) give way. kNoLeaderEpoch tells nothing.
  void assign(LeaderEpoch epoch, Offset start) {
    if (epoch < LeaderEpoch{0}) return;
    if (!entries_.empty() && epoch <= entries_.back().epoch && start >= entries_.back().start) return;
    while (!entries_.empty() && (entries_.back().epoch >= epoch || entries_.back().start >= start)) entries_.pop_back();
    entries_.push_back({epoch, start});
  }

  // Where epoch ends: at the log's end for the latest, else where the next higher one begins, named by the greatest
  // epoch at or below the one asked for. Below the first: the epoch asked for and the first one's start. Above the
  // latest: not known.
  EpochEnd end_offset_for(LeaderEpoch epoch, Offset log_end) const {
    constexpr EpochEnd kUnknown{kNoLeaderEpoch, Offset{-1}};
    if (epoch < LeaderEpoch{0} || entries_.empty()) return kUnknown;
    if (epoch == entries_.back().epoch) return {epoch, log_end};
    const auto higher = std::ranges::upper_bound(entries_, epoch, {}, &EpochEntry::epoch);
    if (higher == entries_.end()) return kUnknown;
    return {higher == entries_.begin() ? epoch : std::prev(higher)->epoch, higher->start};
  }

  // Of the batch that holds offset; kNoLeaderEpoch below the first that is known.
  LeaderEpoch at(Offset offset) const {
    const auto above = std::ranges::upper_bound(entries_, offset, {}, &EpochEntry::start);
    return above == entries_.begin() ? kNoLeaderEpoch : std::prev(above)->epoch;
  }

  // The log ends at offset now: epochs that begin at or behind it are gone.
  void truncate_from(Offset offset) {
    while (!entries_.empty() && entries_.back().start >= offset) entries_.pop_back();
  }

  // The log begins at offset now: the epoch that holds it begins there.
  void trim_to(Offset offset) {
    const auto above = std::ranges::upper_bound(entries_, offset, {}, &EpochEntry::start);
    if (above == entries_.begin()) return;
    const auto holds = std::prev(above);
    holds->start = offset;
    entries_.erase(entries_.begin(), holds);
  }

  // The epochs of the log's offsets below this one.
  std::span<const EpochEntry> snapshot(Offset below) const {
    const auto end = std::ranges::lower_bound(entries_, below, {}, &EpochEntry::start);
    return {entries_.begin(), end};
  }
  // entries: of a snapshot, in order.
  void restore(std::span<const EpochEntry> entries) { entries_.assign(entries.begin(), entries.end()); }

  LeaderEpoch latest() const { return entries_.empty() ? kNoLeaderEpoch : entries_.back().epoch; }
  std::span<const EpochEntry> entries() const { return entries_; }

 private:
  std::vector<EpochEntry> entries_;  // by epoch and by start, both rising
};

}  // namespace penstock::storage
