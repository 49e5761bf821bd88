// ChangeFeed: what an in-process store keeps for its watches: the last kChangesKept changes, and where each watch is.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "control/metadata/store.h"

namespace penstock::control {

class ChangeFeed {
 public:
  // Changes up to and including this revision are not known here.
  void start_after(Revision revision) { known_after_ = revision; }

  // The changes of one applied transaction.
  void add(std::vector<Change> changes);

  WatchId watch(std::string_view prefix, Revision after, const Doorbell* bell);
  Result<std::vector<Change>> take(WatchId id);
  void unwatch(WatchId id) { watches_.erase(id); }

 private:
  struct Watch {
    std::string prefix;
    Revision seen;  // everything up to here was given out
    const Doorbell* bell;
  };

  void forget_oldest();

  std::deque<Change> changes_;
  Revision known_after_;
  std::map<WatchId, Watch> watches_;
  uint64_t next_watch_ = 1;
};

}  // namespace penstock::control
