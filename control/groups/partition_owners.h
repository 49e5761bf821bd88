// PartitionOwners: which member of a next-generation group has which partition, be it to use or to give up: at most
// one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "control/groups/partitions.h"

namespace penstock::control::groups {

class PartitionOwners {
 public:
  struct Owner {
    std::string member;
    int32_t epoch;  // since which it has it
    friend bool operator==(const Owner&, const Owner&) = default;
  };
  using Topics = std::map<Uuid, std::map<int32_t, Owner>>;

  void give(const Holding& holding, const std::string& member);
  // What is another's by now stays that one's.
  void take(const Holding& holding, std::string_view member);
  bool is_held_by_another(std::string_view member, const Uuid& topic, int32_t partition) const;

  const Topics& topics() const { return topics_; }
  size_t count() const { return count_; }  // of partitions
  friend bool operator==(const PartitionOwners&, const PartitionOwners&) = default;

 private:
  Topics topics_;
  size_t count_ = 0;
};

}  // namespace penstock::control::groups
