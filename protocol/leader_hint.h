// Where a partition's new leader is (KIP-951): tagged fields that Produce and Fetch answers share, so that a client
// that asked the wrong broker need not ask for metadata first.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "protocol/wire.h"

namespace penstock::protocol {

struct LeaderIdAndEpoch {
  int32_t leader_id = -1;
  int32_t leader_epoch = -1;
  friend bool operator==(const LeaderIdAndEpoch&, const LeaderIdAndEpoch&) = default;
};

struct NodeEndpoint {
  int32_t node_id = 0;
  std::string_view host;
  int32_t port = 0;
  std::optional<std::string_view> rack;
};

// One field of a partition's tag section.
void write_leader_tag(Writer& out, uint32_t tag, const LeaderIdAndEpoch& leader);

// The whole last tag section of a response: the endpoints as tag 0, or nothing.
void write_node_endpoints(Writer& out, std::span<const NodeEndpoint> endpoints);

}  // namespace penstock::protocol
