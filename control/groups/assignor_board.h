// AssignorBoard: the partitions of a group while they are dealt out, as numbers. Of the uniform assignor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "control/groups/assignor.h"

namespace penstock::control::groups {

inline constexpr uint32_t kNobody = UINT32_MAX;

class AssignorBoard {
 public:
  // Everyone has what it had before, of what it still wants and of what is there. At most one has a partition.
  explicit AssignorBoard(const AssignorInput& input);

  size_t partitions() const { return owner_.size(); }
  size_t topics() const { return first_.size() - 1; }
  size_t begin_of(size_t topic) const { return first_[topic]; }
  size_t end_of(size_t topic) const { return first_[topic + 1]; }
  uint32_t owner(size_t partition) const { return owner_[partition]; }
  size_t load(uint32_t member) const { return load_[member]; }
  const std::vector<uint32_t>& wanted_by(size_t topic) const { return wanted_by_[topic]; }
  bool was_before(size_t partition, uint32_t member) const { return before_[partition] == member; }

  void give(size_t partition, uint32_t member);
  void take(size_t partition);

  AssignorOutput output() const;

 private:
  const AssignorInput& input_;
  std::vector<size_t> first_;  // of each topic's partitions; and one behind the last
  std::vector<uint32_t> owner_;
  std::vector<uint32_t> before_;
  std::vector<size_t> load_;
  std::vector<std::vector<uint32_t>> wanted_by_;  // members, rising
};

}  // namespace penstock::control::groups
