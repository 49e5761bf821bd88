// ConsumerGroupDescribe, and what others ask about a group.
#include <fmt/format.h>

#include "base/assert.h"
#include "control/groups/consumer_group.h"

namespace penstock::control::groups {
namespace {

using Described = ConsumerGroup::Described;
using DescribedAssignment = protocol::ConsumerGroupDescribeResponse::Assignment;

// Topics that are gone have no name, and are left out.
template <class Map>
DescribedAssignment describe(const Map& map, const TopicTable& topics) {
  DescribedAssignment described;
  described.topic_partitions = to_entries<protocol::ConsumerGroupDescribeResponse::TopicPartitions>(map);
  std::erase_if(described.topic_partitions, [&](auto& entry) {
    const std::string* name = topics.name_of(entry.topic_id);
    if (name != nullptr) entry.topic_name = *name;
    return name == nullptr;
  });
  return described;
}

std::string text(const Uuid& id) {
  std::string out;
  for (const uint8_t byte : id.bytes) out += fmt::format("{:02x}", byte);
  return out;
}

template <class Map>
std::string text(const Map& map) {
  std::string out;
  for (const auto& [topic, partitions] : map) {
    out += " " + text(topic) + ":";
    for (const auto& partition : partitions) {
      if constexpr (requires { partition.first; }) {
        out += fmt::format("{}@{},", partition.first, partition.second);
      } else {
        out += fmt::format("{},", partition);
      }
    }
  }
  return out;
}

std::string text(const Subscription& is) {
  std::string out = fmt::format(" instance={} rack={} client={} host={} timeout={} assignor={} regex={} topics=",
                                is.instance_id.value_or("-"), is.rack_id.value_or("-"), is.client_id, is.client_host,
                                is.rebalance_timeout_ms, is.server_assignor.value_or("-"), is.regex.value_or("-"));
  for (const std::string& topic : is.topic_names) out += topic + ",";
  if (is.classic) {
    out += fmt::format(" classic={}", is.classic->session_timeout_ms);
    for (const auto& [name, metadata] : is.classic->protocols) {
      out += fmt::format(" {}=", name);
      for (const std::byte byte : metadata) out += fmt::format("{:02x}", static_cast<unsigned>(byte));
    }
  }
  return out;
}

}  // namespace

std::string_view to_string(ConsumerGroupState state) {
  switch (state) {
    case ConsumerGroupState::kEmpty: return "Empty";
    case ConsumerGroupState::kAssigning: return "Assigning";
    case ConsumerGroupState::kReconciling: return "Reconciling";
    case ConsumerGroupState::kStable: return "Stable";
  }
  std::unreachable();
}

MemberTally ConsumerGroup::recounted() const {
  MemberTally again;
  for (const auto& [id, member] : members_) {
    again.add(id, member.subscription);
    again.add(member.progress);
  }
  for (const auto& [regex, is] : tally_.patterns()) {
    if (is.resolved) again.resolve(regex, is.resolved);
  }
  return again;
}

// Sets and maps of partitions take a node each, in the target, in what a member holds and in the owners.
size_t ConsumerGroup::bytes() const {
  constexpr size_t kPartition = 3 * 64;
  constexpr size_t kTopic = 128;
  DCHECK(tally_ == recounted());
  return tally_.bytes() + (tally_.topics().size() + owners_.topics().size()) * kTopic + owners_.count() * kPartition;
}

ConsumerGroupState ConsumerGroup::state() const {
  if (members_.empty()) return ConsumerGroupState::kEmpty;
  if (epoch_ > assignment_epoch_) return ConsumerGroupState::kAssigning;
  const bool all_arrived = tally_.arrived(assignment_epoch_) == members_.size();
  return all_arrived ? ConsumerGroupState::kStable : ConsumerGroupState::kReconciling;
}

Described ConsumerGroup::describe(const GroupContext& context) const {
  Described described;
  described.group_id = id_;
  described.group_state = to_string(state());
  described.group_epoch = epoch_;
  described.assignment_epoch = assignment_epoch_;
  described.assignor_name = preferred_assignor(context.settings);
  for (const auto& [id, member] : members_) {
    auto& is = described.members.emplace_back();
    is.member_id = id;
    is.instance_id = member.subscription.instance_id;
    is.rack_id = member.subscription.rack_id;
    is.member_epoch = member.progress.epoch;
    is.client_id = member.subscription.client_id;
    is.client_host = member.subscription.client_host;
    is.subscribed_topic_names = member.subscription.topic_names;
    is.subscribed_topic_regex = member.subscription.regex;
    is.assignment = groups::describe(member.progress.assigned, context.topics);
    const auto target = targets_.find(id);
    if (target != targets_.end()) is.target_assignment = groups::describe(target->second, context.topics);
    is.member_type = member.is_classic() ? 0 : 1;
  }
  return described;
}

std::string ConsumerGroup::dump() const {
  std::string out = fmt::format("group {} exists={} epoch={} hash={} assignment={}@{}\n", id_, exists_, epoch_,
                                metadata_hash_, assignment_epoch_, assignment_timestamp_);
  for (const auto& [id, member] : members_) {
    const Progress& at = member.progress;
    out += fmt::format("member {}{}\n  epoch={} previous={} state={} assigned{} revoking{}\n", id,
                       text(member.subscription), at.epoch, at.previous_epoch, static_cast<int>(at.state),
                       text(at.assigned), text(at.revoking));
  }
  for (const auto& [id, target] : targets_) out += fmt::format("target {}{}\n", id, text(target));
  for (const auto& [regex, is] : tally_.patterns()) {
    if (!is.resolved) continue;
    out += fmt::format("regex {} version={} at={}", regex, is.resolved->version, is.resolved->timestamp);
    for (const std::string& topic : is.resolved->topics) out += " " + topic;
    out += "\n";
  }
  for (const auto& [topic, owners] : owners_.topics()) {
    out += "owners " + text(topic);
    for (const auto& [partition, owner] : owners) out += fmt::format(" {}={}@{}", partition, owner.member, owner.epoch);
    out += "\n";
  }
  for (const auto& [topic, count] : tally_.topics()) out += fmt::format("wanted {} {}\n", topic, count);
  for (const auto& [instance, member] : static_members_) out += fmt::format("static {} {}\n", instance, member);
  return out;
}

std::vector<GroupRecord> ConsumerGroup::tombstones() const {
  Records records;
  for (const auto& [id, member] : members_) {
    records.push_back(
        make_tombstone(protocol::ConsumerGroupCurrentMemberAssignmentKey{.group_id = id_, .member_id = id}));
  }
  for (const auto& [id, target] : targets_) {
    records.push_back(
        make_tombstone(protocol::ConsumerGroupTargetAssignmentMemberKey{.group_id = id_, .member_id = id}));
  }
  records.push_back(make_tombstone(protocol::ConsumerGroupTargetAssignmentMetadataKey{.group_id = id_}));
  for (const auto& [id, member] : members_) {
    records.push_back(make_tombstone(protocol::ConsumerGroupMemberMetadataKey{.group_id = id_, .member_id = id}));
  }
  for (const auto& [regex, is] : tally_.patterns()) {
    if (!is.resolved) continue;
    records.push_back(
        make_tombstone(protocol::ConsumerGroupRegularExpressionKey{.group_id = id_, .regular_expression = regex}));
  }
  records.push_back(make_tombstone(protocol::ConsumerGroupMetadataKey{.group_id = id_}));
  return records;
}

std::optional<Refusal> ConsumerGroup::check_commit(std::string_view member_id,
                                                   const std::optional<std::string>& instance_id, int32_t epoch,
                                                   int16_t api_version, const Uuid& topic, int32_t partition) const {
  // An administrator, or a consumer that assigns itself partitions: not while others consume.
  if (epoch < 0 && members_.empty()) return std::nullopt;
  const auto refuse = [](ErrorCode error, std::string message) {
    return Refusal{.error = error, .message = std::move(message)};
  };
  const auto at = members_.find(member_id);
  if (at == members_.end()) {
    return refuse(ErrorCode::kUnknownMemberId, fmt::format("Member {} is not a member of group {}.", member_id, id_));
  }
  const ConsumerMember& member = at->second;
  if (instance_id && member.subscription.instance_id != instance_id) {
    return refuse(ErrorCode::kFencedInstanceId,
                  fmt::format("Instance id {} is not that of member {}.", *instance_id, member_id));
  }
  const Progress& is = member.progress;
  if (member.is_classic()) {
    if (epoch == is.epoch) return std::nullopt;
    return refuse(ErrorCode::kIllegalGeneration,
                  fmt::format("The generation {} is not the member's epoch {}.", epoch, is.epoch));
  }
  if (api_version < 9) {
    return refuse(ErrorCode::kUnsupportedVersion,
                  "OffsetCommit version 9 or above must be used by members using the modern group protocol.");
  }
  if (epoch == is.epoch) return std::nullopt;
  if (epoch < is.epoch && epoch > 0) {
    for (const Holding* holding : {&is.assigned, &is.revoking}) {
      const auto partitions = holding->find(topic);
      if (partitions == holding->end()) continue;
      const auto held = partitions->second.find(partition);
      if (held != partitions->second.end() && epoch >= held->second) return std::nullopt;
    }
  }
  return refuse(ErrorCode::kStaleMemberEpoch,
                fmt::format("The member epoch {} does not match the member's epoch {}.", epoch, is.epoch));
}

std::optional<Refusal> ConsumerGroup::check_fetch(const std::optional<std::string>& member_id, int32_t epoch) const {
  if (!member_id && epoch < 0) return std::nullopt;  // an administrator
  const auto at = members_.find(member_id.value_or(""));
  if (at == members_.end()) {
    return Refusal{.error = ErrorCode::kUnknownMemberId,
                   .message = fmt::format("Member {} is not a member of group {}.", member_id.value_or(""), id_)};
  }
  if (epoch == at->second.progress.epoch) return std::nullopt;
  return Refusal{.error = at->second.is_classic() ? ErrorCode::kIllegalGeneration : ErrorCode::kStaleMemberEpoch,
                 .message = fmt::format("The member epoch {} does not match the member's epoch {}.", epoch,
                                        at->second.progress.epoch)};
}

}  // namespace penstock::control::groups
