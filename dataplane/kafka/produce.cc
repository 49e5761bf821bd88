#include "dataplane/kafka/produce.h"

#include <algorithm>
#include <array>
#include <utility>

#include "protocol/record_batch.h"

namespace penstock::dataplane {
namespace {

constexpr int16_t kZstdFrom = 7;  // KIP-110: older requests may not carry zstd

// The one place where storage's answers become Kafka's. No default: a new status fails the build.
// kBusy never leaves the broker; it is here for completeness and means: try again.
struct Verdict {
  ErrorCode error;
  std::string_view message{};
};
Verdict verdict(storage::AppendStatus status) {
  using enum storage::AppendStatus;
  switch (status) {
    case kAppended:
    case kDuplicate: return {ErrorCode::kNone};
    case kBusy: return {ErrorCode::kRequestTimedOut, "the device is behind; try again"};
    case kRingFull:
      return {ErrorCode::kKafkaStorageError, "the write-ahead ring is full: the drive is behind; try again"};
    case kDiskFull:
      return {ErrorCode::kKafkaStorageError,
              "the drive is full: free space on it, delete topics or shorten their retention"};
    case kCorrupt: return {ErrorCode::kCorruptMessage};
    case kInvalidRecord: return {ErrorCode::kInvalidRecord, "the records contradict the batch's header"};
    case kTooLarge: return {ErrorCode::kMessageTooLarge, "a batch of this size never fits the write-ahead ring"};
    case kOutOfOrderSequence: return {ErrorCode::kOutOfOrderSequenceNumber};
    case kDuplicateSequence: return {ErrorCode::kDuplicateSequenceNumber};
    case kInvalidProducerEpoch: return {ErrorCode::kInvalidProducerEpoch};
    case kUnknownLog: return {ErrorCode::kUnknownTopicOrPartition};
    case kPoisoned:
      return {ErrorCode::kKafkaStorageError, "a write to the log's device failed; the partition is offline"};
  }
  std::unreachable();
}

struct Destination {
  ErrorCode error = ErrorCode::kNone;
  const TopicRoute* topic = nullptr;
  const PartitionRoute* partition = nullptr;
};

Destination find_destination(const Broker& broker, const protocol::ProduceTopic& named, PartitionIndex wanted,
                             int16_t version) {
  const bool by_id = version >= protocol::kProduceTopicIds;
  const TopicRoute* topic = by_id ? broker.image->find(named.id) : broker.image->find(named.name);
  if (topic == nullptr) return {by_id ? ErrorCode::kUnknownTopicId : ErrorCode::kUnknownTopicOrPartition};
  const auto index = static_cast<size_t>(wanted.value());
  if (wanted.value() < 0 || index >= topic->partitions.size()) return {ErrorCode::kUnknownTopicOrPartition};
  if (topic->is_internal) return {ErrorCode::kInvalidTopicException};
  const PartitionRoute& partition = topic->partitions[index];
  if (partition.lcore != broker.lcore) return {ErrorCode::kNotLeaderOrFollower};
  return {ErrorCode::kNone, topic, &partition};
}

// What can be said of the records field by the batch's 61 bytes of header.
// life: 6
ErrorCode check_batch(const Request& request, const protocol::ProducePartition& wanted, const TopicRoute& topic) {
  std::array<std::byte, protocol::kBatchHeaderBytes> header{};
  const auto head = std::span(header).first(std::min(header.size(), wanted.records_bytes));
  request.chain.copy_out(wanted.records_at, head);
  if (const ErrorCode error = protocol::check_batch_header(head, wanted.records_bytes); error != ErrorCode::kNone) {
    return error;
  }
  const protocol::RecordBatchView batch(header);
  if (batch.compression() == protocol::Compression::kZstd && request.api_version < kZstdFrom) {
    return ErrorCode::kUnsupportedCompressionType;
  }
  if (batch.transactional()) return ErrorCode::kInvalidTxnState;
  if (static_cast<int64_t>(wanted.records_bytes) > topic.max_message_bytes) return ErrorCode::kMessageTooLarge;
  return ErrorCode::kNone;
}

}  // namespace

ProduceHandler::State ProduceHandler::run(Broker& broker, const Request& request) {
  auto parsed =
      protocol::ProduceRequestView::parse(request.chain, request.body_at, request.body_bytes, request.api_version);
  if (!parsed || parsed->partitions_count() > kRequestPartitionsMax || parsed->topics_count() > kRequestPartitionsMax)
    return State::kMalformed;
  protocol::ProduceRequestView& view = *parsed;
  acks_ = view.acks();
  size_t done = outcomes_.size();  // by an earlier call that met kBusy
  while (const auto topic = view.next_topic()) {
    while (const auto partition = view.next_partition()) {
      if (done > 0) {
        --done;
        continue;
      }
      auto outcome = append(broker, request, view, *topic, *partition);
      if (!outcome) return State::kBusy;
      outcome->partition = partition->index;
      if (outcome->error != ErrorCode::kNone) {
        any_error_ = true;
        broker.counters.add(Metric::produce_refused);
      }
      outcomes_.push_back(*outcome);
    }
  }
  if (wants_answer()) encode_answer(request, view);
  return State::kDone;
}

// Nothing: storage holds the batch back.
std::optional<ProduceHandler::Outcome> ProduceHandler::append(Broker& broker, const Request& request,
                                                              const protocol::ProduceRequestView& view,
                                                              const protocol::ProduceTopic& topic,
                                                              const protocol::ProducePartition& partition) {
  if (acks_ < -1 || acks_ > 1) return Outcome{.error = ErrorCode::kInvalidRequiredAcks};
  if (view.transactional_id()) {
    return Outcome{.error = ErrorCode::kInvalidTxnState, .message = "transactions are not served yet"};
  }
  const Destination to = find_destination(broker, topic, partition.index, request.api_version);
  if (to.error != ErrorCode::kNone) return Outcome{.error = to.error};
  if (const ErrorCode error = check_batch(request, partition, *to.topic); error != ErrorCode::kNone) {
    return Outcome{.error = error};
  }
  const auto result = broker.store.append(to.partition->log, to.partition->leader_epoch, request.chain,
                                          partition.records_at, partition.records_bytes);
  if (result.status == storage::AppendStatus::kBusy) return std::nullopt;
  if (result.status == storage::AppendStatus::kDiskFull) broker.counters.add(Metric::produce_refused_disk_full);
  const Verdict said = verdict(result.status);
  if (said.error != ErrorCode::kNone) return Outcome{.error = said.error, .message = said.message};
  durable_mark_.raise(result.durable_at);
  return Outcome{.base_offset = result.base_offset.value(), .log_start_offset = result.log_start_offset.value()};
}

void ProduceHandler::encode_answer(const Request& request, protocol::ProduceRequestView& view) {
  answer_ = Response(request.api_key, request.api_version, request.correlation_id);
  protocol::ProduceResponseWriter writer(answer_.bytes(), request.api_version);
  writer.begin(view.topics_count());
  auto outcome = outcomes_.cbegin();
  view.rewind();
  while (const auto topic = view.next_topic()) {
    writer.topic(topic->name, topic->id, topic->partitions_count);
    for (uint32_t i = 0; i < topic->partitions_count; ++i, ++outcome) {
      const bool has_message = !outcome->message.empty();
      writer.partition({.partition = outcome->partition,
                        .error = outcome->error,
                        .base_offset = outcome->base_offset,
                        .log_start_offset = outcome->log_start_offset,
                        .error_message = has_message ? std::optional(outcome->message) : std::nullopt});
    }
  }
  writer.end(0);
  answer_.finish();
}

}  // namespace penstock::dataplane
