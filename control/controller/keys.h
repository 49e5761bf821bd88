// The keys of the metadata store and what stands under them. Values are lines of text, so that the sqlite3 shell (or
// etcdctl) shows them; records.h reads and writes those of more than one word. docs/internals/metadata.md has examples.
//
//   cluster/id                 the cluster's id, made with the first start
//   folders/<id>               a data folder of this broker: where it was at the last start
//   brokers/<node.id>          a broker that runs: its listeners; bound to that broker's lease
//   rings/<node.id>/<ring>     how a ring of this broker was at its last start (ring_lives.h)
//   topics/<name>              TopicRecord
//   topic_ids/<id>             the name of the topic with this id
//   topic_claims/<name, . as _>  the name that holds it: a.b and a_b are one name to Kafka's metrics: only one may be
//   configs/<kind>/<name>        what clients set for brokers (<node.id>, or nothing for all), groups, client-metrics
//   next/log_id                  the first log id never given to a partition
//   next/producer_id             the first producer id in no block that was handed out
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "control/controller/uuid_text.h"

namespace penstock::control::keys {

inline constexpr std::string_view kClusterId = "cluster/id";
inline constexpr std::string_view kFolders = "folders/";
inline constexpr std::string_view kRings = "rings/";
inline constexpr std::string_view kTopics = "topics/";
inline constexpr std::string_view kConfigs = "configs/";
inline constexpr std::string_view kNextLogId = "next/log_id";
inline constexpr std::string_view kNextProducerId = "next/producer_id";

inline std::string folder(const Uuid& id) { return std::string(kFolders).append(to_text(id)); }
inline std::string broker(BrokerId node) { return "brokers/" + std::to_string(node.value()); }
inline std::string rings_of(BrokerId node) {
  return std::string(kRings).append(std::to_string(node.value())).append("/");
}
inline std::string topic(std::string_view name) { return std::string(kTopics).append(name); }
inline std::string topic_id(const Uuid& id) { return "topic_ids/" + to_text(id); }
inline std::string topic_claim(std::string_view name) {
  std::string key("topic_claims/");
  std::ranges::replace_copy(name, std::back_inserter(key), '.', '_');
  return key;
}

}  // namespace penstock::control::keys
