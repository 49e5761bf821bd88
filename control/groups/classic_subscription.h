// What classic consumers say of themselves in JoinGroup, and are told by SyncGroup: messages that clients give each
// other, which Kafka's brokers look into for groups that migrate. Two bytes of version stand before each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
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
// What the clients' own assignor adds for them (Kafka Streams' does) is lost where others assign. The four that all
// clients have may add something too (librdkafka's sticky one: what each member owns), and need it from nobody else:
// Kafka does not tell these apart.
bool says_more_than_partitions(std::span<const std::byte> assignment, std::string_view assignor);
// Nothing: it is none.
std::optional<Assignment> read_assignment(std::span<const std::byte> bytes, const TopicTable& topics);

}  // namespace penstock::control::groups
