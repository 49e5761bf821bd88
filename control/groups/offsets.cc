#include "control/groups/offsets.h"

#include <utility>

namespace penstock::control::groups {
namespace {

constexpr size_t kOverhead = 200;  // of an entry, with its place in the maps

}  // namespace

size_t OffsetTable::bytes_of(std::string_view topic, const Value& value) {
  return kOverhead + topic.size() + value.metadata.size();
}

const OffsetTable::Value* OffsetTable::find(std::string_view topic, int32_t partition) const {
  const auto of_topic = topics_.find(topic);
  if (of_topic == topics_.end()) return nullptr;
  const auto found = of_topic->second.find(partition);
  return found == of_topic->second.end() ? nullptr : &found->second;
}

void OffsetTable::put(const std::string& topic, int32_t partition, const Value& value) {
  auto& of_topic = topics_[topic];
  const auto [place, is_new] = of_topic.try_emplace(partition);
  if (is_new) {
    ++count_;
  } else {
    bytes_ -= bytes_of(topic, place->second);
  }
  place->second = value;
  bytes_ += bytes_of(topic, value);
}

void OffsetTable::erase(std::string_view topic, int32_t partition) {
  const auto of_topic = topics_.find(topic);
  if (of_topic == topics_.end()) return;
  const auto found = of_topic->second.find(partition);
  if (found == of_topic->second.end()) return;
  bytes_ -= bytes_of(topic, found->second);
  --count_;
  of_topic->second.erase(found);
  if (of_topic->second.empty()) topics_.erase(of_topic);
}

std::vector<protocol::OffsetCommitKey> OffsetTable::select(
    const std::string& group, const std::function<bool(const std::string& topic, const Value& value)>& wanted) const {
  std::vector<protocol::OffsetCommitKey> keys;
  for (const auto& [topic, partitions] : topics_) {
    for (const auto& [partition, value] : partitions) {
      if (wanted(topic, value)) keys.push_back({.group = group, .topic = topic, .partition = partition});
    }
  }
  return keys;
}

std::vector<protocol::OffsetCommitKey> OffsetTable::of_topics(const std::string& group,
                                                              const std::set<std::string_view>& topics) const {
  std::vector<protocol::OffsetCommitKey> keys;
  const auto add = [&](const auto& of_topic) {
    for (const auto& [partition, value] : of_topic.second) {
      keys.push_back({.group = group, .topic = of_topic.first, .partition = partition});
    }
  };
  if (topics.size() < topics_.size()) {
    for (const std::string_view topic : topics) {
      if (const auto found = topics_.find(topic); found != topics_.end()) add(*found);
    }
  } else {
    for (const auto& of_topic : topics_) {
      if (topics.contains(of_topic.first)) add(of_topic);
    }
  }
  return keys;
}

GroupRecord commit_record(const std::string& group, const std::string& topic, int32_t partition,
                          OffsetTable::Value value) {
  return make_record(protocol::OffsetCommitKey{.group = group, .topic = topic, .partition = partition},
                     std::move(value));
}

}  // namespace penstock::control::groups
