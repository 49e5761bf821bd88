// The nouns that groups share: time, who asks, what a step comes to, and the settings.
//
// Everything in this folder but the runtime is pure: time is an argument, waiting is a deadline that the owner asks
// for, and what is to be written or answered is returned.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/prng.h"
#include "base/units.h"
#include "control/groups/group_record.h"
#include "protocol/gen/join_group.h"
#include "protocol/gen/sync_group.h"

namespace penstock::control::groups {

// The monotonic clock for waiting, the other for what is written down.
struct Now {
  Nanos monotonic = 0;
  int64_t wall_ms = 0;
};

inline constexpr Nanos kNever = std::numeric_limits<Nanos>::max();

// A request that waits for its answer; the runtime's number for it.
using Ticket = uint64_t;

struct Caller {
  Ticket ticket = 0;
  int16_t version = 0;  // of the request
  std::string client_id{};
  std::string client_host{};  // as Kafka writes it: a slash and the numeric address
};

// Answers that may come later than their requests: when the others of the group have come, too.
using LateResponse = std::variant<protocol::JoinGroupResponse, protocol::SyncGroupResponse>;
struct LateAnswer {
  Ticket ticket;
  LateResponse response;
};

// What a step comes to. The records were applied; answers leave when they and all before them are durable.
struct Effects {
  std::vector<GroupRecord> records;
  std::vector<LateAnswer> answers;
};

// Kafka's names of them are in control/options.def.
struct GroupSettings {
  int32_t min_session_timeout_ms = 6'000;
  int32_t max_session_timeout_ms = 1'800'000;
  int32_t initial_rebalance_delay_ms = 3'000;
  int32_t group_max_size = 2'147'483'647;
  int32_t offset_metadata_max_bytes = 4096;
  int64_t offsets_retention_ms = 10'080LL * 60 * 1000;
  int64_t offsets_check_interval_ms = 600'000;
  // What one step writes is one batch: it stands or falls as a whole, so it must fit into one.
  size_t write_bytes_max = 1'048'588;
  // Of a group: who was told its id and has not come back yet. They cost their sender nothing.
  size_t pending_max = 10'000;
  // What the groups of all partitions may hold in memory; at that, nothing new is taken.
  size_t memory_max = 256 * kMiB;
};

// What the steps of a group are done with.
struct Step {
  const GroupSettings& settings;
  Prng& prng;
  Now now;
  Effects& effects;
};

// Kafka's formats of the classic groups have two bytes for the length of a text.
inline constexpr size_t kTextMax = 32'767;

}  // namespace penstock::control::groups
