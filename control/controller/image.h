// MetadataImage: all topics as control knows them, and the RoutingImage made of them for the lcores.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "control/controller/log_config.h"
#include "control/controller/records.h"
#include "control/metadata/store.h"
#include "dataplane/api/routing.h"

namespace penstock::control {

using dataplane::AdvertisedAddress;

struct Topic {
  std::string name;
  TopicRecord record;
  Revision changed;  // of its key in the store
  storage::LogConfig log_config;
  std::shared_ptr<const dataplane::TopicRoute> route;  // the same topic, as lcores see it
};
using TopicPtr = std::shared_ptr<const Topic>;

struct ImageDefaults {
  BrokerId node;
  ConfigMap configs;  // what topics have that do not say; BrokerConfigs::topic_defaults()
  uint16_t lcores = 1;
};

// The lcore that hosts a ring: another number of lcores needs no move of anything.
inline uint16_t lcore_of(uint16_t ring, uint16_t lcores) { return ring % lcores; }

// Makes the topic with its route.
TopicPtr make_topic(std::string name, TopicRecord record, Revision changed, const ImageDefaults& defaults);

class MetadataImage {
 public:
  using Topics = std::map<std::string, TopicPtr, std::less<>>;

  const Topics& topics() const { return topics_; }
  size_t partition_count() const { return partition_count_; }
  // Another one after each change.
  uint64_t version() const { return version_; }
  TopicPtr find(std::string_view name) const;
  TopicPtr find(const Uuid& id) const;

  void insert(TopicPtr topic);  // no topic of this name is there
  void erase(std::string_view name);
  void replace(TopicPtr topic);  // the topic of its name, changed

  // Routes are shared with the images before it.
  std::shared_ptr<const dataplane::RoutingImage> routing(
      Revision revision, BrokerId node, std::shared_ptr<const dataplane::NodeAddresses> addresses) const;

 private:
  Topics topics_;
  std::map<Uuid, TopicPtr> by_id_;
  size_t partition_count_ = 0;
  uint64_t version_ = 0;
};

}  // namespace penstock::control
