// What next-generation groups must know of the world around them. The runtime keeps it up to date.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "control/groups/consumer_settings.h"
#include "control/groups/topic_table.h"

namespace penstock::control::groups {

// How much of looking for what patterns match one turn of the event loop does, for all groups together (regex.h has the
// unit): a pattern and names of the worst kind take some 12 ns a unit, those that people write a hundredth of that.
inline constexpr uint64_t kRegexWorkATurn = 2'000'000;

struct ConsumerWorld {
  TopicTable topics{};
  // Those of a group: its own configs, and the broker's where it has none.
  std::function<ConsumerGroupSettings(const std::string& group)> settings_of = [](const std::string&) {
    return ConsumerGroupSettings{};
  };
  uint64_t* regex_work = nullptr;  // what is left of it; nullptr: no bound
};

}  // namespace penstock::control::groups
