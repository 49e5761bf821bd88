#include "dataplane/kafka/fetch.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>
#include <variant>

#include "dataplane/kafka/route.h"
#include "protocol/api.h"

namespace penstock::dataplane {
namespace {

constexpr int32_t kNewSession = 0;  // epochs
constexpr int32_t kWithoutSession = -1;
constexpr int8_t kReadCommitted = 1;

bool names_too_many(const protocol::FetchRequestView& view) {
  return std::max({view.topics_count(), view.partitions_count(), view.forgotten_topics_count(),
                   view.forgotten_partitions_count()}) > kRequestPartitionsMax;
}

// Views of the image. Nothing: the address is not known.
std::optional<protocol::NodeEndpoint> leader_endpoint(const RoutingImage& image, uint16_t listener) {
  if (image.addresses == nullptr || listener >= image.addresses->by_listener.size()) return std::nullopt;
  const AdvertisedAddress& address = image.addresses->by_listener[listener];
  const std::string& rack = image.addresses->rack;
  return protocol::NodeEndpoint{.node_id = image.node_id.value(),
                                .host = address.host,
                                .port = address.port,
                                .rack = rack.empty() ? std::nullopt : std::optional<std::string_view>(rack)};
}

}  // namespace

FetchHandler::State FetchHandler::begin(Broker& broker, const Request& request, ConnectionId who) {
  auto view =
      protocol::FetchRequestView::parse(request.chain, request.body_at, request.body_bytes, request.api_version);
  if (!view || names_too_many(*view)) return State::kMalformed;
  const protocol::FetchParameters& parameters = view->parameters();
  who_ = who;
  version_ = request.api_version;
  correlation_id_ = request.correlation_id;
  listener_ = request.listener;
  max_bytes_ = static_cast<uint64_t>(std::clamp<int64_t>(parameters.max_bytes, 0, broker.options.fetch_max_bytes));
  // More than fits can never come: Kafka waits for no more than the answer may hold.
  min_bytes_ = static_cast<int32_t>(std::min<int64_t>(parameters.min_bytes, static_cast<int64_t>(max_bytes_)));
  read_committed_ = parameters.isolation_level == kReadCommitted;
  deadline_ = broker.now + std::max(parameters.max_wait_ms, 0) * kMillisecond;
  topics_.clear();
  partitions_.clear();
  if (const ErrorCode error = enter_session(broker, *view); error != ErrorCode::kNone) {
    broker.counters.add(Metric::fetch_sessions_refused);
    topics_.clear();
    partitions_.clear();
    session_id_ = 0;
    encode_answer(broker, error);
    return State::kDone;
  }
  return go_on(broker);
}

// As Kafka's FetchManager.newContext: epoch 0 begins a session, -1 does without, any other goes on with one.
ErrorCode FetchHandler::enter_session(Broker& broker, protocol::FetchRequestView& view) {
  const int32_t epoch = view.parameters().session_epoch;
  const int32_t id = view.parameters().session_id;
  if (epoch == kNewSession || epoch == kWithoutSession) {
    if (id != 0) broker.sessions.remove(id);
    copy_request(view);
    if (epoch == kNewSession) make_session(broker);
    broker.counters.set(Metric::fetch_sessions, broker.sessions.count());
    return ErrorCode::kNone;
  }
  FetchSession* session = broker.sessions.find(id);
  if (session == nullptr) return ErrorCode::kFetchSessionIdNotFound;
  if (session->epoch() != epoch) return ErrorCode::kInvalidFetchSessionEpoch;
  if (session->uses_topic_ids() != (version_ >= protocol::kFetchTopicIds)) return ErrorCode::kFetchSessionTopicIdError;
  const ErrorCode error = update_session(broker, *session, view);
  broker.counters.set(Metric::fetch_sessions, broker.sessions.count());
  return error;
}

ErrorCode FetchHandler::update_session(Broker& broker, FetchSession& session, protocol::FetchRequestView& view) {
  const int32_t id = view.parameters().session_id;
  while (const auto topic = view.next_topic()) {
    const std::string name(topic->name);
    while (const auto partition = view.next_partition()) {
      const bool there =
          broker.sessions.put(session, {name, topic->id},
                              {.index = partition->index,
                               .from = partition->fetch_offset,
                               .max_bytes = static_cast<uint64_t>(std::max(partition->partition_max_bytes, 0)),
                               .current_epoch = partition->current_leader_epoch.value(),
                               .last_fetched_epoch = partition->last_fetched_epoch.value()});
      if (there) continue;
      broker.sessions.remove(id);  // the client makes a new one
      return ErrorCode::kFetchSessionIdNotFound;
    }
  }
  while (const auto topic = view.next_forgotten_topic()) {
    const std::string name(topic->name);
    while (const auto partition = view.next_forgotten_partition())
      broker.sessions.forget(session, {name, topic->id}, *partition);
  }
  if (session.partitions().empty()) {  // Kafka: that ends it
    broker.sessions.remove(id);
    return ErrorCode::kNone;
  }
  session_id_ = id;
  incremental_ = true;
  broker.sessions.advance(id, session, broker.now);
  copy_session(session);
  return ErrorCode::kNone;
}

// Runs of one topic become one.
void FetchHandler::copy_session(const FetchSession& session) {
  const FetchTopicKey* last = nullptr;
  for (const FetchSession::Partition& there : session.partitions()) {
    if (std::exchange(last, there.topic) != there.topic) topics_.push_back({there.topic->name, there.topic->id, 0});
    ++topics_.back().partitions_count;
    partitions_.push_back({.index = there.index,
                           .told_high_watermark = there.high_watermark,
                           .told_log_start_offset = there.log_start_offset,
                           .look = {.from = there.from,
                                    .max_bytes = there.max_bytes,
                                    .current_epoch = there.current_epoch,
                                    .last_fetched_epoch = there.last_fetched_epoch}});
  }
}

// A name that no topic can have is answered as unknown, and not kept: such a client gets no session.
void FetchHandler::make_session(Broker& broker) {
  if (std::ranges::any_of(topics_, [](const Topic& topic) { return topic.name.size() > kTopicNameMax; })) return;
  session_id_ = broker.sessions.make(broker.now, version_ >= protocol::kFetchTopicIds, partitions_.size());
  FetchSession* session = broker.sessions.find(session_id_);
  if (session == nullptr) return;
  auto partition = partitions_.cbegin();
  for (const Topic& topic : topics_) {
    for (uint32_t i = 0; i < topic.partitions_count; ++i, ++partition) {
      const Look& look = partition->look;
      broker.sessions.put(*session, {topic.name, topic.id},
                          {.index = partition->index,
                           .from = look.from,
                           .max_bytes = look.max_bytes,
                           .current_epoch = look.current_epoch,
                           .last_fetched_epoch = look.last_fetched_epoch});
    }
  }
}

// Whether the answer must speak of it (CachedPartition.maybeUpdateResponseData).
bool FetchHandler::is_news(const Partition& partition) const {
  const Look& look = partition.look;
  return !incremental_ || look.cursor.remaining > 0 || look.error != ErrorCode::kNone || look.diverging.has_value() ||
         look.offsets.durable.value() != partition.told_high_watermark ||
         look.offsets.log_start_offset.value() != partition.told_log_start_offset;
}

void FetchHandler::remember_told(Broker& broker) {
  FetchSession* session = session_id_ == 0 ? nullptr : broker.sessions.find(session_id_);
  if (session == nullptr) return;
  auto partition = partitions_.cbegin();
  for (const Topic& topic : topics_) {
    for (uint32_t i = 0; i < topic.partitions_count; ++i, ++partition) {
      const Look& look = partition->look;
      if (!is_news(*partition)) continue;
      // An error that is over is news again.
      const int64_t high_watermark = look.error == ErrorCode::kNone ? look.offsets.durable.value() : -1;
      broker.sessions.told(*session, {topic.name, topic.id}, partition->index, high_watermark,
                           look.offsets.log_start_offset.value(), look.cursor.remaining > 0);
    }
  }
}

void FetchHandler::copy_request(protocol::FetchRequestView& view) {
  topics_.reserve(view.topics_count());
  partitions_.reserve(view.partitions_count());
  while (const auto topic = view.next_topic()) {
    topics_.push_back({std::string(topic->name), topic->id, topic->partitions_count});
    while (const auto partition = view.next_partition()) {
      partitions_.push_back({.index = partition->index,
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
    encode_answer(broker, ErrorCode::kNone);
    remember_told(broker);
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

// As KafkaApis.handleFetchRequest since KIP-951: from version 16 on, though the field is there from 12 on. Its other
// error, NOT_LEADER_OR_FOLLOWER, no lcore answers: all partitions of an image are led here.
bool FetchHandler::names_leader(const Look& look) const {
  return version_ >= protocol::kFetchLeaderHints && look.error == ErrorCode::kFencedLeaderEpoch;
}

void FetchHandler::encode_answer(const Broker& broker, ErrorCode error) {
  const auto news_of = [this](std::span<const Partition> partitions) {
    return static_cast<uint32_t>(std::ranges::count_if(partitions, [this](const auto& p) { return is_news(p); }));
  };
  const auto each_topic = [this](auto&& visit) {
    std::span<const Partition> rest(partitions_);
    for (const Topic& topic : topics_) {
      visit(topic, rest.first(topic.partitions_count));
      rest = rest.subspan(topic.partitions_count);
    }
  };
  answer_ = Response(static_cast<int16_t>(ApiKey::kFetch), version_, correlation_id_);
  protocol::FetchResponseWriter writer(answer_.bytes(), version_);
  uint32_t topics = 0;
  bool named_leader = false;
  each_topic([&](const Topic&, auto partitions) { topics += !incremental_ || news_of(partitions) > 0 ? 1 : 0; });
  writer.begin(0, error, session_id_, topics);
  each_topic([&](const Topic& topic, auto partitions) {
    const uint32_t count = news_of(partitions);
    if (incremental_ && count == 0) return;
    writer.topic(topic.name, topic.id, count);
    named_leader = encode_topic(broker, writer, partitions) || named_leader;
  });
  const auto leader = named_leader ? leader_endpoint(*broker.image, listener_) : std::nullopt;
  writer.end(leader ? std::span(&*leader, 1) : std::span<const protocol::NodeEndpoint>{});
  answer_.finish();
}

// True: a partition's leader was named.
bool FetchHandler::encode_topic(const Broker& broker, protocol::FetchResponseWriter& writer,
                                std::span<const Partition> partitions) {
  bool named_leader = false;
  for (const Partition& partition : partitions) {
    if (!is_news(partition)) continue;
    const Look& look = partition.look;
    protocol::FetchResult result{.partition = partition.index,
                                 .error = look.error,
                                 .high_watermark = look.offsets.durable.value(),
                                 .last_stable_offset = look.offsets.durable.value(),
                                 .log_start_offset = look.offsets.log_start_offset.value(),
                                 .diverging_epoch = {},
                                 .current_leader = {},
                                 .snapshot_id = {},
                                 .aborted_transactions = std::nullopt};
    if (look.diverging)
      result.diverging_epoch = {.epoch = look.diverging->epoch.value(), .end_offset = look.diverging->end.value()};
    if (names_leader(look)) {
      result.current_leader = {.leader_id = broker.image->node_id.value(), .leader_epoch = look.leader_epoch.value()};
      named_leader = true;
    }
    if (read_committed_) result.aborted_transactions.emplace();
    const size_t at = writer.partition(result, look.cursor.remaining);
    answer_.add_records(at, look.cursor, partition.lcore);
  }
  return named_leader;
}

}  // namespace penstock::dataplane
