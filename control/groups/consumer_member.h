// ConsumerMember: one member of a next-generation consumer group (KIP-848), as the group's records say.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/units.h"
#include "control/groups/partitions.h"

namespace penstock::control::groups {

// Member epochs that are no epochs (KIP-848, "ConsumerGroupHeartbeat API").
inline constexpr int32_t kJoinEpoch = 0;
inline constexpr int32_t kLeaveEpoch = -1;
inline constexpr int32_t kStaticLeaveEpoch = -2;  // leaves, and will be back before its session ends (KIP-345)

// Where a member stands on its way to its target; by Kafka's numbers in ConsumerGroupCurrentMemberAssignmentValue.
enum class MemberState : int8_t {
  kStable = 0,      // has its target of its epoch
  kUnrevoked = 1,   // was told to give partitions up, and has not said that it did
  kUnreleased = 2,  // waits for partitions that others still hold
};

// What a member that speaks the classic protocol told when it joined.
struct ClassicMetadata {
  int32_t session_timeout_ms = 0;
  std::vector<std::pair<std::string, std::vector<std::byte>>> protocols;  // name, subscription; the preferred first
  friend bool operator==(const ClassicMetadata&, const ClassicMetadata&) = default;
};

// What the member says of itself (ConsumerGroupMemberMetadataValue).
struct Subscription {
  std::optional<std::string> instance_id;
  std::optional<std::string> rack_id;
  std::string client_id;
  std::string client_host;
  std::vector<std::string> topic_names;  // sorted, each once
  std::optional<std::string> regex;      // never empty
  int32_t rebalance_timeout_ms = -1;
  std::optional<std::string> server_assignor;
  std::optional<ClassicMetadata> classic;
  friend bool operator==(const Subscription&, const Subscription&) = default;
};

// About what its texts take, in memory or in a record.
size_t bytes_of(const Subscription& subscription);

// Where it stands (ConsumerGroupCurrentMemberAssignmentValue). Nobody else gets a partition of either set.
struct Progress {
  int32_t epoch = 0;
  int32_t previous_epoch = 0;
  MemberState state = MemberState::kStable;
  Holding assigned;  // what it may use
  Holding revoking;  // what it must give up
  friend bool operator==(const Progress&, const Progress&) = default;

  void move_to_epoch(int32_t next) {
    if (next != epoch) previous_epoch = std::exchange(epoch, next);
  }
};

struct ConsumerMember {
  std::string id;
  bool described = false;  // its subscription was read; without it the member is only half in the log so far
  Subscription subscription;
  Progress progress;
  // Not of the log: a fingerprint of what it said last that it owns, and when it was last told what it may own. An
  // answer can be lost to it, or go to a request that it gave up; then it is told again.
  std::optional<uint64_t> reported{};
  Nanos told_at = 0;

  bool is_classic() const { return subscription.classic.has_value(); }
};

}  // namespace penstock::control::groups
