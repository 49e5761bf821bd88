// Server-side assignors (KIP-848): who of a group's members shall have which partitions. Pure and deterministic: the
// same group gives the same assignment.
//
//   uniform   everyone has as many partitions as the others, give or take one, and keeps what it had as far as that
//             allows; where members want different topics, no single move could make two loads more alike
//   range     each topic is cut into runs, one for each member that wants it, in the order of instance or member ids;
//             members with the same topics have the same numbers of topics of equal size (for joins)
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "control/groups/partitions.h"

namespace penstock::control::groups {

struct AssignorTopic {
  Uuid id;
  int32_t partitions;
};

struct AssignorMember {
  std::string_view id;
  std::string_view instance_id;        // empty: a dynamic member
  std::vector<uint32_t> topics;        // that it wants: places in AssignorInput::topics, rising
  const Assignment* before = nullptr;  // what it was to have; nullptr: nothing
};

struct AssignorInput {
  std::vector<AssignorTopic> topics;
  std::vector<AssignorMember> members;  // by id
};

// By place in AssignorInput::members.
using AssignorOutput = std::vector<Assignment>;

AssignorOutput assign_uniform(const AssignorInput& input);
AssignorOutput assign_range(const AssignorInput& input);

using Assignor = AssignorOutput (*)(const AssignorInput&);
// nullptr if there is none of this name.
Assignor find_assignor(std::string_view name);

}  // namespace penstock::control::groups
