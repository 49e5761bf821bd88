#include "control/metadata/change_feed.h"

#include <algorithm>

#include "base/assert.h"

namespace penstock::control {

void ChangeFeed::add(std::vector<Change> changes) {
  for (const auto& [id, watch] : watches_) {
    const bool matches =
        std::ranges::any_of(changes, [&](const Change& change) { return change.key.starts_with(watch.prefix); });
    if (matches && watch.bell != nullptr) watch.bell->ring();
  }
  for (Change& change : changes) changes_.push_back(std::move(change));
  while (changes_.size() > kChangesKept) forget_oldest();
}

void ChangeFeed::forget_oldest() {
  // Whole revisions, so that no watch sees half a transaction.
  known_after_ = changes_.front().revision;
  while (!changes_.empty() && changes_.front().revision == known_after_) changes_.pop_front();
}

WatchId ChangeFeed::watch(std::string_view prefix, Revision after, const Doorbell* bell) {
  const WatchId id{next_watch_++};
  watches_.emplace(id, Watch{.prefix = std::string(prefix), .seen = after, .bell = bell});
  return id;
}

Result<std::vector<Change>> ChangeFeed::take(WatchId id) {
  const auto found = watches_.find(id);
  CHECK(found != watches_.end());
  Watch& watch = found->second;
  if (watch.seen < known_after_) return fail(Errc::kFull);
  const auto first = std::ranges::upper_bound(changes_, watch.seen, {}, &Change::revision);
  std::vector<Change> taken;
  std::copy_if(first, changes_.end(), std::back_inserter(taken),
               [&](const Change& change) { return change.key.starts_with(watch.prefix); });
  if (!changes_.empty()) watch.seen = std::max(watch.seen, changes_.back().revision);
  return taken;
}

}  // namespace penstock::control
