// What classic consumers say of themselves in JoinGroup, and are told by SyncGroup: messages that clients give each
// other, which Kafka's brokers look into for groups that migrate. Two bytes of version stand before each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "control/groups/partitions.h"
#include "control/groups/topic_table.h"
#include "protocol/gen/embedded.h"

namespace penstock::control::groups {

struct ClassicSubscription {
  int16_t version = 0;
  std::vector<std::string> topics;  // sorted, each once
  Assignment owned;                 // of topics that are there
  std::optional<std::string> rack_id;
};
// Nothing: it is none.
std::optional<ClassicSubscription> read_subscription(std::span<const std::byte> bytes, const TopicTable& topics);

std::vector<std::byte> write_assignment(int16_t version, const Holding& assigned, const TopicTable& topics);
// Nothing: it is none, or says more than partitions: what a client's own assignor adds would be lost (Kafka Streams').
std::optional<Assignment> read_assignment(std::span<const std::byte> bytes, const TopicTable& topics);

}  // namespace penstock::control::groups
