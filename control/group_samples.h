// GroupSamples: what a survey (group_survey.h) has found out about the groups, for /metrics. Nobody changes it any
// more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::control {

struct GroupSamples {
  struct Group {
    std::string label;  // its id, as a label's value
    std::string_view type;
    std::string_view state;
    size_t members = 0;
    bool detailed = true;  // its partitions are told of one by one
  };
  // Of what a group has committed; those of a group lie together, the groups in their order.
  struct Commit {
    uint32_t group;  // of groups
    uint32_t topic;  // of topics
    int32_t partition;
    uint32_t log;  // of ends
    int64_t offset;
  };

  // Nothing: the partition is gone. An end may be before a commit: clients commit what they like.
  static constexpr int64_t kGone = -1;
  int64_t lag_of(const Commit& commit) const {
    const int64_t end = ends[commit.log];
    return end < 0 ? kGone : end < commit.offset ? 0 : end - commit.offset;
  }

  std::vector<Group> groups;
  std::vector<std::string> topics;  // labels' values
  std::vector<Commit> commits;
  std::vector<int64_t> ends;  // high watermarks; kGone: the log is
  size_t groups_left_out = 0;
  size_t partitions_left_out = 0;
};

}  // namespace penstock::control
