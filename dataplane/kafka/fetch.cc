#include "dataplane/kafka/fetch.h"

#include <algorithm>

#include "dataplane/kafka/route.h"
#include "protocol/api.h"

namespace penstock::dataplane {
namespace {

constexpr int32_t kNoSession = 0;
constexpr int8_t kReadCommitted = 1;

// A full fetch, which needs no session: epoch 0 asks for a new one, -1 for none.
bool is_full(const protocol::FetchParameters& parameters) {
  return parameters.session_epoch == 0 || parameters.session_epoch == -1;
}

}  // namespace

FetchHandler::State FetchHandler::begin(Broker& broker, const Request& request, ConnectionId who) {
  auto view =
      protocol::FetchRequestView::parse(request.chain, request.body_at, request.body_bytes, request.api_version);
  if (!view || view->partitions_count() > kRequestPartitionsMax || view->topics_count() > kRequestPartitionsMax)
    return State::kMalformed;
  const protocol::FetchParameters& parameters = view->parameters();
  who_ = who;
  version_ = request.api_version;
  correlation_id_ = request.correlation_id;
  max_bytes_ = static_cast<uint64_t>(std::clamp<int64_t>(parameters.max_bytes, 0, broker.options.fetch_max_bytes));
  // More than fits can never come: Kafka waits for no more than the answer may hold.
  min_bytes_ = static_cast<int32_t>(std::min<int64_t>(parameters.min_bytes, static_cast<int64_t>(max_bytes_)));
  read_committed_ = parameters.isolation_level == kReadCommitted;
  deadline_ = broker.now + std::max(parameters.max_wait_ms, 0) * kMillisecond;
  topics_.clear();
  partitions_.clear();
  if (!is_full(parameters)) {
    encode_answer(ErrorCode::kFetchSessionIdNotFound);
    return State::kDone;
  }
  copy_request(*view);
  return go_on(broker);
}

void FetchHandler::copy_request(protocol::FetchRequestView& view) {
  topics_.reserve(view.topics_count());
  partitions_.reserve(view.partitions_count());
  while (const auto topic = view.next_topic()) {
    topics_.push_back({std::string(topic->name), topic->id, topic->partitions_count});
    while (const auto partition = view.next_partition()) {
      partitions_.push_back({.index = partition->index,
                             .current_leader_epoch = partition->current_leader_epoch.value(),
                             .from = partition->fetch_offset,
                             .max_bytes = static_cast<uint64_t>(std::max(partition->partition_max_bytes, 0))});
    }
  }
}

// life: 14
FetchHandler::State FetchHandler::go_on(Broker& broker) {
  const Found found = look(broker);
  const bool enough = min_bytes_ <= 0 || found.bytes >= static_cast<uint64_t>(min_bytes_);
  const bool may_wait = broker.now < deadline_ && !partitions_.empty() &&
                        (wait_.has_value() || broker.wakeups.has_room_to_park(partitions_.size()));
  if (!enough && !found.any_error && may_wait) {
    park(broker);
    return State::kParked;
  }
  wait_.reset();
  encode_answer(ErrorCode::kNone);
  return State::kDone;
}

FetchHandler::Found FetchHandler::look(const Broker& broker) {
  Found found;
  uint64_t bytes_left = max_bytes_;
  bool nothing_yet = true;
  auto partition = partitions_.begin();
  for (const Topic& topic : topics_) {
    const bool by_id = version_ >= protocol::kFetchTopicIds;
    const TopicRoute* route = by_id ? broker.image->find(topic.id) : broker.image->find(topic.name);
    for (uint32_t i = 0; i < topic.partitions_count; ++i, ++partition) {
      look_at(broker, route, *partition, bytes_left, nothing_yet);
      found.bytes += partition->cursor.remaining;
      found.any_error = found.any_error || partition->error != ErrorCode::kNone;
    }
  }
  return found;
}

// The first partition that has anything gives a whole batch even if that is larger than every limit, so that a consumer
// always gets on; the others only what fits (KIP-74).
void FetchHandler::look_at(const Broker& broker, const TopicRoute* topic, Partition& partition, uint64_t& bytes_left,
                           bool& nothing_yet) {
  partition.cursor = {};
  partition.offsets = {Offset{-1}, Offset{-1}, Offset{-1}};
  const bool by_id = version_ >= protocol::kFetchTopicIds;
  const Route to = find_route(broker, topic, by_id ? ErrorCode::kUnknownTopicId : ErrorCode::kUnknownTopicOrPartition,
                              partition.index.value(), partition.current_leader_epoch);
  partition.error = to.error;
  if (to.error != ErrorCode::kNone) return;
  partition.log = to.partition->log;
  const auto offsets = broker.store.offsets(partition.log);
  if (!offsets) {
    partition.error = ErrorCode::kUnknownTopicOrPartition;
    return;
  }
  partition.offsets = *offsets;
  if (partition.from < offsets->log_start_offset || partition.from > offsets->log_end_offset) {
    partition.error = ErrorCode::kOffsetOutOfRange;
    return;
  }
  const uint64_t limit = std::min(partition.max_bytes, bytes_left);
  partition.cursor = broker.store.plan_read(partition.log, partition.from, limit, nothing_yet).cursor;
  if (partition.cursor.remaining > 0) nothing_yet = false;
  bytes_left -= std::min(bytes_left, partition.cursor.remaining);
}

void FetchHandler::park(Broker& broker) {
  if (wait_ && parked_revision_ == broker.image->revision) return;
  if (!wait_) broker.counters.add(Metric::fetches_parked);
  std::vector<storage::LogId> logs;
  logs.reserve(partitions_.size());
  for (const Partition& partition : partitions_) logs.push_back(partition.log);
  wait_.reset();
  wait_.emplace(broker.wakeups, who_, deadline_, logs);
  parked_revision_ = broker.image->revision;
}

void FetchHandler::encode_answer(ErrorCode error) {
  answer_ = Response(static_cast<int16_t>(ApiKey::kFetch), version_, correlation_id_);
  protocol::FetchResponseWriter writer(answer_.bytes(), version_);
  writer.begin(0, error, kNoSession, static_cast<uint32_t>(topics_.size()));
  auto partition = partitions_.cbegin();
  for (const Topic& topic : topics_) {
    writer.topic(topic.name, topic.id, topic.partitions_count);
    for (uint32_t i = 0; i < topic.partitions_count; ++i, ++partition) {
      protocol::FetchResult result{.partition = partition->index,
                                   .error = partition->error,
                                   .high_watermark = partition->offsets.durable.value(),
                                   .last_stable_offset = partition->offsets.durable.value(),
                                   .log_start_offset = partition->offsets.log_start_offset.value(),
                                   .diverging_epoch = {},
                                   .current_leader = {},
                                   .snapshot_id = {},
                                   .aborted_transactions = std::nullopt};
      if (read_committed_) result.aborted_transactions.emplace();
      const size_t at = writer.partition(result, partition->cursor.remaining);
      answer_.add_records(at, partition->cursor);
    }
  }
  writer.end();
  answer_.finish();
}

}  // namespace penstock::dataplane
