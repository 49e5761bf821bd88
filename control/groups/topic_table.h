// TopicTable: what groups know of the cluster's topics. Immutable once made; the coordinator gets a new one, with a
// higher version, whenever topics come, go or grow.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "protocol/types.h"

namespace penstock::control::groups {

struct TopicFacts {
  Uuid id;
  int32_t partitions = 0;
};

class TopicTable {
 public:
  explicit TopicTable(uint64_t version = 0) : version_(version) {}

  void add(std::string name, const TopicFacts& facts) {
    names_.emplace(facts.id, name);
    topics_.emplace(std::move(name), facts);
  }

  uint64_t version() const { return version_; }
  const std::map<std::string, TopicFacts, std::less<>>& topics() const { return topics_; }
  // nullptr if there is none.
  const TopicFacts* find(std::string_view name) const {
    const auto at = topics_.find(name);
    return at == topics_.end() ? nullptr : &at->second;
  }
  const std::string* name_of(const Uuid& id) const {
    const auto at = names_.find(id);
    return at == names_.end() ? nullptr : &at->second;
  }

 private:
  uint64_t version_;
  std::map<std::string, TopicFacts, std::less<>> topics_;
  std::map<Uuid, std::string> names_;
};

}  // namespace penstock::control::groups
