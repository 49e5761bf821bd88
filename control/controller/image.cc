#include "control/controller/image.h"

#include <utility>

#include "base/assert.h"
#include "control/controller/topic_name.h"

namespace penstock::control {

TopicPtr make_topic(std::string name, TopicRecord record, Revision changed, const ImageDefaults& defaults) {
  auto route = std::make_shared<dataplane::TopicRoute>();
  route->name = name;
  route->id = record.id;
  route->is_internal = is_internal_topic(name);
  route->max_message_bytes = long_value(record.configs, defaults.configs, "max.message.bytes");
  route->stored_as = stored_codec(record.configs, defaults.configs);
  const storage::LogConfig config = log_config(record.configs, defaults.configs);
  route->is_compacted = config.compact;
  for (const PartitionRecord& partition : record.partitions) {
    route->partitions.push_back({.log = partition.log,
                                 .lcore = lcore_of(partition.ring, defaults.lcores),
                                 .leader_epoch = partition.leader_epoch});
  }
  return std::make_shared<const Topic>(Topic{.name = std::move(name),
                                             .record = std::move(record),
                                             .changed = changed,
                                             .log_config = config,
                                             .route = std::move(route)});
}

TopicPtr MetadataImage::find(std::string_view name) const {
  const auto found = topics_.find(name);
  return found == topics_.end() ? nullptr : found->second;
}

TopicPtr MetadataImage::find(const Uuid& id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : found->second;
}

void MetadataImage::insert(TopicPtr topic) {
  ++version_;
  partition_count_ += topic->record.partitions.size();
  by_id_.emplace(topic->record.id, topic);
  const bool inserted = topics_.emplace(topic->name, topic).second;
  CHECK(inserted);
}

void MetadataImage::erase(std::string_view name) {
  ++version_;
  const auto found = topics_.find(name);
  CHECK(found != topics_.end());
  partition_count_ -= found->second->record.partitions.size();
  by_id_.erase(found->second->record.id);
  topics_.erase(found);
}

void MetadataImage::replace(TopicPtr topic) {
  erase(topic->name);
  insert(std::move(topic));
}

std::shared_ptr<const dataplane::RoutingImage> MetadataImage::routing(
    Revision revision, BrokerId node, std::shared_ptr<const dataplane::NodeAddresses> addresses) const {
  auto image = std::make_shared<dataplane::RoutingImage>();
  image->revision = revision.value();
  image->node_id = node;
  image->addresses = std::move(addresses);
  image->by_name.reserve(topics_.size());
  for (const auto& [name, topic] : topics_) image->insert(topic->route);
  return image;
}

}  // namespace penstock::control
