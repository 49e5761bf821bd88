#include "dataplane/kafka/epochs.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "dataplane/kafka/route.h"
#include "protocol/api.h"
#include "protocol/codec.h"

namespace penstock::dataplane {
namespace {

// A hundred thousand partitions with their names take less. It is decoded on the lcore, where memory is counted.
constexpr size_t kBodyMax = 8 * kMiB;

}  // namespace

void find_epoch_end(Broker& broker, EpochPart::Item& item) {
  const auto offsets = broker.store.offsets(item.log);
  if (broker.store.poisoned(item.log)) {
    item.error = ErrorCode::kKafkaStorageError;
  } else if (!offsets) {
    item.error = ErrorCode::kUnknownTopicOrPartition;
  } else if (item.asked == item.leader_epoch) {  // also before it has written anything
    item.end = {item.asked, offsets->log_end_offset};
  } else {
    item.end = broker.store.end_offset_for(item.log, item.asked);
  }
}

EpochsHandler::State EpochsHandler::begin(Broker& broker, const Request& request, ConnectionId who) {
  std::vector<std::byte> scratch;
  protocol::OffsetForLeaderEpochRequest asked;
  if (request.body_bytes > kBodyMax) return State::kMalformed;
  if (!protocol::decode_request(contiguous_body(request, scratch), request.api_version, asked))
    return State::kMalformed;
  version_ = request.api_version;
  correlation_id_ = request.correlation_id;
  number_ = broker.next_number();
  if (!look_at_all(broker, asked, who)) return State::kMalformed;
  return go_on(broker);
}

// False: more partitions, or topics, than a request may name.
bool EpochsHandler::look_at_all(Broker& broker, const protocol::OffsetForLeaderEpochRequest& asked, ConnectionId who) {
  std::vector<std::pair<uint16_t, EpochPart>> parts;
  if (asked.topics.size() > kRequestPartitionsMax) return false;
  size_t partitions = 0;
  for (const auto& topic : asked.topics) {
    partitions += topic.partitions.size();
    if (partitions > kRequestPartitionsMax) return false;
    const TopicRoute* route = broker.image->find(topic.topic);
    auto& topic_answer = answer_.topics.emplace_back();
    topic_answer.topic = topic.topic;
    for (const auto& wanted : topic.partitions) {
      auto& answer = topic_answer.partitions.emplace_back();
      answer.partition = wanted.partition;
      const Route to = find_route(route, ErrorCode::kUnknownTopicOrPartition, wanted.partition);
      answer.error_code = to.error;
      if (to.error == ErrorCode::kNone)
        answer.error_code = check_epoch(wanted.current_leader_epoch, to.partition->leader_epoch);
      if (answer.error_code != ErrorCode::kNone) continue;
      EpochPart::Item item{.topic = answer_.topics.size() - 1,
                           .partition = topic_answer.partitions.size() - 1,
                           .log = to.partition->log,
                           .leader_epoch = to.partition->leader_epoch,
                           .asked = LeaderEpoch{wanted.leader_epoch}};
      const uint16_t owner = to.partition->lcore;
      if (owner == broker.lcore) {
        find_epoch_end(broker, item);
        settle(item);
        continue;
      }
      auto part = std::ranges::find(parts, owner, &std::pair<uint16_t, EpochPart>::first);
      if (part == parts.end()) part = parts.emplace(part, owner, EpochPart{});
      part->second.items.push_back(item);
    }
  }
  for (auto& [owner, part] : parts) {
    ++away_;
    broker.send_part(owner, who, number_, std::move(part));
  }
  return true;
}

void EpochsHandler::settle(const EpochPart::Item& item) {
  auto& answer = answer_.topics[item.topic].partitions[item.partition];
  answer.error_code = item.error;
  answer.leader_epoch = item.end.epoch.value();
  answer.end_offset = item.end.end.value();
}

void EpochsHandler::home(ParcelPtr parcel) {
  const auto* part = std::get_if<EpochPart>(&parcel->part);
  if (part == nullptr || parcel->number != number_) return;
  --away_;
  for (const EpochPart::Item& item : part->items) settle(item);
}

EpochsHandler::State EpochsHandler::go_on(Broker&) {
  if (away_ > 0) return State::kReading;
  response_ = Response(static_cast<int16_t>(ApiKey::kOffsetForLeaderEpoch), version_, correlation_id_);
  if (!protocol::encode(answer_, version_, response_.bytes())) return State::kMalformed;
  response_.finish();
  return State::kDone;
}

}  // namespace penstock::dataplane
