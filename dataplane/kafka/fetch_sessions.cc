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

FetchSession::Place FetchSession::find(const FetchTopicName& topic, PartitionIndex index) {
  const auto named = topics_.find(topic);
  if (named == topics_.end()) return order_.end();
  const auto known = named->second.find(index.value());
  return known == named->second.end() ? order_.end() : known->second;
}

bool FetchSessions::put(FetchSession& session, const FetchTopicName& topic, const FetchSession::Partition& partition) {
  if (const auto there = session.find(topic, partition.index); there != session.order_.end()) {
    there->from = partition.from;
    there->max_bytes = partition.max_bytes;
    there->current_epoch = partition.current_epoch;
    there->last_fetched_epoch = partition.last_fetched_epoch;
    return true;
  }
  if (partitions_ >= kPartitionsMax || topic.name.size() > kTopicNameMax) return false;
  auto named = session.topics_.find(topic);
  if (named == session.topics_.end())
    named = session.topics_.try_emplace(FetchTopicKey{std::string(topic.name), topic.id}).first;
  const auto added = session.order_.insert(session.order_.end(), partition);
  added->topic = &named->first;
  named->second.emplace(partition.index.value(), added);
  ++partitions_;
  return true;
}

void FetchSessions::forget(FetchSession& session, const FetchTopicName& topic, PartitionIndex index) {
  const auto there = session.find(topic, index);
  if (there == session.order_.end()) return;
  session.order_.erase(there);
  const auto named = session.topics_.find(topic);
  named->second.erase(index.value());
  if (named->second.empty()) session.topics_.erase(named);
  --partitions_;
}

void FetchSessions::told(FetchSession& session, const FetchTopicName& topic, PartitionIndex index,
                         int64_t high_watermark, int64_t log_start_offset, bool had_records) {
  const auto there = session.find(topic, index);
  if (there == session.order_.end()) return;
  there->high_watermark = high_watermark;
  there->log_start_offset = log_start_offset;
  if (had_records) session.order_.splice(session.order_.end(), session.order_, there);
}

}  // namespace penstock::dataplane
