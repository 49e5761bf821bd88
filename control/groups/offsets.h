// OffsetTable: what a group has committed, by topic and partition. Changed by records alone.
//
// Bound: what the table holds is counted (bytes()), against GroupSettings::memory_max.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "control/groups/types.h"

namespace penstock::control::groups {

class OffsetTable {
 public:
  using Value = protocol::OffsetCommitValue;
  using Topic = std::map<int32_t, Value>;
  using Topics = std::map<std::string, Topic, std::less<>>;

  const Topics& topics() const { return topics_; }
  const Value* find(std::string_view topic, int32_t partition) const;
  bool empty() const { return topics_.empty(); }
  size_t count() const { return count_; }
  size_t bytes() const { return bytes_; }

  void put(const std::string& topic, int32_t partition, const Value& value);
  void erase(std::string_view topic, int32_t partition);

  // The keys of what wanted says, for tombstones.
  std::vector<protocol::OffsetCommitKey> select(
      const std::string& group, const std::function<bool(const std::string& topic, const Value& value)>& wanted) const;
  // Likewise of these topics: costs what the lesser number of topics does, theirs or the table's.
  std::vector<protocol::OffsetCommitKey> of_topics(const std::string& group,
                                                   const std::set<std::string_view>& topics) const;

 private:
  static size_t bytes_of(std::string_view topic, const Value& value);

  Topics topics_;
  size_t count_ = 0;
  size_t bytes_ = 0;
};

// The record of a commit. leader_epoch and expire_ms: -1 if there is none.
GroupRecord commit_record(const std::string& group, const std::string& topic, int32_t partition,
                          OffsetTable::Value value);

}  // namespace penstock::control::groups
