#include "dataplane/kafka/wakeups.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/assert.h"

namespace penstock::dataplane {

Wakeups::DurableWaits& Wakeups::waits_of(uint16_t ring) {
  const auto found = std::ranges::find(durable_waits_, ring, &DurableWaits::ring);
  return found != durable_waits_.end() ? *found : durable_waits_.emplace_back(DurableWaits{.ring = ring, .by_lsn = {}});
}

void Wakeups::when_durable(storage::DurableAt at, ConnectionId who) {
  auto& waits = waits_of(at.ring).by_lsn;
  // A repeated batch may be durable before its predecessors in this queue; it waits for them, so that the queue rises.
  if (!waits.empty()) at.lsn = std::max(at.lsn, waits.back().first);
  waits.emplace_back(at.lsn, who);
}

void Wakeups::device_moved() { retry_all(device_waits_); }

void Wakeups::retry_all(std::vector<ConnectionId>& waits) {
  retries_.insert(retries_.end(), waits.begin(), waits.end());
  waits.clear();
}

void Wakeups::image_changed() {
  retry_all(image_waits_);
  // A parked request may name a topic that is gone now, or have asked in vain for one that is there.
  wake_all_parked(retries_);
}

void Wakeups::log_moved(storage::LogId log) {
  const auto found = by_log_.find(log);
  if (found == by_log_.end()) return;
  for (Link* link = found->second; link != nullptr; link = link->next) {
    link->moved = true;
    retries_.push_back(link->who);
  }
}

void Wakeups::any_log_moved() {
  for (const auto& [log, first] : by_log_) log_moved(log);
}

// life: 11
void Wakeups::collect(const storage::StoreSet& store, const ForeignRings& foreign, Nanos now,
                      std::vector<ConnectionId>& woken) {
  // First those whom the device held back: the room that it has made now would go to others again.
  woken.insert(woken.end(), retries_.begin(), retries_.end());
  retries_.clear();
  for (const uint16_t ring : store.rings()) collect_durable(ring, store.durable(ring), store.poisoned(ring), woken);
  for (const RingMoved& ring : foreign.rings()) collect_durable(ring.ring, ring.durable, ring.poisoned, woken);
  for (const storage::LogId log : store.advanced_logs()) collect_log(log, woken);
  for (const storage::LogId log : store.readable_logs()) collect_log(log, woken);
  for (const auto& [deadline, who] : by_deadline_) {
    if (deadline > now) break;
    woken.push_back(who);
  }
}

void Wakeups::collect_durable(uint16_t ring, storage::Lsn durable, bool poisoned, std::vector<ConnectionId>& woken) {
  DurableWaits& waits = waits_of(ring);
  while (!waits.by_lsn.empty() && (poisoned || waits.by_lsn.front().first <= durable)) {
    woken.push_back(waits.by_lsn.front().second);
    waits.by_lsn.pop_front();
  }
  // Who is parked for a log of it waits for nothing now.
  if (poisoned && !std::exchange(waits.was_poisoned, true)) wake_all_parked(woken);
}

void Wakeups::wake_all_parked(std::vector<ConnectionId>& woken) const {
  for (const auto& [deadline, who] : by_deadline_) woken.push_back(who);
}

void Wakeups::collect_log(storage::LogId log, std::vector<ConnectionId>& woken) const {
  const auto found = by_log_.find(log);
  if (found == by_log_.end()) return;
  for (const Link* link = found->second; link != nullptr; link = link->next) woken.push_back(link->who);
}

Nanos Wakeups::next_deadline() const {
  return by_deadline_.empty() ? std::numeric_limits<Nanos>::max() : by_deadline_.begin()->first;
}

void Wakeups::add(Link& link) {
  Link*& first = by_log_[link.log];
  link.next = first;
  if (first != nullptr) first->previous = &link;
  first = &link;
}

void Wakeups::remove(Link& link) {
  if (link.next != nullptr) link.next->previous = link.previous;
  if (link.previous != nullptr) {
    link.previous->next = link.next;
    return;
  }
  const auto found = by_log_.find(link.log);
  DCHECK(found != by_log_.end() && found->second == &link);
  if (link.next != nullptr) {
    found->second = link.next;
  } else {
    by_log_.erase(found);
  }
}

LogWait::LogWait(Wakeups& wakeups, ConnectionId who, Nanos deadline, std::span<const storage::LogId> logs)
    : wakeups_(wakeups), entry_(deadline, who) {
  links_.reserve(logs.size());
  for (const storage::LogId log : logs) {
    links_.push_back({.log = log, .who = who});
    wakeups_.add(links_.back());
  }
  wakeups_.by_deadline_.insert(entry_);
  wakeups_.parked_partitions_ += links_.size();
}

LogWait::~LogWait() {
  for (Wakeups::Link& link : links_) wakeups_.remove(link);
  wakeups_.by_deadline_.erase(entry_);
  wakeups_.parked_partitions_ -= links_.size();
}

}  // namespace penstock::dataplane
