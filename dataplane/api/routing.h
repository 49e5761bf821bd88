// RoutingImage: which topics exist, where their partitions live, and the topic settings that the fast path needs.
// Immutable. Control builds one for each change (topics are shared between images), lcores read it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "protocol/record_batch.h"
#include "protocol/types.h"
#include "storage/api/types.h"

namespace penstock::dataplane {

struct PartitionRoute {
  storage::LogId log;
  uint16_t lcore = 0;        // owner of the log
  LeaderEpoch leader_epoch;  // stamped into each batch
};

// What a topic's compression.type asks for, if it is not the producer's choice.
struct StoredCodec {
  protocol::Compression codec{};
  int level = 0;
};

struct TopicRoute {
  std::string name;
  Uuid id;
  bool is_internal = false;                // clients may not produce to it
  int64_t max_message_bytes = 1'048'588;   // topic config max.message.bytes
  bool is_compacted = false;               // cleanup.policy names compact: each record needs a key
  std::optional<StoredCodec> stored_as{};  // topic configs compression.type and compression.*.level
  std::vector<PartitionRoute> partitions;  // by partition index
};

// What clients of a listener are told to connect to: a name or a numeric address without brackets.
struct AdvertisedAddress {
  std::string host;
  uint16_t port = 0;
};

// Where a broker's clients reach it.
struct NodeAddresses {
  std::vector<AdvertisedAddress> by_listener;
  std::string rack{};  // empty: none
};

class RoutingImage {
 public:
  using TopicPtr = std::shared_ptr<const TopicRoute>;

  uint64_t revision = 0;
  BrokerId node_id{0};                                       // this broker, which leads all partitions of the image
  std::shared_ptr<const NodeAddresses> addresses = nullptr;  // its own, for leader hints (KIP-951); null: not known
  std::unordered_map<std::string_view, TopicPtr> by_name;    // keys point into the topics
  std::map<Uuid, TopicPtr> by_id;

  const TopicRoute* find(std::string_view name) const {
    const auto it = by_name.find(name);
    return it == by_name.end() ? nullptr : it->second.get();
  }
  const TopicRoute* find(const Uuid& id) const {
    const auto it = by_id.find(id);
    return it == by_id.end() ? nullptr : it->second.get();
  }
  void insert(TopicPtr topic) {
    by_id[topic->id] = topic;
    const std::string_view key = topic->name;
    by_name[key] = std::move(topic);
  }
};

}  // namespace penstock::dataplane
