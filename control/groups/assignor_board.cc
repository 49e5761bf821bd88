#include "control/groups/assignor_board.h"

#include <algorithm>

#include "base/assert.h"

namespace penstock::control::groups {

AssignorBoard::AssignorBoard(const AssignorInput& input)
    : input_(input), load_(input.members.size()), wanted_by_(input.topics.size()) {
  first_.push_back(0);
  for (const AssignorTopic& topic : input.topics) {
    first_.push_back(first_.back() + static_cast<size_t>(topic.partitions));
  }
  owner_.assign(first_.back(), kNobody);
  for (uint32_t member = 0; member < input.members.size(); ++member) {
    for (const uint32_t topic : input.members[member].topics) {
      wanted_by_[topic].push_back(member);
      if (input.members[member].before == nullptr) continue;
      const auto had = input.members[member].before->find(input.topics[topic].id);
      if (had == input.members[member].before->end()) continue;
      for (const int32_t partition : had->second) {
        if (partition < 0 || partition >= input.topics[topic].partitions) continue;
        const size_t at = first_[topic] + static_cast<size_t>(partition);
        if (owner_[at] == kNobody) give(at, member);
      }
    }
  }
  before_ = owner_;
}

void AssignorBoard::give(size_t partition, uint32_t member) {
  DCHECK(owner_[partition] == kNobody);
  owner_[partition] = member;
  ++load_[member];
}

void AssignorBoard::take(size_t partition) {
  DCHECK(owner_[partition] != kNobody);
  --load_[owner_[partition]];
  owner_[partition] = kNobody;
}

AssignorOutput AssignorBoard::output() const {
  AssignorOutput output(input_.members.size());
  for (size_t topic = 0; topic < topics(); ++topic) {
    for (size_t at = first_[topic]; at < first_[topic + 1]; ++at) {
      if (owner_[at] == kNobody) continue;
      auto& mine = output[owner_[at]][input_.topics[topic].id];
      mine.insert(mine.end(), static_cast<int32_t>(at - first_[topic]));
    }
  }
  return output;
}

}  // namespace penstock::control::groups
