#include "control/cli/cluster.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>

#include "control/cli/error.h"
#include "protocol/gen/create_topics.h"
#include "protocol/gen/delete_topics.h"
#include "protocol/gen/list_offsets.h"

namespace penstock::cli {
namespace {

// Leaders of a new topic may take a moment; clients poll as Kafka's do.
constexpr Nanos kLeaderWait = 10 * kSecond;
constexpr auto kLeaderPoll = std::chrono::milliseconds(20);

int32_t milliseconds(Nanos t) { return static_cast<int32_t>(std::min<Nanos>(t / kMillisecond, INT32_MAX)); }

}  // namespace

Cluster::Cluster(Clock& clock, const BrokerOptions& options)
    : clock_(clock),
      options_(options),
      device_(options.nic.device.empty() ? nullptr : options.nic.open(options.nic, options.timeout)),
      transport_(device_ ? *device_ : kernel_transport()),
      bootstrap_(clock, options.bootstrap, options.timeout, options.ends_at_interrupt, transport_) {}

std::vector<Endpoint> Cluster::addresses() const {
  std::vector<Endpoint> out;
  for (const auto& [id, address] : addresses_) out.push_back(address);
  return out;
}

KafkaClient& Cluster::broker(int32_t id) {
  const auto address = addresses_.find(id);
  if (address == addresses_.end()) {
    throw CliError(kExitFailed, fmt::format("{} names no address for broker {}", bootstrap_.endpoint().text(), id));
  }
  if (address->second == bootstrap_.endpoint()) return bootstrap_;
  const auto found = brokers_.find(id);
  if (found != brokers_.end()) return found->second;
  return brokers_.try_emplace(id, clock_, address->second, options_.timeout, options_.ends_at_interrupt, transport_)
      .first->second;
}

protocol::MetadataResponse Cluster::metadata(const std::string* topic, bool may_create) {
  protocol::MetadataRequest request;
  request.allow_auto_topic_creation = may_create;
  if (topic == nullptr) {
    request.topics = std::nullopt;
  } else {
    request.topics.emplace().emplace_back().name = *topic;
  }
  auto response = bootstrap_.call<protocol::MetadataResponse>(request);
  for (const auto& broker : response.brokers) {
    addresses_[broker.node_id] = {broker.host, static_cast<uint16_t>(broker.port)};
  }
  return response;
}

FoundTopic Cluster::find(const std::string& name, bool may_create) {
  const auto response = metadata(&name, may_create);
  if (response.topics.size() != 1) {
    throw CliError(kExitFailed,
                   fmt::format("the broker answered for {} topics instead of {}", response.topics.size(), name));
  }
  const auto& found = response.topics.front();
  FoundTopic out{.error = found.error_code, .topic = {name, found.topic_id, {}}};
  out.led = found.error_code == ErrorCode::kNone && !found.partitions.empty();
  for (const auto& partition : found.partitions) {
    out.topic.partitions.push_back({partition.partition_index, partition.leader_id});
    out.led = out.led && partition.leader_id >= 0;
  }
  std::ranges::sort(out.topic.partitions, {}, &Partition::index);
  return out;
}

Topic Cluster::topic(const std::string& name, bool may_create) {
  const Nanos deadline = clock_.monotonic() + kLeaderWait;
  for (;;) {
    FoundTopic found = find(name, may_create);
    if (found.error != ErrorCode::kLeaderNotAvailable) check_error(found.error, "topic " + name);
    if (found.led) return std::move(found.topic);
    if (clock_.monotonic() > deadline) {
      throw CliError(kExitFailed, fmt::format("topic {} has partitions without a leader", name));
    }
    std::this_thread::sleep_for(kLeaderPoll);
  }
}

bool Cluster::topic_exists(const std::string& name) {
  const auto response = metadata(&name);
  if (response.topics.empty()) return false;
  const ErrorCode error = response.topics.front().error_code;
  if (error == ErrorCode::kUnknownTopicOrPartition) return false;
  if (error != ErrorCode::kLeaderNotAvailable) check_error(error, "topic " + name);
  return true;
}

void Cluster::create(const TopicWish& wish) {
  protocol::CreateTopicsRequest request;
  request.timeout_ms = milliseconds(options_.timeout);
  auto& topic = request.topics.emplace_back();
  topic.name = wish.name;
  topic.num_partitions = wish.partitions;
  topic.replication_factor = wish.replication_factor;
  for (const auto& [key, value] : wish.configs) topic.configs.push_back({key, value});
  const auto response = bootstrap_.call<protocol::CreateTopicsResponse>(request);
  const std::string what = fmt::format("cannot create topic {}", wish.name);
  if (response.topics.size() != 1) throw CliError(kExitFailed, what + ": the broker's answer does not name it");
  check_error(response.topics[0].error_code, what, response.topics[0].error_message.value_or(""));
}

void Cluster::remove(const std::string& name) {
  protocol::DeleteTopicsRequest request;
  request.timeout_ms = milliseconds(options_.timeout);
  const bool by_state = bootstrap_.versions().pick<protocol::DeleteTopicsRequest>() >= 6;  // KIP-516
  if (by_state) {
    request.topics.emplace_back().name = name;
  } else {
    request.topic_names = {name};
  }
  const auto response = bootstrap_.call<protocol::DeleteTopicsResponse>(request);
  const std::string what = fmt::format("cannot delete topic {}", name);
  if (response.responses.size() != 1) throw CliError(kExitFailed, what + ": the broker's answer does not name it");
  check_error(response.responses[0].error_code, what, response.responses[0].error_message.value_or(""));
}

std::vector<int64_t> Cluster::list_offsets(const Topic& topic, int64_t timestamp) {
  std::map<int32_t, protocol::ListOffsetsRequest> requests;  // by leader
  for (const Partition& partition : topic.partitions) {
    auto& request = requests[partition.leader];
    if (request.topics.empty()) {
      request.replica_id = -1;
      request.timeout_ms = milliseconds(options_.timeout);
      request.topics.emplace_back().name = topic.name;
    }
    auto& wanted = request.topics[0].partitions.emplace_back();
    wanted.partition_index = partition.index;
    wanted.timestamp = timestamp;
  }
  std::map<int32_t, int64_t> offsets;  // by partition index
  for (const auto& [leader, request] : requests) {
    const auto response = broker(leader).call<protocol::ListOffsetsResponse>(request);
    for (const auto& answered : response.topics) {
      for (const auto& partition : answered.partitions) {
        check_error(partition.error_code, fmt::format("offsets of {}-{}", topic.name, partition.partition_index));
        offsets[partition.partition_index] = partition.offset;
      }
    }
  }
  std::vector<int64_t> out;
  for (const Partition& partition : topic.partitions) {
    const auto found = offsets.find(partition.index);
    if (found == offsets.end()) {
      throw CliError(kExitFailed, fmt::format("the broker gave no offset of {}-{}", topic.name, partition.index));
    }
    out.push_back(found->second);
  }
  return out;
}

}  // namespace penstock::cli
