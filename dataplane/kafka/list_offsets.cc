#include "dataplane/kafka/list_offsets.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "dataplane/kafka/route.h"
#include "protocol/api.h"
#include "protocol/codec.h"

namespace penstock::dataplane {
namespace {

// Timestamps that are not times, and the request version from which each is understood.
constexpr int64_t kLatest = -1;
constexpr int64_t kEarliest = -2;
constexpr int64_t kMaxTimestamp = -3;           // v7, KIP-734
constexpr int64_t kEarliestLocal = -4;          // v8, KIP-405
constexpr int64_t kLatestTiered = -5;           // v9, KIP-1005
constexpr int64_t kEarliestPendingUpload = -6;  // v11, KIP-1023

constexpr int16_t kLeaderEpochFrom = 4;
constexpr int16_t kOffsetNotAvailableFrom = 5;  // KIP-207

// A hundred thousand partitions with their names take less. It is decoded on the lcore, where memory is counted.
constexpr size_t kBodyMax = 8 * kMiB;

int16_t needed_version(int64_t timestamp) {
  switch (timestamp) {
    case kMaxTimestamp: return 7;
    case kEarliestLocal: return 8;
    case kLatestTiered: return 9;
    case kEarliestPendingUpload: return 11;
    default: return 1;
  }
}

// With it a client notices that its position is of a log which was cut since (KIP-320).
void tell_epoch(Broker& broker, int16_t version, ListPart::Item& item) {
  if (version >= kLeaderEpochFrom) item.epoch = broker.store.epoch_at(item.log, Offset{item.offset}).value();
}

void look_up_time(Broker& broker, int16_t version, ListPart::Item& item) {
  const storage::TimeFound time = item.timestamp == kMaxTimestamp ? broker.store.find_max_time(item.log)
                                                                  : broker.store.find_by_time(item.log, item.timestamp);
  switch (time.status) {
    case storage::ReadStatus::kReady:
      if (!time.found) return;  // Kafka: offset -1, timestamp -1, no error
      item.offset = time.found->offset.value();
      item.found_timestamp = time.found->timestamp;
      tell_epoch(broker, version, item);
      return;
    case storage::ReadStatus::kPending: item.pending = true; return;
    case storage::ReadStatus::kDamaged:
      broker.counters.add(Metric::reads_refused_damaged);
      item.error = ErrorCode::kKafkaStorageError;
      return;
    case storage::ReadStatus::kGone: {
      // The log, or the records that the time was looked for in, just now. Both are retriable for the client.
      const auto asked_too_soon =
          version >= kOffsetNotAvailableFrom ? ErrorCode::kOffsetNotAvailable : ErrorCode::kLeaderNotAvailable;
      item.error = broker.store.offsets(item.log) ? asked_too_soon : ErrorCode::kUnknownTopicOrPartition;
      return;
    }
  }
  std::unreachable();
}

}  // namespace

void look_up(Broker& broker, int16_t version, ListPart::Item& item) {
  item.pending = false;
  if (broker.store.poisoned(item.log)) {
    item.error = ErrorCode::kKafkaStorageError;
    return;
  }
  item.error = check_epoch(item.current_epoch, item.leader_epoch);
  if (item.error != ErrorCode::kNone) return;
  const auto offsets = broker.store.offsets(item.log);
  if (!offsets) {
    item.error = ErrorCode::kUnknownTopicOrPartition;
    return;
  }
  switch (item.timestamp) {
    case kLatest:  // the last stable offset is the high watermark as long as there are no transactions
      item.offset = offsets->durable.value();
      if (version >= kLeaderEpochFrom) item.epoch = item.leader_epoch.value();
      return;
    case kEarliest:
    case kEarliestLocal: item.offset = offsets->log_start_offset.value(); return tell_epoch(broker, version, item);
    case kLatestTiered:
    case kEarliestPendingUpload: return;  // nothing is tiered
    default: return look_up_time(broker, version, item);
  }
}

ListOffsetsHandler::State ListOffsetsHandler::begin(Broker& broker, const Request& request, ConnectionId who) {
  std::vector<std::byte> scratch;
  protocol::ListOffsetsRequest asked;
  if (request.body_bytes > kBodyMax) return State::kMalformed;
  if (!protocol::decode_request(contiguous_body(request, scratch), request.api_version, asked))
    return State::kMalformed;
  who_ = who;
  version_ = request.api_version;
  correlation_id_ = request.correlation_id;
  number_ = broker.next_number();
  if (!look_at_all(broker, asked)) return State::kMalformed;
  return go_on(broker);
}

// False: more partitions, or topics, than a request may name.
bool ListOffsetsHandler::look_at_all(Broker& broker, const protocol::ListOffsetsRequest& asked) {
  std::set<std::pair<std::string_view, int32_t>> seen;
  if (asked.topics.size() > kRequestPartitionsMax) return false;
  size_t partitions = 0;
  for (const auto& topic : asked.topics) {
    partitions += topic.partitions.size();
    if (partitions > kRequestPartitionsMax) return false;
    const TopicRoute* route = broker.image->find(topic.name);
    auto& topic_answer = answer_.topics.emplace_back();
    topic_answer.name = topic.name;
    for (const auto& wanted : topic.partitions) {
      auto& partition = topic_answer.partitions.emplace_back();
      partition.partition_index = wanted.partition_index;
      if (!seen.emplace(topic.name, wanted.partition_index).second) {
        partition.error_code = ErrorCode::kInvalidRequest;  // as Kafka answers a partition that is asked for twice
        continue;
      }
      const Route to = find_route(route, ErrorCode::kUnknownTopicOrPartition, wanted.partition_index);
      partition.error_code = to.error;
      if (to.error != ErrorCode::kNone) continue;
      if (wanted.timestamp < kEarliestPendingUpload || version_ < needed_version(wanted.timestamp)) {
        partition.error_code = ErrorCode::kUnsupportedVersion;
        continue;
      }
      open_of(to.partition->lcore)
          .items.push_back({.topic = answer_.topics.size() - 1,
                            .partition = topic_answer.partitions.size() - 1,
                            .log = to.partition->log,
                            .leader_epoch = to.partition->leader_epoch,
                            .current_epoch = wanted.current_leader_epoch,
                            .timestamp = wanted.timestamp});
    }
  }
  return true;
}

ListOffsetsHandler::Open& ListOffsetsHandler::open_of(uint16_t lcore) {
  const auto found = std::ranges::find(open_, lcore, &Open::lcore);
  return found != open_.end() ? *found : open_.emplace_back(Open{.lcore = lcore});
}

ListOffsetsHandler::State ListOffsetsHandler::go_on(Broker& broker) {
  if (away_ > 0) return State::kReading;
  for (;;) {
    work_on(broker);
    if (away_ > 0) return State::kReading;
    if (open_.empty()) {
      wait_.reset();
      return encode_answer();
    }
    if (wait(broker)) return State::kReading;
  }
}

// What is here is looked up, what is elsewhere is sent there.
void ListOffsetsHandler::work_on(Broker& broker) {
  for (size_t i = 0; wait_ && i < waits_for_.size(); ++i) {
    if (!wait_->take_moved(i)) continue;
    const auto open = std::ranges::find(open_, waits_for_[i], &Open::lcore);
    if (open != open_.end()) open->due = true;
  }
  for (Open& open : open_) {
    const bool here = open.lcore == broker.lcore;
    if (here) {
      for (ListPart::Item& item : open.items) look_up(broker, version_, item);
      settle(open);
    } else if (std::exchange(open.due, false)) {
      broker.send_part(
          open.lcore, who_, number_,
          ListPart{
              .owner = open.lcore, .version = version_, .watch = wait_.has_value(), .items = std::move(open.items)});
      open.items.clear();
      open.away = true;
      ++away_;
    }
  }
  std::erase_if(open_, [](const Open& open) { return open.items.empty() && !open.away; });
}

void ListOffsetsHandler::home(ParcelPtr parcel) {
  auto* part = std::get_if<ListPart>(&parcel->part);
  if (part == nullptr || parcel->number != number_) return;
  const auto open = std::ranges::find(open_, part->owner, &Open::lcore);
  if (open == open_.end() || !open->away) return;
  open->items = std::move(part->items);
  open->away = false;
  --away_;
  settle(*open);
  // Word that its log has moved may have come meanwhile: nobody is asked for nothing.
  if (open->items.empty()) open_.erase(open);
}

// What is known goes into the answer.
void ListOffsetsHandler::settle(Open& open) {
  std::erase_if(open.items, [&](const ListPart::Item& item) {
    if (item.pending) return false;
    auto& answer = answer_.topics[item.topic].partitions[item.partition];
    answer.error_code = item.error;
    answer.offset = item.offset;
    answer.timestamp = item.found_timestamp;
    answer.leader_epoch = item.epoch;
    return true;
  });
}

// Until one of the drives has read something. False: the other lcores have not been told to watch.
bool ListOffsetsHandler::wait(Broker& broker) {
  if (wait_) return true;
  std::vector<storage::LogId> logs;
  for (const Open& open : open_) {
    for (const ListPart::Item& item : open.items) {
      logs.push_back(item.log);
      waits_for_.push_back(open.lcore);
    }
  }
  if (!broker.wakeups.has_room_to_park(logs.size())) {
    waits_for_.clear();
    for (Open& open : open_) open.due = true;
    broker.wakeups.next_turn(who_);
    return true;
  }
  broker.counters.add(Metric::reads_parked);
  wait_.emplace(broker.wakeups, who_, LogWait::kNoDeadline, logs);
  bool all_here = true;
  for (Open& open : open_) {
    open.due = true;
    all_here = all_here && open.lcore == broker.lcore;
  }
  return all_here;
}

ListOffsetsHandler::State ListOffsetsHandler::encode_answer() {
  response_ = Response(static_cast<int16_t>(ApiKey::kListOffsets), version_, correlation_id_);
  if (!protocol::encode(answer_, version_, response_.bytes())) return State::kMalformed;
  response_.finish();
  return State::kDone;
}

}  // namespace penstock::dataplane
