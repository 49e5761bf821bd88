// A group changes its kind while it has members (KIP-848, "Upgrade" and "Downgrade"): from a classic one, whose members
// keep what they have, and back when only classic members are left.
#include <algorithm>

#include "control/groups/classic_subscription.h"
#include "control/groups/consumer_group.h"

namespace penstock::control::groups {

std::vector<GroupRecord> ConsumerGroup::adopt(const std::vector<AdoptedMember>& members, int32_t epoch,
                                              const GroupContext& context) {
  Records records;
  for (const AdoptedMember& member : members) emit_subscription(member.id, member.subscription, records);
  emit_group(epoch, hash_topics(context.topics), records);
  for (const AdoptedMember& member : members) {
    Progress progress{.epoch = epoch, .previous_epoch = epoch};
    for (const auto& [topic, partitions] : member.assigned) {
      for (const int32_t partition : partitions) {
        // A client's own assignor may have given it to two.
        if (!owners_.is_held_by_another(member.id, topic, partition))
          progress.assigned[topic].emplace(partition, epoch);
      }
    }
    Assignment target;
    for (const auto& [topic, partitions] : progress.assigned) {
      for (const auto& [partition, since] : partitions) target[topic].insert(partition);
    }
    emit_target(member.id, target, records);
    emit_progress(member.id, progress, records);
  }
  emit_assignment_epoch(epoch, context.wall_ms, records);
  loaded(context);
  return records;
}

protocol::GroupMetadataValue ConsumerGroup::as_classic(const GroupContext& context) const {
  protocol::GroupMetadataValue value;
  value.protocol_type = "consumer";
  value.generation = epoch_;
  std::vector<std::string> names;
  for (const auto& [name, metadata] : members_.begin()->second.subscription.classic->protocols) names.push_back(name);
  value.protocol = common_protocol(names);
  value.leader = members_.begin()->first;
  value.current_state_timestamp = context.wall_ms;
  for (const auto& [id, member] : members_) {
    const Subscription& is = member.subscription;
    const auto& protocols = is.classic->protocols;
    const auto chosen = std::ranges::find(protocols, *value.protocol, [](const auto& one) { return one.first; });
    const auto& metadata = (chosen == protocols.end() ? protocols.front() : *chosen).second;
    const auto wants = read_subscription(metadata, context.topics);
    auto& as = value.members.emplace_back();
    as.member_id = id;
    as.group_instance_id = is.instance_id;
    as.client_id = is.client_id;
    as.client_host = is.client_host;
    as.rebalance_timeout = is.rebalance_timeout_ms;
    as.session_timeout = is.classic->session_timeout_ms;
    as.subscription = metadata;
    as.assignment = write_assignment(wants ? wants->version : int16_t{0}, member.progress.assigned, context.topics);
  }
  return value;
}

}  // namespace penstock::control::groups
