#include "dataplane/kafka/fetch.h"

#include <algorithm>
#include <utility>

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
  const bool may_wait =
      !partitions_.empty() && (wait_.has_value() || broker.wakeups.has_room_to_park(partitions_.size()));
  if (may_wait && !answers_now(found, broker.now)) {
    park(broker, found);
    return found.any_pending ? State::kReading : State::kParked;
  }
  wait_.reset();
  broker.counters.add(Metric::reads_refused_damaged, found.damaged);
  encode_answer(ErrorCode::kNone);
  return State::kDone;
}

bool FetchHandler::answers_now(const Found& found, Nanos now) const {
  const bool late = now >= deadline_;
  const auto wanted = static_cast<uint64_t>(std::max(min_bytes_, 0));
  if (!found.any_pending) return late || found.any_error || found.bytes >= wanted;
  if (found.tail_bytes > 0 && found.tail_bytes >= wanted) return true;
  return late && (found.any_error || found.bytes > 0);
}

FetchHandler::Found FetchHandler::look(Broker& broker) {
  Found found;
  Budget budget{.bytes_left = max_bytes_};
  keep_settled(broker, budget);
  auto partition = partitions_.begin();
  for (const Topic& topic : topics_) {
    const bool by_id = version_ >= protocol::kFetchTopicIds;
    const TopicRoute* route = by_id ? broker.image->find(topic.id) : broker.image->find(topic.name);
    for (uint32_t i = 0; i < topic.partitions_count; ++i, ++partition) {
      if (!partition->settled) look_at(broker, route, *partition, budget);
      found.bytes += partition->cursor.remaining;
      if (!partition->cursor.cold) found.tail_bytes += partition->cursor.remaining;
      found.any_error = found.any_error || partition->error != ErrorCode::kNone;
      found.any_pending = found.any_pending || partition->pending;
      if (partition->settled && partition->error != ErrorCode::kNone) ++found.damaged;
    }
  }
  return found;
}

// Settled partitions stay so unless their topic may have changed, or their records have gone; they take their part of
// the budget before all others.
void FetchHandler::keep_settled(const Broker& broker, Budget& budget) {
  const bool same_image = std::exchange(looked_revision_, broker.image->revision) == broker.image->revision;
  for (Partition& partition : partitions_) {
    if (!partition.settled) continue;
    const auto offsets = broker.store.offsets(partition.log);
    partition.settled = same_image && offsets && offsets->log_start_offset <= partition.from;
    if (!partition.settled) continue;
    partition.offsets = *offsets;
    if (partition.cursor.remaining > 0) budget.nothing_yet = false;
    budget.bytes_left -= std::min(budget.bytes_left, partition.cursor.remaining);
  }
}

void FetchHandler::look_at(Broker& broker, const TopicRoute* topic, Partition& partition, Budget& budget) {
  partition.cursor = {};
  partition.pending = false;
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
  plan(broker, partition, budget);
}

// The first partition that has anything gives a whole batch even if that is larger than every limit, so that a consumer
// always gets on; the others only what fits (KIP-74). What is being read counts as found: it takes its part of the
// budget, so that one request has no more read than it may be answered with.
void FetchHandler::plan(Broker& broker, Partition& partition, Budget& budget) {
  const uint64_t limit = std::min(partition.max_bytes, budget.bytes_left);
  if (limit == 0 && !budget.nothing_yet) return;
  const storage::ReadPlan plan = broker.store.plan_read(partition.log, partition.from, limit, budget.nothing_yet);
  uint64_t taken = 0;
  switch (plan.status) {
    case storage::ReadStatus::kReady:
      partition.cursor = plan.cursor;
      partition.settled = plan.cursor.cold && plan.cursor.remaining > 0;
      taken = plan.cursor.remaining;
      break;
    case storage::ReadStatus::kPending:
      partition.pending = true;
      budget.nothing_yet = false;
      taken = limit;
      break;
    case storage::ReadStatus::kDamaged:
      partition.error = ErrorCode::kKafkaStorageError;
      partition.settled = true;
      break;
    case storage::ReadStatus::kGone: {
      const auto offsets = broker.store.offsets(partition.log);
      partition.error = offsets ? ErrorCode::kOffsetOutOfRange : ErrorCode::kUnknownTopicOrPartition;
      if (offsets) partition.offsets = *offsets;
      break;
    }
  }
  if (partition.cursor.remaining > 0) budget.nothing_yet = false;
  budget.bytes_left -= std::min(budget.bytes_left, taken);
}

void FetchHandler::park(Broker& broker, const Found& found) {
  // Past the deadline it waits for the drive alone.
  const Nanos until = broker.now < deadline_ ? deadline_ : LogWait::kNoDeadline;
  if (wait_ && parked_revision_ == broker.image->revision && parked_until_ == until) return;
  if (!wait_) broker.counters.add(found.any_pending ? Metric::reads_parked : Metric::fetches_parked);
  std::vector<storage::LogId> logs;
  logs.reserve(partitions_.size());
  for (const Partition& partition : partitions_) {
    if (partition.error == ErrorCode::kNone) logs.push_back(partition.log);
  }
  wait_.reset();
  wait_.emplace(broker.wakeups, who_, until, logs);
  parked_revision_ = broker.image->revision;
  parked_until_ = until;
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
