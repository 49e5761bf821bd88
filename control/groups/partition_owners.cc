#include "control/groups/partition_owners.h"

namespace penstock::control::groups {

void PartitionOwners::give(const Holding& holding, const std::string& member) {
  for (const auto& [topic, partitions] : holding) {
    for (const auto& [partition, epoch] : partitions) {
      const Owner owner{.member = member, .epoch = epoch};
      if (topics_[topic].insert_or_assign(partition, owner).second) ++count_;
    }
  }
}

void PartitionOwners::take(const Holding& holding, std::string_view member) {
  for (const auto& [topic, partitions] : holding) {
    const auto owners = topics_.find(topic);
    if (owners == topics_.end()) continue;
    for (const auto& [partition, epoch] : partitions) {
      const auto owner = owners->second.find(partition);
      if (owner == owners->second.end() || owner->second.member != member) continue;
      owners->second.erase(owner);
      --count_;
    }
    if (owners->second.empty()) topics_.erase(owners);
  }
}

bool PartitionOwners::is_held_by_another(std::string_view member, const Uuid& topic, int32_t partition) const {
  const auto owners = topics_.find(topic);
  if (owners == topics_.end()) return false;
  const auto owner = owners->second.find(partition);
  return owner != owners->second.end() && owner->second.member != member;
}

}  // namespace penstock::control::groups
