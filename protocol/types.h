// The numbers of the Kafka vocabulary, as types that do not mix.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>

#include "base/strong.h"

namespace penstock {

using Offset = Position<struct OffsetTag>;                     // logical number of a record in a partition
using LeaderEpoch = Id<struct LeaderEpochTag, int32_t>;        // generation of partition leadership
using PartitionIndex = Id<struct PartitionIndexTag, int32_t>;  // 0-based number of a partition in its topic
using BrokerId = Id<struct BrokerIdTag, int32_t>;              // node.id
using ProducerId = Id<struct ProducerIdTag, int64_t>;          // -1 when a batch has none
using CorrelationId = Id<struct CorrelationIdTag, int32_t>;

inline constexpr ProducerId kNoProducerId{-1};
inline constexpr LeaderEpoch kNoLeaderEpoch{-1};

// A topic's id (KIP-516), 16 bytes as on the wire. All zero means absent.
struct Uuid {
  std::array<uint8_t, 16> bytes{};
  friend auto operator<=>(const Uuid&, const Uuid&) = default;
  bool is_zero() const { return *this == Uuid{}; }
};

inline constexpr size_t kTopicNameMax = 249;  // bytes: a folder's name of 255 less a dash and five digits

enum class Acks : int8_t { kAll = -1, kNone = 0, kLeader = 1 };

}  // namespace penstock
