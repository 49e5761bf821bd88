#include "dataplane/kafka/fetch_sessions.h"

#include <limits>
#include <utility>

namespace penstock::dataplane {

bool FetchSessions::make_room(Nanos now, size_t partitions) {
  if (partitions > kPartitionsMax) return false;
  while (sessions_.size() >= kSessionsMax || partitions_ + partitions > kPartitionsMax) {
    const int32_t oldest = by_age_.front();
    if (now - sessions_.at(oldest).used_at_ < kKeptUnused) return false;
    remove(oldest);
  }
  return true;
}

int32_t FetchSessions::make(Nanos now, bool uses_topic_ids, size_t partitions) {
  if (!make_room(now, partitions)) return 0;
  // Drawn, so that a session of the broker's last life is not taken for one of this.
  if (!prng_) prng_.emplace(static_cast<uint64_t>(now), 17);
  int32_t id = 0;
  do id = static_cast<int32_t>(prng_->between(1, std::numeric_limits<int32_t>::max()));
  while (sessions_.contains(id));
  FetchSession& session = sessions_[id];
  session.uses_topic_ids_ = uses_topic_ids;
  session.used_at_ = now;
  session.age_ = by_age_.insert(by_age_.end(), id);
  return id;
}

FetchSession* FetchSessions::find(int32_t id) {
  const auto found = sessions_.find(id);
  return found == sessions_.end() ? nullptr : &found->second;
}

void FetchSessions::remove(int32_t id) {
  const auto found = sessions_.find(id);
  if (found == sessions_.end()) return;
  partitions_ -= found->second.order_.size();
  by_age_.erase(found->second.age_);
  sessions_.erase(found);
}

void FetchSessions::advance(int32_t id, FetchSession& session, Nanos now) {
  // Kafka: behind the greatest one comes 1, since 0 begins a session.
  session.epoch_ = session.epoch_ == std::numeric_limits<int32_t>::max() ? 1 : session.epoch_ + 1;
  session.used_at_ = now;
  by_age_.erase(session.age_);
  session.age_ = by_age_.insert(by_age_.end(), id);
}

bool FetchSessions::put(FetchSession& session, FetchSession::Partition partition) {
  const FetchSession::Key key{partition.topic, partition.index.value()};
  const auto known = session.by_key_.find(key);
  if (known != session.by_key_.end()) {
    FetchSession::Partition& there = *known->second;
    there.from = partition.from;
    there.max_bytes = partition.max_bytes;
    there.current_epoch = partition.current_epoch;
    there.last_fetched_epoch = partition.last_fetched_epoch;
    return true;
  }
  if (partitions_ >= kPartitionsMax) return false;
  session.by_key_[key] = session.order_.insert(session.order_.end(), std::move(partition));
  ++partitions_;
  return true;
}

void FetchSessions::forget(FetchSession& session, const FetchTopicKey& topic, PartitionIndex index) {
  const auto known = session.by_key_.find({topic, index.value()});
  if (known == session.by_key_.end()) return;
  session.order_.erase(known->second);
  session.by_key_.erase(known);
  --partitions_;
}

void FetchSessions::told(FetchSession& session, const FetchTopicKey& topic, PartitionIndex index,
                         int64_t high_watermark, int64_t log_start_offset, bool had_records) {
  const auto known = session.by_key_.find({topic, index.value()});
  if (known == session.by_key_.end()) return;
  known->second->high_watermark = high_watermark;
  known->second->log_start_offset = log_start_offset;
  if (had_records) session.order_.splice(session.order_.end(), session.order_, known->second);
}

}  // namespace penstock::dataplane
