// What the client commands ask a cluster before they work: topics, who leads their partitions, where their logs begin
// and end. One KafkaClient for each broker that is spoken to.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "control/cli/client.h"
#include "control/cli/command.h"
#include "control/cli/transport.h"
#include "protocol/gen/metadata.h"
#include "protocol/types.h"

namespace penstock::cli {

// ListOffsets' special timestamps.
inline constexpr int64_t kLatest = -1;
inline constexpr int64_t kEarliest = -2;

struct Partition {
  int32_t index = 0;
  int32_t leader = -1;
};

struct Topic {
  std::string name;
  Uuid id;
  std::vector<Partition> partitions;  // by index
};

struct TopicWish {
  std::string name;
  int32_t partitions = -1;          // -1: the broker's default
  int16_t replication_factor = -1;  // -1: the broker's default
  std::vector<std::pair<std::string, std::string>> configs;
};

// A topic as a cluster sees it now.
struct FoundTopic {
  ErrorCode error = ErrorCode::kNone;
  Topic topic;
  bool led = false;  // it is there, and each of its partitions has a leader
};

class Cluster {
 public:
  Cluster(Clock& clock, const BrokerOptions& options);

  // Of all connections to it; the options name it.
  Transport& transport() { return transport_; }
  KafkaClient& bootstrap() { return bootstrap_; }
  // Of the brokers that metadata has named.
  std::vector<Endpoint> addresses() const;
  // A client of broker id, connected on first use. Throws CliError if metadata named no such broker.
  KafkaClient& broker(int32_t id);

  // One topic, or every topic; also remembers the brokers. may_create: the broker makes a missing one if its
  // auto.create.topics.enable says so.
  protocol::MetadataResponse metadata(const std::string* topic, bool may_create = false);

  FoundTopic find(const std::string& name, bool may_create = false);
  // The topic with a leader for each partition; waits for leaders a little. Throws CliError if it does not exist.
  Topic topic(const std::string& name, bool may_create = false);
  bool topic_exists(const std::string& name);
  // Throws CliError with the broker's reason.
  void create(const TopicWish& wish);
  void remove(const std::string& name);

  // By index of topic.partitions, asked of each leader. timestamp: kEarliest, kLatest, or milliseconds.
  std::vector<int64_t> list_offsets(const Topic& topic, int64_t timestamp);

 private:
  Clock& clock_;
  BrokerOptions options_;
  std::unique_ptr<Transport> device_;  // null: the kernel
  Transport& transport_;
  KafkaClient bootstrap_;
  std::map<int32_t, Endpoint> addresses_;
  std::map<int32_t, KafkaClient> brokers_;
};

}  // namespace penstock::cli
