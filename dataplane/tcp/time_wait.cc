#include "dataplane/tcp/time_wait.h"

namespace penstock::dataplane::tcp {

TimeWait* TimeWaits::find(uint64_t hash, const Flow& flow) {
  const auto index = table_.find(hash, [&](uint32_t i) { return entries_[i].flow == flow; });
  return index ? &entries_[*index] : nullptr;
}

bool TimeWaits::add(const TimeWait& entry, Nanos now) {
  bool forgot = false;
  while (free_.empty()) {
    const Place oldest = line_.front();
    line_.pop_front();
    if (stale(oldest)) continue;
    remove(entries_[oldest.index]);
    forgot = true;
  }
  const uint32_t index = free_.back();
  free_.pop_back();
  entries_[index] = entry;
  entries_[index].in_use = true;
  table_.insert(entry.hash, index);
  stand_in_line(index, now);
  return forgot;
}

void TimeWaits::stand_in_line(uint32_t index, Nanos now) {
  entries_[index].until = now + length_;
  entries_[index].ticket = ++tickets_;
  line_.push_back({index, tickets_, entries_[index].until});
}

void TimeWaits::remove(TimeWait& entry) {
  const auto index = static_cast<uint32_t>(&entry - entries_.data());
  table_.erase(entry.hash, index, [&](uint32_t i) { return entries_[i].hash; });
  entry.in_use = false;
  free_.push_back(index);
  while (!line_.empty() && stale(line_.front())) line_.pop_front();
}

void TimeWaits::restart(TimeWait& entry, Nanos now) {
  stand_in_line(static_cast<uint32_t>(&entry - entries_.data()), now);
  while (!line_.empty() && stale(line_.front())) line_.pop_front();
  // A peer that sends FINs without end must not make the line long.
  if (line_.size() > 4 * entries_.size()) std::erase_if(line_, [&](const Place& place) { return stale(place); });
}

void TimeWaits::expire(Nanos now) {
  while (!line_.empty() && (stale(line_.front()) || line_.front().until <= now)) {
    const Place place = line_.front();
    line_.pop_front();
    if (!stale(place)) remove(entries_[place.index]);
  }
}

}  // namespace penstock::dataplane::tcp
