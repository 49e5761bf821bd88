// Values of the metadata store that have more than one word, as text: one fact a line, the first word says which.
//
//   topic 1                                    the record's version; a newer one is refused
//   id MkU3OEVBNTcwNTJENDM2Qg
//   partition 17 0 0 1 1 1                     log id, ring, leader epoch, leader, replicas (a,b,c), in-sync replicas
//   config max.message.bytes=2097152           only what its owner set; sorted
//
//   configs 1                                  what clients set for a broker, a group, client metrics
//   config log.retention.ms=3600000
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "control/controller/kafka_config.h"
#include "protocol/types.h"
#include "storage/api/types.h"

namespace penstock::control {

struct PartitionRecord {
  storage::LogId log{};
  uint16_t ring = 0;  // that has the log; it stays there
  LeaderEpoch leader_epoch{};
  BrokerId leader{};
  std::vector<BrokerId> replicas{};
  std::vector<BrokerId> in_sync{};
  friend bool operator==(const PartitionRecord&, const PartitionRecord&) = default;
};

struct TopicRecord {
  Uuid id;
  std::vector<PartitionRecord> partitions;  // by partition index
  ConfigMap configs;                        // canonical: no line breaks
  friend bool operator==(const TopicRecord&, const TopicRecord&) = default;
};

// Both: a line break in a name or value, or "=" in a name, is a bug of the caller.
std::string encode(const TopicRecord& record);
// kCorrupt: not such a record; kUnsupported: of a newer version. A config's value that has line breaks around it, which
// former versions stored, is read without them.
Result<TopicRecord> parse_topic_record(std::string_view text);
// The most that the creation of this topic takes of a transaction, whatever its log ids will be: the record, the claim
// on the name, the id, and their keys.
size_t transaction_bytes(std::string_view name, const TopicRecord& record);

std::string encode(const ConfigMap& configs);
Result<ConfigMap> parse_configs(std::string_view text);  // errors as above

// One line: the ring's id, and how often a broker had started with it.
std::string encode(const storage::RingLife& life);
Result<storage::RingLife> parse_ring_life(std::string_view text);  // kCorrupt: not such a line

// Decimal, nothing else. kCorrupt otherwise.
Result<uint64_t> parse_counter(std::string_view text);

}  // namespace penstock::control
