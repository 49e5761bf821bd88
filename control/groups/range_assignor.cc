// The range assignor (assignor.h), and the list of assignors.
#include <algorithm>

#include "control/groups/assignor.h"

namespace penstock::control::groups {

AssignorOutput assign_range(const AssignorInput& input) {
  // Static members keep their place when they come back with another member id.
  const auto rank = [&](uint32_t place) {
    const AssignorMember& member = input.members[place];
    return member.instance_id.empty() ? member.id : member.instance_id;
  };
  std::vector<std::vector<uint32_t>> wanted_by(input.topics.size());
  std::vector<uint32_t> order(input.members.size());
  for (uint32_t place = 0; place < order.size(); ++place) order[place] = place;
  std::ranges::stable_sort(order, {}, rank);
  for (const uint32_t member : order) {
    for (const uint32_t topic : input.members[member].topics) wanted_by[topic].push_back(member);
  }
  AssignorOutput output(input.members.size());
  for (size_t topic = 0; topic < input.topics.size(); ++topic) {
    const auto members = static_cast<int32_t>(wanted_by[topic].size());
    if (members == 0) continue;
    const int32_t each = input.topics[topic].partitions / members;
    const int32_t extra = input.topics[topic].partitions % members;
    int32_t partition = 0;
    for (int32_t i = 0; i < members; ++i) {
      const int32_t end = partition + each + (i < extra ? 1 : 0);
      if (partition == end) break;  // more members than partitions: the rest has none
      auto& mine = output[wanted_by[topic][static_cast<size_t>(i)]][input.topics[topic].id];
      for (; partition < end; ++partition) mine.insert(mine.end(), partition);
    }
  }
  return output;
}

Assignor find_assignor(std::string_view name) {
  if (name == "uniform") return assign_uniform;
  if (name == "range") return assign_range;
  return nullptr;
}

}  // namespace penstock::control::groups
