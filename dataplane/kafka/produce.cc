#include "dataplane/kafka/produce.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "base/assert.h"
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
      return {ErrorCode::kKafkaStorageError,
              "the write-ahead ring is full: the drive is behind, or a segment cannot be written (/healthz names it); "
              "try again"};
    case kDiskFull:
      return {ErrorCode::kKafkaStorageError,
              "the drive is full: free space on it, delete topics or shorten their retention"};
    case kCorrupt: return {ErrorCode::kCorruptMessage};
    case kNoKey: return {ErrorCode::kInvalidRecord, kKeyless};
    case kInvalidRecord: return {ErrorCode::kInvalidRecord, "the records contradict the batch's header"};
    case kInvalidTimestamp:
      return {ErrorCode::kInvalidTimestamp,
              "a record's timestamp is too far from the broker's clock: see "
              "message.timestamp.before.max.ms and message.timestamp.after.max.ms"};
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

Destination find_destination(const RoutingImage& image, const protocol::ProduceTopic& named, PartitionIndex wanted,
                             int16_t version) {
  const bool by_id = version >= protocol::kProduceTopicIds;
  const TopicRoute* topic = by_id ? image.find(named.id) : image.find(named.name);
  if (topic == nullptr) return {by_id ? ErrorCode::kUnknownTopicId : ErrorCode::kUnknownTopicOrPartition};
  const auto index = static_cast<size_t>(wanted.value());
  if (wanted.value() < 0 || index >= topic->partitions.size()) return {ErrorCode::kUnknownTopicOrPartition};
  if (topic->is_internal) return {ErrorCode::kInvalidTopicException};
  return {ErrorCode::kNone, topic, &topic->partitions[index]};
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

// The records field of a batch that is not compressed, which storage has walked.
std::vector<int32_t> keyless_records(const BufferChain& chain, size_t at, size_t bytes) {
  std::array<std::byte, protocol::kBatchHeaderBytes> header;
  chain.copy_out(at, header);
  std::vector<std::span<const std::byte>> pieces;
  chain.for_each_piece(at + header.size(), bytes - header.size(),
                       [&](std::span<const std::byte> piece) { pieces.push_back(piece); });
  return protocol::records_without_key(pieces, protocol::RecordBatchView(header).records_count(), kBadRecordsMax);
}

}  // namespace

std::optional<ProduceOutcome> append_batch(Broker& broker, storage::LogId log, LeaderEpoch epoch,
                                           const BufferChain& chain, size_t at, size_t bytes,
                                           const std::optional<storage::RecordTimes>& times) {
  const auto result = broker.store.append(log, epoch, chain, at, bytes, times);
  if (result.status == storage::AppendStatus::kBusy) return std::nullopt;
  if (result.status == storage::AppendStatus::kDiskFull) broker.counters.add(Metric::produce_refused_disk_full);
  const Verdict said = verdict(result.status);
  if (said.error != ErrorCode::kNone) {
    ProduceOutcome refused{.error = said.error, .message = said.message};
    if (result.status == storage::AppendStatus::kNoKey) refused.bad_records = keyless_records(chain, at, bytes);
    return refused;
  }
  return ProduceOutcome{.base_offset = result.base_offset.value(),
                        .log_start_offset = result.log_start_offset.value(),
                        .append_time_ms = result.append_time_ms,
                        .durable_at = result.durable_at};
}

ProduceHandler::State ProduceHandler::run(Broker& broker, const Request& request, ConnectionId who) {
  auto parsed =
      protocol::ProduceRequestView::parse(request.chain, request.body_at, request.body_bytes, request.api_version);
  if (!parsed || parsed->partitions_count() > kRequestPartitionsMax || parsed->topics_count() > kRequestPartitionsMax)
    return State::kMalformed;
  protocol::ProduceRequestView& view = *parsed;
  size_t done = outcomes().size();  // by an earlier call
  while (const auto topic = view.next_topic()) {
    while (const auto partition = view.next_partition()) {
      if (done > 0) {
        --done;
        continue;
      }
      if (place(broker, request, view, *topic, *partition, who)) continue;
      if (std::exchange(elsewhere_, false)) return State::kElsewhere;
      send_parts(broker, who);
      if (!recompression_ || recompression_->done) return State::kBusy;
      return recompression_->sent ? State::kLater : State::kCrowded;
    }
  }
  if (job_ != nullptr) {
    send_parts(broker, who);
    job_->complete = true;
  } else {
    view.rewind();
    produced_ = finish(broker, request, view, outcomes_);
  }
  return State::kDone;
}

void ProduceHandler::split(const Request& request, BufferChain frame) {
  job_ = std::make_shared<ProduceJob>(ProduceJob{.chain = std::move(frame),
                                                 .body_at = request.body_at,
                                                 .body_bytes = request.body_bytes,
                                                 .api_version = request.api_version,
                                                 .correlation_id = request.correlation_id,
                                                 .listener = request.listener,
                                                 .outcomes = std::move(outcomes_)});
}

bool ProduceHandler::place(Broker& broker, const Request& request, const protocol::ProduceRequestView& view,
                           const protocol::ProduceTopic& topic, const protocol::ProducePartition& partition,
                           ConnectionId who) {
  const auto settle = [&](ProduceOutcome outcome) {
    recompression_.reset();
    outcome.partition = partition.index;
    outcomes().push_back(outcome);
    return true;
  };
  if (view.acks() < -1 || view.acks() > 1) return settle({.error = ErrorCode::kInvalidRequiredAcks});
  if (view.transactional_id()) {
    return settle({.error = ErrorCode::kInvalidTxnState, .message = "transactions are not served yet"});
  }
  const Destination to = find_destination(*broker.image, topic, partition.index, request.api_version);
  if (to.error != ErrorCode::kNone) return settle({.error = to.error});
  if (const ErrorCode error = check_batch(request, partition, *to.topic); error != ErrorCode::kNone) {
    return settle({.error = error});
  }
  const auto batch = in_stored_codec(broker, request, partition, *to.topic, who);
  if (!batch) return false;
  if (!*batch) return settle(batch->error());
  const Placed placed = **batch;
  if (to.partition->lcore == broker.lcore) {
    const auto outcome = append_batch(broker, to.partition->log, to.partition->leader_epoch, *placed.chain, placed.at,
                                      placed.bytes, placed.times);
    return outcome && settle(*outcome);
  }
  elsewhere_ = job_ == nullptr;
  if (elsewhere_) return false;
  const BufferChain* own = nullptr;
  if (recompression_) own = &job_->recompressed.emplace_back(std::move(recompression_->chain));
  part_for(to.partition->lcore)
      .items.push_back({.place = outcomes().size(),
                        .log = to.partition->log,
                        .epoch = to.partition->leader_epoch,
                        .at = placed.at,
                        .bytes = placed.bytes,
                        .own = own,
                        .times = placed.times,
                        .outcome = {.partition = partition.index}});
  return settle({});
}

auto ProduceHandler::in_stored_codec(Broker& broker, const Request& request,
                                     const protocol::ProducePartition& partition, const TopicRoute& topic,
                                     ConnectionId who) -> std::optional<std::expected<Placed, ProduceOutcome>> {
  const Placed as_it_came{&request.chain, partition.records_at, partition.records_bytes};
  if (!recompression_) {
    if ((!topic.stored_as && !topic.is_compacted) || broker.recompressor == nullptr) return as_it_came;
    std::array<std::byte, protocol::kBatchHeaderBytes> header{};
    request.chain.copy_out(partition.records_at, header);
    const protocol::Compression has = protocol::RecordBatchView(header).compression();
    const StoredCodec wanted = topic.stored_as.value_or(StoredCodec{.codec = has});
    // Of a batch that stays uncompressed storage looks for the keys.
    const bool stays_plain = has == protocol::Compression::kNone && wanted.codec == protocol::Compression::kNone;
    const bool wants_keys = topic.is_compacted && !stays_plain;
    if (has == wanted.codec && !wants_keys) return as_it_came;
    recompression_.emplace(Recompression{.number = broker.next_number(),
                                         .part = {.batch = std::vector<std::byte>(partition.records_bytes),
                                                  .codec = wanted.codec,
                                                  .level = wanted.level,
                                                  .records_max = static_cast<size_t>(broker.options.request_max_bytes),
                                                  .wants_keys = wants_keys}});
    request.chain.copy_out(partition.records_at, recompression_->part.batch);
  }
  if (!recompression_->sent)
    recompression_->sent = broker.send_batch(who, recompression_->number, recompression_->part);
  if (!recompression_->done) return std::nullopt;
  const RecompressPart& made = recompression_->part;
  const auto refused = [&](ErrorCode error, std::string_view message = {}) {
    return std::unexpected(ProduceOutcome{.error = error, .message = message, .bad_records = made.bad_records});
  };
  if (made.error != ErrorCode::kNone) return refused(made.error, made.message);
  const size_t bytes = recompression_->chain.size();
  if (static_cast<int64_t>(bytes) > topic.max_message_bytes) return refused(ErrorCode::kMessageTooLarge);
  return Placed{&recompression_->chain, 0, bytes, made.times};
}

void ProduceHandler::home(ParcelPtr parcel) {
  if (!recompression_ || recompression_->number != parcel->number) return;
  recompression_->done = true;
  recompression_->part = std::move(std::get<RecompressPart>(parcel->part));
  recompression_->chain.append(buffer_of(std::move(recompression_->part.batch)));
}

ProducePart& ProduceHandler::part_for(uint16_t lcore) {
  for (auto& [owner, part] : parts_) {
    if (owner == lcore) return part;
  }
  return parts_.emplace_back(lcore, ProducePart{.job = job_, .chain = &job_->chain}).second;
}

void ProduceHandler::send_parts(Broker& broker, ConnectionId who) {
  for (auto& [owner, part] : std::exchange(parts_, {})) {
    ++job_->away;
    broker.send_part(owner, who, 0, std::move(part));
  }
}

Produced ProduceHandler::finish(Broker& broker, const ProduceJob& job) {
  auto view = protocol::ProduceRequestView::parse(job.chain, job.body_at, job.body_bytes, job.api_version);
  CHECK(view.has_value());  // it was parsed before
  return finish(broker, job.request(), *view, job.outcomes);
}

Produced ProduceHandler::finish(Broker& broker, const Request& request, protocol::ProduceRequestView& view,
                                std::span<const ProduceOutcome> outcomes) {
  Produced produced{.response = {}, .durable_mark = {}, .wants_answer = view.acks() != 0};
  for (const ProduceOutcome& outcome : outcomes) {
    if (outcome.error == ErrorCode::kNone) {
      produced.durable_mark.raise(outcome.durable_at);
    } else {
      produced.any_error = true;
      broker.counters.add(Metric::produce_refused);
    }
  }
  if (!produced.wants_answer) return produced;
  produced.response = Response(request.api_key, request.api_version, request.correlation_id);
  protocol::ProduceResponseWriter writer(produced.response.bytes(), request.api_version);
  writer.begin(view.topics_count());
  std::vector<protocol::RecordError> bad_records;
  auto outcome = outcomes.begin();
  while (const auto topic = view.next_topic()) {
    writer.topic(topic->name, topic->id, topic->partitions_count);
    for (uint32_t i = 0; i < topic->partitions_count; ++i, ++outcome) {
      const bool has_message = !outcome->message.empty();
      bad_records.clear();
      for (const int32_t record : outcome->bad_records)
        bad_records.push_back({.batch_index = record, .message = outcome->message});
      writer.partition({.partition = outcome->partition,
                        .error = outcome->error,
                        .base_offset = outcome->base_offset,
                        .log_append_time_ms = outcome->append_time_ms,
                        .log_start_offset = outcome->log_start_offset,
                        .record_errors = bad_records,
                        .error_message = has_message ? std::optional(outcome->message) : std::nullopt});
    }
  }
  writer.end(0);
  produced.response.finish();
  return produced;
}

}  // namespace penstock::dataplane
