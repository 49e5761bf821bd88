// The connections of a Producer: made, lost, and made again.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "control/cli/error.h"
#include "control/cli/records/producer.h"
#include "control/cli/records/progress.h"
#include "protocol/gen/produce.h"

namespace penstock::cli {
namespace {

constexpr size_t kAnswerMost = kMiB;
// Kafka's reconnect.backoff.ms and reconnect.backoff.max.ms.
constexpr Nanos kFirstPause = 50 * kMillisecond;
constexpr Nanos kLongestPause = kSecond;

// The first try comes at once: an idle connection may have been closed by a broker that is well.
Nanos pause_after(uint32_t failures) {
  if (failures <= 1) return 0;
  return std::min(kLongestPause, kFirstPause << std::min(failures - 2, 10u));
}

}  // namespace

// One for each leader; with an error, what was there stays.
void Producer::connect(Cluster& cluster, const Topic& topic) {
  std::vector<Connection> made;
  std::map<int32_t, size_t> places;  // of a leader's connection
  std::map<int32_t, size_t> by_partition;
  for (const Partition& partition : topic.partitions) {
    const auto [at, fresh] = places.try_emplace(partition.leader, made.size());
    by_partition[partition.index] = at->second;
    if (!fresh) continue;
    KafkaClient& broker = cluster.broker(partition.leader);
    Connection& connection = made.emplace_back();
    connection.link = std::make_unique<Link>(kernel_transport().connect(broker.endpoint(), options_.broker.timeout),
                                             broker.endpoint().text(), kAnswerMost);
    connection.version = broker.versions().pick<protocol::ProduceRequest>();
  }
  for (Lane& lane : lanes_) {
    const auto found = by_partition.find(lane.partition);
    if (found == by_partition.end())
      throw CliError(kExitFailed, fmt::format("topic {} has no partition {} any more", topic_, lane.partition));
    lane.connection = found->second;
  }
  connections_ = std::move(made);
  for (const Endpoint& address : cluster.addresses()) {
    if (std::ranges::find(brokers_, address) == brokers_.end()) brokers_.push_back(address);
  }
}

// Leaders may have moved with the one that is gone, so all connections go with it.
void Producer::lost(const ConnectionLost& why) {
  for (Lane& lane : lanes_) {
    if (!std::exchange(lane.in_flight, false)) continue;
    lane.sealed.front().unsure = true;
    lane.retry_at = 0;
  }
  connections_.clear();
  not_connected(why.what());
}

void Producer::over_connections(const std::function<void(Connection&)>& work) {
  try {
    for (Connection& connection : connections_) work(connection);
  } catch (const ConnectionLost& why) {
    lost(why);
  }
}

// If there is something to send. Asks the brokers that are known in turn.
void Producer::connect_again() {
  if (connected() || clock_.monotonic() < next_try_) return;
  if (std::ranges::all_of(lanes_, [](const Lane& lane) { return lane.sealed.empty(); })) return;
  BrokerOptions where = options_.broker;
  where.bootstrap = brokers_[(failures_ - 1) % brokers_.size()];
  try {
    Cluster cluster(clock_, where);
    const FoundTopic found = cluster.find(topic_);
    // Such errors are also what a broker answers that has just started.
    if (is_retriable(found.error)) return not_connected(fmt::format("topic {}: {}", topic_, to_string(found.error)));
    check_error(found.error, "topic " + topic_);
    if (!found.led) return not_connected(fmt::format("topic {} has partitions without a leader", topic_));
    if (found.topic.id != topic_id_) {
      throw CliError(kExitFailed, fmt::format("topic {} was deleted and made anew: {} records are not sent to it",
                                              topic_, unacknowledged()));
    }
    connect(cluster, found.topic);
  } catch (const CliError& error) {
    if (error.exit_code() != kExitUnreachable) throw;
    not_connected(error.what());
  }
}

void Producer::not_connected(const std::string& why) {
  ++failures_;
  next_try_ = clock_.monotonic() + pause_after(failures_);
  last_failure_ = why;
  // Once, until there is an answer again.
  if (failures_ != 2) return;
  say_line(fmt::format("penstock: waiting for the broker, {} s at most: {}",
                       static_cast<double>(options_.delivery_timeout) / kSecond, why));
}

void Producer::check_deadlines() const {
  const Nanos now = clock_.monotonic();
  for (const Lane& lane : lanes_) {
    if (lane.sealed.empty() || now <= lane.sealed.front().give_up_at) continue;
    give_up(fmt::format("not delivered within {} s: {}", static_cast<double>(options_.delivery_timeout) / kSecond,
                        last_failure_));
  }
}

void Producer::give_up(const std::string& what) const {
  throw CliError(kExitUnreachable, fmt::format("{}; {} records were acknowledged before, {} were not", what,
                                               totals_.records, unacknowledged()));
}

uint64_t Producer::unacknowledged() const {
  uint64_t n = 0;
  for (const Lane& lane : lanes_) {
    for (const Batch& batch : lane.sealed) n += static_cast<uint64_t>(batch.records);
    if (lane.open) n += static_cast<uint64_t>(lane.open->count());
  }
  return n;
}

}  // namespace penstock::cli
