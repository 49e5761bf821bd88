// What groups have committed: OffsetCommit, OffsetFetch, OffsetDelete, and how offsets grow old. In the order of
// Kafka's OffsetMetadataManager.
#include <algorithm>

#include "base/saturating.h"
#include "control/groups/coordinator.h"

namespace penstock::control::groups {
namespace {

// From this version on a client tells a group that is gone from a generation that is over.
constexpr int16_t kCommitTellsGone = 9;
constexpr int64_t kNoOffset = -1;
// Of a record in a batch: lengths, timestamp, offset.
constexpr size_t kRecordOverhead = 32;
// Groups looked at in one turn for offsets that have grown old, and records that this may make.
constexpr size_t kGroupsChecked = 1024;
constexpr size_t kTombstonesAtOnce = 10'000;

// A log is outside bytes: any number may stand there.
bool is_old(int64_t since_ms, Now now, const GroupSettings& settings) {
  int64_t age = 0;
  if (__builtin_sub_overflow(now.wall_ms, since_ms, &age)) return since_ms < 0;
  return age >= settings.offsets_retention_ms;
}

template <class Response>
void refuse_all(Response& response, ErrorCode error) {
  for (auto& topic : response.topics) {
    for (auto& partition : topic.partitions) {
      if (partition.error_code == ErrorCode::kNone) partition.error_code = error;
    }
  }
}

}  // namespace

void Coordinator::commit(const protocol::OffsetCommitRequest& request, int16_t version, Now now, Effects& effects,
                         protocol::OffsetCommitResponse& response) {
  // The empty name is a group here, as ever.
  if (request.group_id.size() > kTextMax) return refuse_all(response, ErrorCode::kInvalidGroupId);
  Group* group = find(request.group_id);
  if (group == nullptr && request.generation_id_or_member_epoch >= 0) {
    return refuse_all(response,
                      version >= kCommitTellsGone ? ErrorCode::kGroupIdNotFound : ErrorCode::kIllegalGeneration);
  }
  if (group == nullptr) group = &make(request.group_id, -1);
  if (const ErrorCode error = commit_to(*group, request, version, now, effects, response); error != ErrorCode::kNone)
    refuse_all(response, error);
  touched(request.group_id);
  erase_if_nothing(request.group_id);
}

ErrorCode Coordinator::commit_to(Group& group, const protocol::OffsetCommitRequest& request, int16_t version, Now now,
                                 Effects& effects, protocol::OffsetCommitResponse& response) {
  const ConsumerGroup* consumer = consumer_of(&group);
  if (consumer == nullptr) {
    auto& classic = std::get<ClassicGroup>(group.body);
    const ErrorCode error =
        classic.check_commit(request.member_id, request.group_instance_id, request.generation_id_or_member_epoch);
    if (error != ErrorCode::kNone) return error;
    Step the_step = step(now, effects);
    classic.committed(request.member_id, the_step);
  }
  std::vector<GroupRecord> records;
  size_t bytes = 0;
  for (size_t t = 0; t < request.topics.size(); ++t) {
    const auto& topic = request.topics[t];
    for (size_t p = 0; p < topic.partitions.size(); ++p) {
      const auto& asked = topic.partitions[p];
      ErrorCode& told = response.topics[t].partitions[p].error_code;
      if (told != ErrorCode::kNone) continue;
      if (consumer != nullptr) {
        const auto refusal =
            consumer->check_commit(request.member_id, request.group_instance_id, request.generation_id_or_member_epoch,
                                   version, topic.topic_id, asked.partition_index);
        if (refusal) {
          told = refusal->error;
          continue;
        }
      }
      const auto metadata = asked.committed_metadata.value_or("");
      if (metadata.size() > static_cast<size_t>(settings_.offset_metadata_max_bytes) || metadata.size() > kTextMax) {
        told = ErrorCode::kOffsetMetadataTooLarge;
        continue;
      }
      const OffsetTable::Value* had = group.offsets.find(topic.name, asked.partition_index);
      if (had == nullptr ? full() : is_over() && metadata.size() > had->metadata.size()) {
        told = ErrorCode::kCoordinatorNotAvailable;
        continue;
      }
      bytes += kRecordOverhead + request.group_id.size() + topic.name.size() + metadata.size() + kRecordOverhead;
      const bool expires = request.retention_time_ms >= 0;
      const int64_t expire_ms = expires ? saturating_add(now.wall_ms, request.retention_time_ms) : -1;
      records.push_back(commit_record(request.group_id, topic.name, asked.partition_index,
                                      {.offset = asked.committed_offset,
                                       .leader_epoch = asked.committed_leader_epoch,
                                       .metadata = metadata,
                                       .commit_timestamp = now.wall_ms,
                                       .expire_timestamp = expire_ms,
                                       .topic_id = topic.topic_id}));
    }
  }
  if (bytes > settings_.write_bytes_max) return ErrorCode::kInvalidCommitOffsetSize;
  for (GroupRecord& record : records) {
    const auto& key = std::get<protocol::OffsetCommitKey>(record.key);
    group.offsets.put(key.topic, key.partition, std::get<protocol::OffsetCommitValue>(*record.value));
    effects.records.push_back(std::move(record));
  }
  return ErrorCode::kNone;
}

protocol::OffsetFetchResponse::Group Coordinator::fetch(const protocol::OffsetFetchRequest::Group& request) const {
  protocol::OffsetFetchResponse::Group response;
  response.group_id = request.group_id;
  const auto found = groups_.find(request.group_id);
  if (const ConsumerGroup* consumer = found == groups_.end() ? nullptr : consumer_of(&found->second)) {
    if (const auto refusal = consumer->check_fetch(request.member_id, request.member_epoch)) {
      response.error_code = refusal->error;
      return response;
    }
  }
  const OffsetTable nothing;
  const OffsetTable& offsets = found == groups_.end() ? nothing : found->second.offsets;
  const auto tell = [](auto& topic, int32_t partition, const OffsetTable::Value* value) {
    auto& told = topic.partitions.emplace_back();
    told.partition_index = partition;
    told.committed_offset = value == nullptr ? kNoOffset : value->offset;
    told.committed_leader_epoch = value == nullptr ? -1 : value->leader_epoch;
    told.metadata = value == nullptr ? "" : value->metadata;
  };
  if (!request.topics) {
    for (const auto& [name, partitions] : offsets.topics()) {
      auto& topic = response.topics.emplace_back();
      topic.name = name;
      for (const auto& [partition, value] : partitions) tell(topic, partition, &value);
    }
    return response;
  }
  for (const auto& asked : *request.topics) {
    auto& topic = response.topics.emplace_back();
    topic.name = asked.name;
    topic.topic_id = asked.topic_id;
    for (const int32_t partition : asked.partition_indexes) {
      tell(topic, partition, offsets.find(asked.name, partition));
    }
  }
  return response;
}

void Coordinator::delete_offsets(const protocol::OffsetDeleteRequest& request, Now, Effects& effects,
                                 protocol::OffsetDeleteResponse& response) {
  Group* group = find(request.group_id);
  if (group == nullptr) {
    response.error_code = ErrorCode::kGroupIdNotFound;
    response.topics.clear();
    return;
  }
  const ConsumerGroup* consumer = consumer_of(group);
  const auto* classic = std::get_if<ClassicGroup>(&group->body);
  const bool has_members = consumer == nullptr && classic->state() != ClassicState::kEmpty;
  if (has_members && classic->protocol_type() != "consumer") {
    response.error_code = ErrorCode::kNonEmptyGroup;
    response.topics.clear();
    return;
  }
  std::vector<protocol::OffsetCommitKey> keys;
  for (size_t t = 0; t < request.topics.size(); ++t) {
    const auto& topic = request.topics[t];
    const bool subscribed = consumer != nullptr ? consumer->is_subscribed_to(topic.name)
                                                : has_members && classic->is_subscribed(topic.name);
    for (size_t p = 0; p < topic.partitions.size(); ++p) {
      ErrorCode& told = response.topics[t].partitions[p].error_code;
      if (told != ErrorCode::kNone) continue;
      const int32_t partition = topic.partitions[p].partition_index;
      if (subscribed) {
        told = ErrorCode::kGroupSubscribedToTopic;
      } else if (group->offsets.find(topic.name, partition) != nullptr) {
        keys.push_back({.group = request.group_id, .topic = topic.name, .partition = partition});
      }
    }
  }
  remove_offsets(std::move(keys), effects);
  touched(request.group_id);
  erase_if_nothing(request.group_id);
}

void Coordinator::remove_offsets(std::vector<protocol::OffsetCommitKey> keys, Effects& effects) {
  for (auto& key : keys) {
    groups_.find(key.group)->second.offsets.erase(key.topic, key.partition);
    effects.records.push_back(make_tombstone(std::move(key)));
  }
}

void Coordinator::topics_deleted(std::span<const std::string> topics, Now, Effects& effects) {
  const std::set<std::string_view> gone(topics.begin(), topics.end());
  std::vector<std::string> ids;
  for (const auto& [id, group] : groups_) {
    if (!group.offsets.empty()) ids.push_back(id);
  }
  for (const std::string& id : ids) {
    Group& group = groups_.find(id)->second;
    remove_offsets(group.offsets.of_topics(id, gone), effects);
    touched(id);
    erase_if_nothing(id);
  }
}

// ---- growing old

// Some groups a call, so that many do not hold up the others' requests.
void Coordinator::expire_offsets(Now now, Effects& effects) {
  auto next = check_from_ ? groups_.lower_bound(*check_from_) : groups_.begin();
  const size_t records_max = effects.records.size() + kTombstonesAtOnce;
  for (size_t n = 0; n < kGroupsChecked && next != groups_.end() && effects.records.size() < records_max; ++n) {
    const std::string id = next->first;
    expire_offsets_of(id, next->second, now, effects);
    touched(id);
    next = groups_.upper_bound(id);
  }
  if (next != groups_.end()) {
    check_from_ = next->first;
    return;
  }
  check_from_.reset();
  check_offsets_at_ = now.monotonic + settings_.offsets_check_interval_ms * kMillisecond;
}

void Coordinator::expire_offsets_of(const std::string& id, Group& group, Now now, Effects& effects) {
  const ConsumerGroup* consumer = consumer_of(&group);
  const auto* classic = std::get_if<ClassicGroup>(&group.body);
  const auto is_subscribed = [&](const std::string& topic) {
    return consumer != nullptr ? consumer->is_subscribed_to(topic) : classic->is_subscribed(topic);
  };
  // Kafka: those of a next-generation group count from each commit, and never for a topic that a member wants.
  const ClassicGroup::Expiry of_consumer{.by_commit = true, .since_ms = 0, .spares_subscribed = true};
  if (const auto rule = consumer != nullptr ? std::optional(of_consumer) : classic->expiry()) {
    remove_offsets(group.offsets.select(id,
                                        [&](const std::string& topic, const OffsetTable::Value& value) {
                                          if (rule->spares_subscribed && is_subscribed(topic)) return false;
                                          if (value.expire_timestamp >= 0) return now.wall_ms >= value.expire_timestamp;
                                          const int64_t since =
                                              rule->by_commit ? value.commit_timestamp : rule->since_ms;
                                          return is_old(since, now, settings_);
                                        }),
                   effects);
  }
  const bool is_deletable = consumer != nullptr ? consumer->members().empty() : classic->is_deletable();
  if (group.offsets.empty() && is_deletable) erase_group(id, effects);
}

}  // namespace penstock::control::groups
