// What next-generation groups must know of the world around them. The runtime keeps it up to date.
#pragma once

#include <functional>
#include <string>

#include "control/groups/consumer_settings.h"
#include "control/groups/topic_table.h"

namespace penstock::control::groups {

struct ConsumerWorld {
  TopicTable topics{};
  // Those of a group: its own configs, and the broker's where it has none.
  std::function<ConsumerGroupSettings(const std::string& group)> settings_of = [](const std::string&) {
    return ConsumerGroupSettings{};
  };
};

}  // namespace penstock::control::groups
