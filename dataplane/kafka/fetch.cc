#include "dataplane/kafka/fetch.h"

#include <algorithm>
#include <utility>
#include <variant>

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
      partitions_.push_back(
          {.index = partition->index,
           .look = {.from = partition->fetch_offset,
                    .max_bytes = static_cast<uint64_t>(std::max(partition->partition_max_bytes, 0)),
                    .current_epoch = partition->current_leader_epoch.value(),
                    .last_fetched_epoch = partition->last_fetched_epoch.value()}});
    }
  }
}

// life: 14
FetchHandler::State FetchHandler::go_on(Broker& broker) {
  if (away_ > 0) return State::kReading;
  route_all(broker);
  for (;;) {
    note_moved();
    if (ask_owners(broker)) return State::kReading;
    const Found found = look(broker);
    const bool may_wait =
        !partitions_.empty() && (wait_.has_value() || broker.wakeups.has_room_to_park(partitions_.size()));
    if (may_wait && !answers_now(found, broker.now)) {
      // The owners are asked again if they have not been told to watch.
      if (!park(broker, found)) continue;
      return found.any_pending ? State::kReading : State::kParked;
    }
    wait_.reset();
    broker.counters.add(Metric::reads_refused_damaged, found.damaged);
    encode_answer(ErrorCode::kNone);
    return State::kDone;
  }
}

// Where the partitions are, as the image says; anew when that has changed.
void FetchHandler::route_all(Broker& broker) {
  if (routed_in_ == broker.image->revision) return;
  routed_in_ = broker.image->revision;
  owners_.clear();
  number_ = broker.next_number();
  const bool by_id = version_ >= protocol::kFetchTopicIds;
  const ErrorCode missing = by_id ? ErrorCode::kUnknownTopicId : ErrorCode::kUnknownTopicOrPartition;
  auto partition = partitions_.begin();
  for (const Topic& topic : topics_) {
    const TopicRoute* route = by_id ? broker.image->find(topic.id) : broker.image->find(topic.name);
    for (uint32_t i = 0; i < topic.partitions_count; ++i, ++partition) {
      Look& look = partition->look;
      const Route to = find_route(route, missing, partition->index.value());
      look.settled = look.pending = false;
      look.cursor = {};
      look.offsets = {Offset{-1}, Offset{-1}, Offset{-1}};
      look.error = to.error;
      partition->is_routed = to.partition != nullptr;
      if (!partition->is_routed) continue;
      look.log = to.partition->log;
      look.leader_epoch = to.partition->leader_epoch;
      partition->lcore = to.partition->lcore;
      if (partition->lcore != broker.lcore) owner_of(*partition);
    }
  }
}

FetchHandler::Owner& FetchHandler::owner_of(const Partition& partition) {
  const auto found = std::ranges::find(owners_, partition.lcore, &Owner::lcore);
  return found != owners_.end() ? *found : owners_.emplace_back(Owner{.lcore = partition.lcore});
}

// True: somebody was asked.
bool FetchHandler::ask_owners(Broker& broker) {
  for (Owner& owner : owners_) {
    if (std::exchange(owner.due, false)) ask(broker, owner);
  }
  return away_ > 0;
}

void FetchHandler::ask(Broker& broker, Owner& owner) {
  LookPart part;
  if (owner.parcel != nullptr) {
    part = std::move(std::get<LookPart>(owner.parcel->part));
  } else {
    for (size_t i = 0; i < partitions_.size(); ++i) {
      Partition& partition = partitions_[i];
      if (!partition.is_routed || partition.lcore != owner.lcore) continue;
      partition.place = part.items.size();
      part.items.push_back({.place = i, .look = partition.look});
    }
  }
  part.max_bytes = max_bytes_;
  part.watch = wait_.has_value();
  broker.send_part(owner.lcore, who_, number_, std::move(part));
  owner.parcel = nullptr;
  owner.away = true;
  ++away_;
}

void FetchHandler::home(ParcelPtr parcel) {
  const auto* part = std::get_if<LookPart>(&parcel->part);
  if (part == nullptr || parcel->number != number_ || part->items.empty()) return;
  Owner& owner = owner_of(partitions_[part->items.front().place]);
  owner.parcel = std::move(parcel);
  owner.away = false;
  --away_;
}

// Who said that a log has moved is asked again.
void FetchHandler::note_moved() {
  if (!wait_ || owners_.empty()) return;
  for (size_t i = 0; i < waits_for_.size(); ++i) {
    if (!wait_->take_moved(i)) continue;
    const auto owner = std::ranges::find(owners_, partitions_[waits_for_[i]].lcore, &Owner::lcore);
    if (owner != owners_.end()) owner->due = true;
  }
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
  for (Partition& partition : partitions_) keep_settled(broker.store, partition.look, budget);
  for (Partition& partition : partitions_) {
    Look& look = partition.look;
    if (partition.is_routed && partition.lcore != broker.lcore) {
      join(partition, look, budget);
    } else if (partition.is_routed && !look.settled) {
      look_at(broker.store, look, budget);
    }
    found.bytes += look.cursor.remaining;
    if (!look.cursor.cold) found.tail_bytes += look.cursor.remaining;
    found.any_error = found.any_error || look.error != ErrorCode::kNone || look.diverging.has_value();
    found.any_pending = found.any_pending || look.pending;
    if (look.damaged) ++found.damaged;
  }
  return found;
}

// What its owner has found stays in the parcel, as it was; the answer takes what fits.
void FetchHandler::join(const Partition& partition, Look& look, Budget& budget) {
  const ParcelPtr& parcel = owner_of(partition).parcel;
  look = std::get<LookPart>(parcel->part).items[partition.place].look;
  trim_to(look, budget);
}

// False: the owners are due, since they do not watch for this wait.
bool FetchHandler::park(Broker& broker, const Found& found) {
  // Past the deadline it waits for the drive alone.
  const Nanos until = broker.now < deadline_ ? deadline_ : LogWait::kNoDeadline;
  if (wait_ && parked_revision_ == broker.image->revision && parked_until_ == until) return true;
  if (!wait_) broker.counters.add(found.any_pending ? Metric::reads_parked : Metric::fetches_parked);
  std::vector<storage::LogId> logs;
  logs.reserve(partitions_.size());
  waits_for_.clear();
  for (size_t i = 0; i < partitions_.size(); ++i) {
    if (!partitions_[i].is_routed || partitions_[i].look.error != ErrorCode::kNone) continue;
    logs.push_back(partitions_[i].look.log);
    waits_for_.push_back(i);
  }
  wait_.reset();
  wait_.emplace(broker.wakeups, who_, until, logs);
  parked_revision_ = broker.image->revision;
  parked_until_ = until;
  for (Owner& owner : owners_) owner.due = true;
  return owners_.empty();
}

void FetchHandler::encode_answer(ErrorCode error) {
  answer_ = Response(static_cast<int16_t>(ApiKey::kFetch), version_, correlation_id_);
  protocol::FetchResponseWriter writer(answer_.bytes(), version_);
  writer.begin(0, error, kNoSession, static_cast<uint32_t>(topics_.size()));
  auto partition = partitions_.cbegin();
  for (const Topic& topic : topics_) {
    writer.topic(topic.name, topic.id, topic.partitions_count);
    for (uint32_t i = 0; i < topic.partitions_count; ++i, ++partition) {
      const Look& look = partition->look;
      protocol::FetchResult result{.partition = partition->index,
                                   .error = look.error,
                                   .high_watermark = look.offsets.durable.value(),
                                   .last_stable_offset = look.offsets.durable.value(),
                                   .log_start_offset = look.offsets.log_start_offset.value(),
                                   .diverging_epoch = {},
                                   .current_leader = {},
                                   .snapshot_id = {},
                                   .aborted_transactions = std::nullopt};
      if (read_committed_) result.aborted_transactions.emplace();
      const size_t at = writer.partition(result, look.cursor.remaining);
      answer_.add_records(at, look.cursor, partition->lcore);
    }
  }
  writer.end();
  answer_.finish();
}

}  // namespace penstock::dataplane
