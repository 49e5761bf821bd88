// Records of a next-generation group: what they change, and how they are made.
#include <algorithm>

#include "base/assert.h"
#include "control/groups/consumer_group.h"

namespace penstock::control::groups {
namespace {

using CurrentValue = protocol::ConsumerGroupCurrentMemberAssignmentValue;
using MemberValue = protocol::ConsumerGroupMemberMetadataValue;

Holding to_holding(const std::vector<CurrentValue::TopicPartitions>& entries, int32_t member_epoch) {
  Holding holding;
  for (const auto& entry : entries) {
    // Written before KIP-1251, it says no epochs: then the member's own, which is the safe one.
    const bool with_epochs = entry.assignment_epochs && entry.assignment_epochs->size() == entry.partitions.size();
    for (size_t i = 0; i < entry.partitions.size(); ++i) {
      holding[entry.topic_id][entry.partitions[i]] = with_epochs ? (*entry.assignment_epochs)[i] : member_epoch;
    }
  }
  return holding;
}

std::vector<CurrentValue::TopicPartitions> to_holding_entries(const Holding& holding) {
  auto entries = to_entries<CurrentValue::TopicPartitions>(holding);
  for (auto& entry : entries) {
    auto& epochs = entry.assignment_epochs.emplace();
    for (const auto& [partition, epoch] : holding.at(entry.topic_id)) epochs.push_back(epoch);
  }
  return entries;
}

MemberState to_state(int8_t number) {
  switch (number) {
    case 0: return MemberState::kStable;
    case 1: return MemberState::kUnrevoked;
    default: return MemberState::kUnreleased;  // a newer broker's: the next heartbeat finds out what it waits for
  }
}

std::optional<ClassicMetadata> to_classic(const std::optional<MemberValue::ClassicMemberMetadata>& value) {
  if (!value) return std::nullopt;
  ClassicMetadata classic{.session_timeout_ms = value->session_timeout_ms, .protocols = {}};
  for (const auto& protocol : value->supported_protocols) {
    classic.protocols.emplace_back(protocol.name, protocol.metadata);
  }
  return classic;
}

std::optional<std::string> nonempty(const std::optional<std::string>& text) {
  return text && !text->empty() ? text : std::nullopt;
}

}  // namespace

size_t bytes_of(const Subscription& is) {
  constexpr size_t kText = 4;  // for a length
  size_t bytes = is.client_id.size() + is.client_host.size() + 6 * kText;
  for (const auto* text : {&is.instance_id, &is.rack_id, &is.regex, &is.server_assignor}) {
    if (*text) bytes += (*text)->size();
  }
  for (const std::string& topic : is.topic_names) bytes += topic.size() + kText;
  if (!is.classic) return bytes;
  for (const auto& [name, metadata] : is.classic->protocols) bytes += name.size() + metadata.size() + 2 * kText;
  return bytes;
}

void ConsumerGroup::emit(GroupRecord record, Records& records) {
  apply(record);
  records.push_back(std::move(record));
}

void ConsumerGroup::apply(const GroupRecord& record) {
  std::visit(
      [&](const auto& key) {
        if constexpr (requires { apply_key(key, record.value); }) apply_key(key, record.value);
      },
      record.key);
}

ConsumerMember& ConsumerGroup::member_of(const std::string& member_id) {
  const auto [at, is_new] = members_.try_emplace(member_id);
  ConsumerMember& member = at->second;
  if (!is_new) return member;
  member.id = member_id;
  tally_.add(member.id, member.subscription);
  tally_.add(member.progress);
  return member;
}

void ConsumerGroup::erase_member(const std::string& member_id) {
  const auto at = members_.find(member_id);
  if (at == members_.end()) return;
  ConsumerMember& member = at->second;
  set_progress(member, Progress{});
  tally_.remove(member.id, member.subscription);
  tally_.remove(member.progress);
  if (member.subscription.instance_id) {
    forget_instance(*member.subscription.instance_id, member_id);
  }
  members_.erase(at);
}

void ConsumerGroup::set_subscription(ConsumerMember& member, const MemberValue& value) {
  tally_.remove(member.id, member.subscription);
  Subscription& is = member.subscription;
  is = {.instance_id = value.instance_id,
        .rack_id = value.rack_id,
        .client_id = value.client_id,
        .client_host = value.client_host,
        .topic_names = value.subscribed_topic_names,
        .regex = nonempty(value.subscribed_topic_regex),
        .rebalance_timeout_ms = value.rebalance_timeout_ms,
        .server_assignor = value.server_assignor,
        .classic = to_classic(value.classic_member_metadata)};
  std::ranges::sort(is.topic_names);
  is.topic_names.erase(std::unique(is.topic_names.begin(), is.topic_names.end()), is.topic_names.end());
  tally_.add(member.id, is);
  if (is.instance_id) static_members_[*is.instance_id] = member.id;
  member.described = true;
}

// Its place is another's by now, if that one took it.
void ConsumerGroup::forget_instance(const std::string& instance_id, const std::string& member_id) {
  const auto is_static = static_members_.find(instance_id);
  if (is_static != static_members_.end() && is_static->second == member_id) static_members_.erase(is_static);
}

void ConsumerGroup::set_progress(ConsumerMember& member, Progress progress) {
  owners_.take(member.progress.assigned, member.id);
  owners_.take(member.progress.revoking, member.id);
  tally_.remove(member.progress);
  member.progress = std::move(progress);
  tally_.add(member.progress);
  owners_.give(member.progress.assigned, member.id);
  owners_.give(member.progress.revoking, member.id);
}

void ConsumerGroup::apply_key(const protocol::ConsumerGroupMetadataKey&, const std::optional<RecordValue>& value) {
  exists_ = value.has_value();
  const auto* is = value ? std::get_if<protocol::ConsumerGroupMetadataValue>(&*value) : nullptr;
  epoch_ = is == nullptr ? 0 : is->epoch;
  metadata_hash_ = is == nullptr ? 0 : is->metadata_hash;
}

void ConsumerGroup::apply_key(const protocol::ConsumerGroupMemberMetadataKey& key,
                              const std::optional<RecordValue>& value) {
  if (value) {
    ConsumerMember& member = member_of(key.member_id);
    const std::optional<std::string> had = member.subscription.instance_id;  // it may come with another one now
    if (had) forget_instance(*had, key.member_id);
    set_subscription(member, std::get<MemberValue>(*value));
  } else {
    erase_member(key.member_id);
  }
}

void ConsumerGroup::apply_key(const protocol::ConsumerGroupTargetAssignmentMetadataKey&,
                              const std::optional<RecordValue>& value) {
  const auto* is = value ? std::get_if<protocol::ConsumerGroupTargetAssignmentMetadataValue>(&*value) : nullptr;
  assignment_epoch_ = is == nullptr ? 0 : is->assignment_epoch;
  assignment_timestamp_ = is == nullptr ? 0 : is->assignment_timestamp;
}

void ConsumerGroup::apply_key(const protocol::ConsumerGroupTargetAssignmentMemberKey& key,
                              const std::optional<RecordValue>& value) {
  if (value) {
    targets_[key.member_id] =
        to_assignment(std::get<protocol::ConsumerGroupTargetAssignmentMemberValue>(*value).topic_partitions);
  } else {
    targets_.erase(key.member_id);
  }
}

void ConsumerGroup::apply_key(const protocol::ConsumerGroupCurrentMemberAssignmentKey& key,
                              const std::optional<RecordValue>& value) {
  if (!value) {
    const auto at = members_.find(key.member_id);
    if (at == members_.end()) return;
    set_progress(at->second, Progress{});
    // Compaction may have taken the rest of a member that is gone.
    if (!at->second.described) erase_member(key.member_id);
    return;
  }
  const auto& is = std::get<CurrentValue>(*value);
  set_progress(member_of(key.member_id), {.epoch = is.member_epoch,
                                          .previous_epoch = is.previous_member_epoch,
                                          .state = to_state(is.state),
                                          .assigned = to_holding(is.assigned_partitions, is.member_epoch),
                                          .revoking = to_holding(is.partitions_pending_revocation, is.member_epoch)});
}

void ConsumerGroup::apply_key(const protocol::ConsumerGroupRegularExpressionKey& key,
                              const std::optional<RecordValue>& value) {
  if (!value) return tally_.resolve(key.regular_expression, std::nullopt);
  const auto& is = std::get<protocol::ConsumerGroupRegularExpressionValue>(*value);
  tally_.resolve(key.regular_expression,
                 ResolvedPattern{
                     .topics = {is.topics.begin(), is.topics.end()}, .version = is.version, .timestamp = is.timestamp});
}

void ConsumerGroup::emit_group(int32_t epoch, int64_t metadata_hash, Records& records) {
  emit(make_record(protocol::ConsumerGroupMetadataKey{.group_id = id_},
                   protocol::ConsumerGroupMetadataValue{.epoch = epoch, .metadata_hash = metadata_hash}),
       records);
}

void ConsumerGroup::emit_assignment_epoch(int32_t epoch, int64_t wall_ms, Records& records) {
  emit(make_record(protocol::ConsumerGroupTargetAssignmentMetadataKey{.group_id = id_},
                   protocol::ConsumerGroupTargetAssignmentMetadataValue{.assignment_epoch = epoch,
                                                                        .assignment_timestamp = wall_ms}),
       records);
}

void ConsumerGroup::emit_subscription(const std::string& member_id, const Subscription& is, Records& records) {
  MemberValue value{.instance_id = is.instance_id,
                    .rack_id = is.rack_id,
                    .client_id = is.client_id,
                    .client_host = is.client_host,
                    .subscribed_topic_names = is.topic_names,
                    .subscribed_topic_regex = is.regex,
                    .rebalance_timeout_ms = is.rebalance_timeout_ms,
                    .server_assignor = is.server_assignor};
  if (is.classic) {
    auto& classic = value.classic_member_metadata.emplace();
    classic.session_timeout_ms = is.classic->session_timeout_ms;
    for (const auto& [name, metadata] : is.classic->protocols) {
      classic.supported_protocols.push_back({.name = name, .metadata = metadata});
    }
  }
  emit(make_record(protocol::ConsumerGroupMemberMetadataKey{.group_id = id_, .member_id = member_id}, std::move(value)),
       records);
}

void ConsumerGroup::emit_target(const std::string& member_id, const Assignment& target, Records& records) {
  using Value = protocol::ConsumerGroupTargetAssignmentMemberValue;
  emit(make_record(protocol::ConsumerGroupTargetAssignmentMemberKey{.group_id = id_, .member_id = member_id},
                   Value{.topic_partitions = to_entries<Value::TopicPartition>(target)}),
       records);
}

void ConsumerGroup::emit_progress(const std::string& member_id, const Progress& progress, Records& records) {
  CurrentValue value{.member_epoch = progress.epoch,
                     .previous_member_epoch = progress.previous_epoch,
                     .state = static_cast<int8_t>(progress.state),
                     .assigned_partitions = to_holding_entries(progress.assigned),
                     .partitions_pending_revocation = to_holding_entries(progress.revoking)};
  emit(make_record(protocol::ConsumerGroupCurrentMemberAssignmentKey{.group_id = id_, .member_id = member_id},
                   std::move(value)),
       records);
}

}  // namespace penstock::control::groups
