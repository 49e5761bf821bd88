#include "control/cli/records/producer.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "base/bytes.h"
#include "control/cli/error.h"
#include "control/cli/records/partitioner.h"
#include "control/cli/records/progress.h"
#include "protocol/compression/batches.h"
#include "protocol/gen/init_producer_id.h"
#include "protocol/gen/produce.h"

namespace penstock::cli {
namespace {

bool concerns_sequence(ErrorCode error) {
  switch (error) {
    case ErrorCode::kOutOfOrderSequenceNumber:
    case ErrorCode::kInvalidProducerEpoch:
    case ErrorCode::kUnknownProducerId: return true;
    default: return false;
  }
}

constexpr Nanos kNever = std::numeric_limits<Nanos>::max() / 2;
constexpr Nanos kRetryPause = 100 * kMillisecond;  // Kafka's retry.backoff.ms
constexpr size_t kAroundRecord = 32;               // the longest form of a record around its key, value and headers

protocol::BatchBuilder::Bytes bytes_of(const std::optional<std::string_view>& text) {
  if (!text) return std::nullopt;
  return as_bytes(*text);
}

}  // namespace

Producer::Producer(Clock& clock, Cluster& cluster, const Topic& topic, const ProducerOptions& options)
    : clock_(clock),
      options_(options),
      topic_(topic.name),
      topic_id_(topic.id),
      prng_(static_cast<uint64_t>(clock.monotonic())),
      brokers_{options.broker.bootstrap} {
  options_.broker.ends_at_interrupt = true;
  for (const Partition& partition : topic.partitions) lanes_.emplace_back().partition = partition.index;
  if (options_.partition && std::ranges::find(lanes_, *options_.partition, &Lane::partition) == lanes_.end()) {
    throw CliError(kExitFailed, fmt::format("topic {} has partitions 0 to {}, not {}", topic_, lanes_.size() - 1,
                                            *options_.partition));
  }
  connect(cluster, topic);
  sticky_ = prng_.below(lanes_.size());
  if (options_.acks == -1) open_producer_id(cluster.bootstrap());
}

// Who did not ask for an id goes on without one: an old broker has none, and a guarded one may keep them.
void Producer::open_producer_id(KafkaClient& broker) {
  using protocol::InitProducerIdRequest;
  if (!options_.idempotent && !broker.versions().serves(InitProducerIdRequest::kApiKey)) return;
  InitProducerIdRequest request;
  request.transactional_id = std::nullopt;
  request.transaction_timeout_ms = std::numeric_limits<int32_t>::max();
  const auto response = broker.call<protocol::InitProducerIdResponse>(request);
  if (options_.idempotent) check_error(response.error_code, "cannot get a producer id");
  if (response.error_code != ErrorCode::kNone) return;
  options_.idempotent = true;
  producer_id_ = ProducerId{response.producer_id};
  producer_epoch_ = response.producer_epoch;
}

Producer::Lane& Producer::lane_for(std::optional<std::string_view> key) {
  if (options_.partition) return *std::ranges::find(lanes_, *options_.partition, &Lane::partition);
  return lanes_[key ? place_of_key(as_bytes(*key), lanes_.size()) : sticky_];
}

void Producer::add(std::optional<std::string_view> key, std::optional<std::string_view> value,
                   std::span<const protocol::RecordHeader> headers) {
  const size_t payload = key.value_or("").size() + value.value_or("").size();
  Lane& lane = lane_for(key);
  if (lane.open && lane.open->size() + payload + kAroundRecord > options_.batch_bytes) seal(lane);
  if (!lane.open) {
    protocol::BatchBuilder::Options batch;
    if (options_.idempotent) {
      batch.producer_id = producer_id_;
      batch.producer_epoch = producer_epoch_;
      batch.base_sequence = 0;  // until it is sent
    }
    lane.open = std::make_unique<protocol::BatchBuilder>(batch);
    lane.open_since = clock_.monotonic();
    lane.open_payload = 0;
  }
  const size_t before = lane.open->size();
  lane.open->add(clock_.wall_ms(), bytes_of(key), bytes_of(value), headers);
  lane.open_payload += payload;
  buffered_ += lane.open->size() - before;
}

void Producer::seal(Lane& lane) {
  Batch batch;
  batch.records = lane.open->count();
  batch.payload = lane.open_payload;
  batch.bytes = lane.open->finish();
  lane.open.reset();
  batch.buffered = batch.bytes.size() - protocol::kBatchHeaderBytes;
  if (options_.codec != protocol::Compression::kNone) {
    auto packed =
        protocol::recompressed(batch.bytes, options_.codec,
                               options_.level.value_or(protocol::levels_of(options_.codec).usual), batch.bytes.size());
    if (!packed) throw CliError(kExitFailed, "cannot compress a batch; is it larger than 2 GiB?");
    batch.bytes = *std::move(packed);
  }
  lane.sealed.push_back(std::move(batch));
  if (&lane == &lanes_[sticky_]) sticky_ = prng_.below(lanes_.size());
}

void Producer::send(bool everything) {
  const Nanos now = clock_.monotonic();
  for (Lane& lane : lanes_) {
    const bool busy = lane.in_flight || !lane.sealed.empty();
    if (lane.open && !busy && (everything || now >= lane.open_since + options_.linger)) seal(lane);
    if (lane.sealed.empty()) continue;
    Batch& front = lane.sealed.front();
    if (front.give_up_at == 0) front.give_up_at = now + options_.delivery_timeout;
  }
  // Also before a try that may work: a broker that is there, and silent, must not be waited for again and again.
  if (!connected()) check_deadlines();
  connect_again();
  if (!connected()) return check_deadlines();
  for (size_t i = 0; i < lanes_.size(); ++i) {
    if (!lanes_[i].in_flight && !lanes_[i].sealed.empty() && now >= lanes_[i].retry_at) send_one(i);
  }
  over_connections([this](Connection& connection) { flush(connection); });
}

void Producer::put_sequence(const Lane& lane, Batch& batch) const {
  if (!options_.idempotent || std::exchange(batch.sequenced, true)) return;
  store_be(batch.bytes.data() + protocol::BatchLayout::kBaseSequence, lane.next_sequence);
  protocol::seal_batch(batch.bytes);
}

void Producer::send_one(size_t index) {
  Lane& lane = lanes_[index];
  Connection& connection = connections_[lane.connection];
  Batch& batch = lane.sealed.front();
  put_sequence(lane, batch);
  protocol::ProduceRequest request;
  request.transactional_id = std::nullopt;
  request.acks = options_.acks;
  request.timeout_ms = static_cast<int32_t>(options_.broker.timeout / kMillisecond);
  auto& topic = request.topic_data.emplace_back();
  topic.name = topic_;
  topic.topic_id = topic_id_;
  auto& partition = topic.partition_data.emplace_back();
  partition.index = lane.partition;
  partition.records = batch.bytes;
  const CorrelationId correlation_id{connection.next_correlation_id};
  connection.next_correlation_id = (connection.next_correlation_id + 1) & std::numeric_limits<int32_t>::max();
  auto frame = request_head(protocol::ProduceRequest::kApiKey, connection.version, correlation_id);
  if (!protocol::encode(request, connection.version, frame))
    throw CliError(kExitFailed, "the Produce request cannot be encoded; is a record too large?");
  connection.link->queue(std::move(frame));
  connection.pending.push_back({index, correlation_id});
  lane.in_flight = true;
  lane.answer_due = clock_.monotonic() + options_.broker.timeout;
}

void Producer::flush(Connection& connection) {
  connection.wants_write = !connection.link->flush();
  if (options_.acks != 0) return;
  // Nobody will answer: a request is done when the kernel has taken it.
  for (; connection.settled < connection.link->frames_sent(); ++connection.settled) {
    acknowledged(lanes_[connection.pending.front().lane], -1);
    failures_ = 0;
    connection.pending.pop_front();
  }
}

void Producer::receive() {
  over_connections([this](Connection& connection) {
    while (connection.link->receive()) {
      while (const auto frame = connection.link->next_frame()) take_answer(connection, *frame);
    }
    const Nanos now = clock_.monotonic();
    for (const Pending& pending : connection.pending) {
      if (now > lanes_[pending.lane].answer_due)
        throw ConnectionLost(fmt::format("{} did not answer Produce within {} s", connection.link->peer(),
                                         static_cast<double>(options_.broker.timeout) / kSecond));
    }
  });
}

void Producer::take_answer(Connection& connection, std::span<const std::byte> frame) {
  if (connection.pending.empty()) throw CliError(kExitFailed, "the broker answered a request that was not sent");
  const Pending pending = connection.pending.front();
  connection.pending.pop_front();
  const auto body = response_body(frame, protocol::ProduceRequest::kApiKey, connection.version, pending.correlation_id);
  protocol::ProduceResponse response;
  if (!protocol::decode(body, connection.version, response) || response.responses.size() != 1 ||
      response.responses[0].partition_responses.size() != 1) {
    throw CliError(kExitFailed, "the broker's Produce answer makes no sense");
  }
  const auto& result = response.responses[0].partition_responses[0];
  Lane& lane = lanes_[pending.lane];
  failures_ = 0;
  // A retry of a batch that was stored, and whose first answer was lost.
  if (result.error_code == ErrorCode::kNone || result.error_code == ErrorCode::kDuplicateSequenceNumber)
    return acknowledged(lane, result.base_offset);
  if (is_retriable(result.error_code) && clock_.monotonic() < lane.sealed.front().give_up_at) {
    lane.in_flight = false;
    lane.retry_at = clock_.monotonic() + kRetryPause;
    return;
  }
  refused(lane, result.error_code, result.error_message.value_or(""));
}

void Producer::acknowledged(Lane& lane, int64_t base_offset) {
  const Batch& batch = lane.sealed.front();
  lane.next_sequence = protocol::RecordBatchView::add_sequence(lane.next_sequence, batch.records);
  totals_.records += static_cast<uint64_t>(batch.records);
  totals_.bytes += batch.payload;
  ++totals_.batches;
  ProducedRange& range = totals_.partitions[lane.partition];
  range.records += batch.records;
  if (base_offset >= 0) {
    if (range.first_offset < 0) range.first_offset = base_offset;
    range.last_offset = base_offset + batch.records - 1;
  }
  drop_front(lane);
}

void Producer::refused(Lane& lane, ErrorCode error, const std::string& message) {
  const std::string what =
      fmt::format("the broker refused {} records for {}-{}", lane.sealed.front().records, topic_, lane.partition);
  // What is refused for itself takes no sequence. Where it may be stored all the same, nobody knows the next one.
  const bool unsure = lane.sealed.front().unsure || is_retriable(error) || concerns_sequence(error);
  if (options_.idempotent && unsure)
    check_error(error, what + ", and an idempotent producer cannot go on without knowing what is stored", message);
  if (!std::exchange(told_[error], true)) {
    say_line(fmt::format("penstock: {}: {}{}{}", what, to_string(error), message.empty() ? "" : ": ", message));
  }
  totals_.refused += static_cast<uint64_t>(lane.sealed.front().records);
  drop_front(lane);
}

void Producer::drop_front(Lane& lane) {
  buffered_ -= lane.sealed.front().buffered;
  lane.sealed.pop_front();
  lane.in_flight = false;
}

bool Producer::idle() const {
  return std::ranges::all_of(lanes_, [](const Lane& lane) { return !lane.open && lane.sealed.empty(); });
}

Nanos Producer::next_due() const {
  Nanos due = kNever;
  for (const Lane& lane : lanes_) {
    if (lane.in_flight) {
      due = std::min(due, lane.answer_due);
    } else if (!lane.sealed.empty()) {
      due = std::min(due, connected() ? lane.retry_at : std::min(next_try_, lane.sealed.front().give_up_at));
    } else if (lane.open) {
      due = std::min(due, lane.open_since + options_.linger);
    }
  }
  return due;
}

void Producer::add_polls(std::vector<pollfd>& polls) const {
  for (const Connection& connection : connections_) {
    polls.push_back({connection.link->fd(), static_cast<short>(connection.wants_write ? POLLIN | POLLOUT : POLLIN), 0});
  }
}

}  // namespace penstock::cli
