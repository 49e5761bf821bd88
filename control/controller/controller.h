// Controller: decides which topics there are and where their partitions live. A function of the metadata store and of
// what it is asked: no thread, no clock, no network. Whoever owns it tells the lcores what take_changes() returns.
//
// Order of a creation: commit (durable), then OpenLog, then the image, then the client's answer. Of a deletion: commit,
// the image, DropLog, the answer. A crash between any two leaves nothing wrong: the store says what lives, and the ring
// opens the logs that live and skips the others.
#pragma once

#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/prng.h"
#include "control/controller/config_values.h"
#include "control/controller/image.h"
#include "control/controller/kafka_config.h"
#include "control/metadata/store.h"
#include "control/types.h"
#include "protocol/error_code.h"

namespace penstock::control {

// Producer ids are taken from the store in blocks of this many, so that most requests write nothing. What is left of a
// block at a stop is never used.
inline constexpr uint64_t kProducerIdBlock = 1000;
// Kafka's bound for one CreateTopics request; also keeps a topic's record under the store's bound.
inline constexpr int64_t kPartitionsPerRequestMax = 10'000;

struct ReplicaAssignment {
  int32_t partition;
  std::vector<int32_t> brokers;
};

struct NewTopic {
  std::string name;
  int32_t partitions = -1;                       // -1: num.partitions
  int16_t replication_factor = -1;               // -1: default.replication.factor
  std::vector<ReplicaAssignment> assignments{};  // instead of the two numbers
  ConfigMap configs{};
};

struct TopicOutcome {
  ErrorCode error = ErrorCode::kNone;
  std::string message{};  // for the client, when there is an error
  TopicPtr topic{};       // created, or what would have been (then its id is zero), or deleted
};

inline TopicOutcome refused(ErrorCode error, std::string message) {
  return {.error = error, .message = std::move(message), .topic = nullptr};
}

// More partitions for a topic.
struct PartitionGrowth {
  std::string topic;
  int32_t count = 0;                                           // that there shall be, in all
  std::optional<std::vector<std::vector<int32_t>>> brokers{};  // of each new one
};

// What IncrementalAlterConfigs does to one config (Kafka: AlterConfigOp.OpType).
enum class ConfigOp : int8_t { kSet = 0, kDelete = 1, kAppend = 2, kSubtract = 3 };

struct ConfigChange {
  std::string name;
  ConfigOp op = ConfigOp::kSet;
  std::string value{};  // not of kDelete
};

struct ConfigAlteration {
  ConfigScope scope = ConfigScope::kTopic;
  std::string name{};  // of a broker: its id, or nothing for all
  std::vector<ConfigChange> changes{};
  bool replace = false;  // nothing of what was set stays (AlterConfigs)
  bool validate_only = false;
};

struct LogPlace {
  storage::LogId log;
  uint16_t ring;   // that has it
  uint16_t lcore;  // that hosts the ring
};

struct PlacedConfig {
  LogPlace place;
  storage::LogConfig config;
};

// What the lcores do not know yet.
struct ImageChange {
  std::vector<PlacedConfig> opened;
  std::vector<PlacedConfig> configured;  // logs that were there; their topics' settings may have changed
  std::shared_ptr<const dataplane::RoutingImage> image;  // nullptr: as it was
  std::vector<LogPlace> dropped;
  std::vector<std::string> deleted;  // names of topics
};

struct ControllerSettings {
  const BrokerOptions* options;
  ConfigMap settings;                                     // by Kafka's names: see BrokerConfigs
  std::set<std::string, std::less<>> read_at_start = {};  // Kafka's names that clients cannot change while it runs
  uint16_t lcores = 1;
  std::vector<uint16_t> rings = {0};  // that there are, or will be
};

class Controller {
 public:
  // Reads the store, or makes the cluster in an empty one. A failure is one line that says what to do.
  static std::expected<std::unique_ptr<Controller>, std::string> load(MetadataStore& store, Prng& prng,
                                                                      ControllerSettings settings,
                                                                      ControlCounters& counters);

  const MetadataImage& image() const { return image_; }
  const Uuid& cluster_id() const { return cluster_id_; }
  BrokerId node() const { return defaults_.node; }
  const BrokerOptions& options() const { return *settings_.options; }
  const BrokerConfigs& broker_configs() const { return broker_configs_; }
  // What clients set; not of topics. Empty if nothing was.
  const ConfigMap& stored_configs(ConfigScope scope, const std::string& name) const;
  std::vector<std::string> configured(ConfigScope scope) const;  // names of which something is stored
  // Whether clients may change it while the broker runs.
  bool is_dynamic(const ConfigInfo& broker_config) const;
  storage::LogId next_log_id() const { return storage::LogId{next_log_id_}; }
  std::vector<storage::LogToOpen> logs_of(uint16_t ring) const;
  // Those of all other rings: a ring's start leaves their files alone.
  std::set<storage::LogId> logs_not_of(uint16_t ring) const;
  LogPlace place_of(const PartitionRecord& partition) const {
    return {partition.log, partition.ring, lcore_of(partition.ring, settings_.lcores)};
  }
  // Its partitions are offline: it gets no new ones as long as there is another.
  void ring_failed(uint16_t ring) { failed_rings_.insert(ring); }
  const std::set<uint16_t>& failed_rings() const { return failed_rings_; }
  // A replica here that does not work.
  bool is_offline(const PartitionRecord& partition) const {
    return partition.leader == defaults_.node && failed_rings_.contains(partition.ring);
  }

  // One outcome a topic, in order; each is made or refused for itself.
  std::vector<TopicOutcome> create_topics(std::span<const NewTopic> topics, bool validate_only);
  std::vector<TopicOutcome> delete_topics(std::span<const std::string> names);
  // The same for topics that are there. Topics are named once.
  std::vector<TopicOutcome> create_partitions(std::span<const PartitionGrowth> growths, bool validate_only);
  // In force when this returns, on the lcores with the next changes. No config is named twice. The outcome has no
  // topic.
  TopicOutcome alter_configs(const ConfigAlteration& alteration);
  // Never handed out before, not even to another broker.
  Result<ProducerId> next_producer_id();

  // Where clients reach this broker, by listener: it is known once the ports are bound, and told to the lcores with the
  // next changes.
  void advertise(std::vector<AdvertisedAddress> by_listener);
  // Logs that the next take_changes() will name.
  size_t changes_waiting() const { return change_.opened.size() + change_.configured.size() + change_.dropped.size(); }
  // What changed since the last call. The first call gives the whole image.
  ImageChange take_changes();

 private:
  struct Counter {
    uint64_t value = 0;
    Revision changed;
  };
  struct StoredConfigs {
    ConfigMap configs;
    Revision changed;
  };
  using ConfigKey = std::pair<ConfigScope, std::string>;
  using Claims = std::map<std::string, std::string>;  // the key of a claim, and the topic that holds it
  using RingLogs = std::map<uint16_t, size_t>;        // how many logs a ring has
  struct Planned {
    size_t index;  // of the request
    std::string name;
    TopicRecord record;
    size_t bytes;  // of a transaction
  };

  Controller(MetadataStore& store, Prng& prng, ControllerSettings settings, ControlCounters& counters);

  std::expected<void, std::string> load_cluster();
  Result<Counter> read_counter(std::string_view key);
  // Makes the image what the store says; remembers which logs came and went.
  Result<void> read_topics();
  Result<void> read_configs();
  Result<void> read_again_if_unsure();

  TopicOutcome plan(const NewTopic& topic, const Claims& planned, RingLogs& ring_logs, TopicRecord& record) const;
  TopicOutcome check_name(const std::string& name, const Claims& planned) const;
  TopicOutcome check_assignments(const NewTopic& topic) const;
  TopicOutcome check_counts(const NewTopic& topic) const;
  static TopicOutcome check_size(const std::string& name, const TopicRecord& record);
  void assign(TopicRecord& record, size_t partitions, RingLogs& ring_logs) const;

  void create_planned(std::span<Planned> batch, std::vector<TopicOutcome>& outcomes);
  TopicOutcome plan_growth(const PartitionGrowth& growth, RingLogs& ring_logs, TopicRecord& record) const;
  TopicOutcome alter_topic(const ConfigAlteration& alteration);
  TopicOutcome alter_stored(const ConfigAlteration& alteration);
  TopicOutcome check_stored(const ConfigAlteration& alteration, const ConfigMap& configs) const;
  TopicOutcome check_broker_config(const std::string& name, const std::string& value) const;
  TopicOutcome check_group_configs(const ConfigMap& configs) const;
  // Its value where the resource itself has none.
  std::string default_text(ConfigScope scope, const ConfigInfo& info) const;
  TopicOutcome change(ConfigScope scope, const ConfigChange& change, ConfigMap& configs) const;
  // What all topics have that do not say: after broker configs changed.
  void renew_defaults();
  void replace(TopicPtr topic);

  void delete_batch(std::span<const TopicPtr> batch, std::span<TopicOutcome*> outcomes);
  // Commits; on failure every outcome says so.
  Result<Revision> commit(const Transaction& transaction, std::span<TopicOutcome*> outcomes);
  void add(TopicPtr topic);
  void remove(const TopicPtr& topic);

  MetadataStore& store_;
  Prng& prng_;
  const ControllerSettings settings_;
  BrokerConfigs broker_configs_;
  ImageDefaults defaults_;
  std::shared_ptr<const dataplane::NodeAddresses> addresses_;  // null: not known yet
  ControlCounters& counters_;
  Uuid cluster_id_;
  MetadataImage image_;
  Claims claims_;
  RingLogs ring_logs_;
  std::set<uint16_t> failed_rings_;
  std::map<ConfigKey, StoredConfigs> stored_configs_;
  uint64_t next_log_id_ = 0;
  Revision next_log_id_changed_;
  uint64_t next_producer_id_ = 0;
  uint64_t producer_ids_end_ = 0;  // of the block that next_producer_id_ is in
  bool unsure_ = false;            // a commit failed: the store may know more than the image
  bool image_changed_ = true;
  ImageChange change_;
};

}  // namespace penstock::control
