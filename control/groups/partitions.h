// Sets of partitions, by topic id: what a member shall have, and what it has with the epoch since which it has it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "protocol/types.h"

namespace penstock::control::groups {

// No topic is there without a partition.
using Assignment = std::map<Uuid, std::set<int32_t>>;
// Partition to the member epoch at which it was given (KIP-1251's assignment epoch).
using Holding = std::map<Uuid, std::map<int32_t, int32_t>>;

template <class Map>
bool has_partition(const Map& map, const Uuid& topic, int32_t partition) {
  const auto at = map.find(topic);
  return at != map.end() && at->second.contains(partition);
}

template <class Map>
size_t count_partitions(const Map& map) {
  size_t count = 0;
  for (const auto& [topic, partitions] : map) count += partitions.size();
  return count;
}

// The same for the same partitions, in either form; others give another one, but for chance.
template <class Map>
uint64_t fingerprint(const Map& map) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  const auto add = [&](uint64_t word) { hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL; };
  for (const auto& [topic, partitions] : map) {
    for (const uint8_t byte : topic.bytes) add(byte);
    for (const auto& partition : partitions) {
      if constexpr (requires { partition.first; }) {
        add(static_cast<uint32_t>(partition.first));
      } else {
        add(static_cast<uint32_t>(partition));
      }
    }
  }
  return hash;
}

// A message's list of {topic_id, partitions}.
template <class Entry, class Map>
std::vector<Entry> to_entries(const Map& map) {
  std::vector<Entry> entries;
  entries.reserve(map.size());
  for (const auto& [topic, partitions] : map) {
    Entry& entry = entries.emplace_back();
    entry.topic_id = topic;
    entry.partitions.reserve(partitions.size());
    for (const auto& partition : partitions) {
      if constexpr (requires { partition.first; }) {
        entry.partitions.push_back(partition.first);
      } else {
        entry.partitions.push_back(partition);
      }
    }
  }
  return entries;
}

template <class Entries>
Assignment to_assignment(const Entries& entries) {
  Assignment assignment;
  for (const auto& entry : entries) {
    if (!entry.partitions.empty()) assignment[entry.topic_id].insert(entry.partitions.begin(), entry.partitions.end());
  }
  return assignment;
}

}  // namespace penstock::control::groups
