#include "control/cli/load/produce_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "base/units.h"
#include "control/cli/error.h"
#include "protocol/gen/init_producer_id.h"
#include "protocol/gen/produce.h"

namespace penstock::cli {
namespace {

constexpr size_t kAnswerMost = kMiB;  // one partition's answer is some hundred bytes
// Different payloads, so that nothing on the way can live off one batch in a cache; bounded memory for large batches.
constexpr size_t kSourcesMost = 16;
constexpr uint64_t kSourceBytesMost = 32 * kMiB;
constexpr Nanos kLeadIn = 10 * kMillisecond;  // the schedule begins when everything is ready
constexpr Nanos kNever = std::numeric_limits<Nanos>::max() / 2;
constexpr uint64_t kNoBound = std::numeric_limits<uint64_t>::max();

}  // namespace

ProduceRun::ProduceRun(Clock& clock, Cluster& cluster, const Topic& topic, const ProduceOptions& options)
    : clock_(clock),
      options_(options),
      prng_(static_cast<uint64_t>(clock.monotonic())),
      watch_(cluster.transport().watch(clock)) {
  make_sources();
  connect(cluster, topic);
}

void ProduceRun::make_sources() {
  const auto record_bytes = static_cast<uint32_t>(options_.record_bytes);
  const uint32_t records = options_.batch_records > 0 ? options_.batch_records
                                                      : BatchSource::records_for(options_.batch_bytes, record_bytes);
  const BatchSource::Shape shape{.records = records,
                                 .record_bytes = record_bytes,
                                 .words = options_.words,
                                 .codec = options_.codec,
                                 .level = options_.level.value_or(protocol::levels_of(options_.codec).usual)};
  sources_.push_back(std::make_unique<BatchSource>(shape, prng_));
  const uint64_t wanted = std::clamp<uint64_t>(kSourceBytesMost / sources_[0]->batch_bytes(), 1, kSourcesMost);
  while (sources_.size() < wanted) sources_.push_back(std::make_unique<BatchSource>(shape, prng_));
}

void ProduceRun::connect(Cluster& cluster, const Topic& topic) {
  std::map<int32_t, std::vector<int32_t>> led;  // partitions by leader
  for (const Partition& partition : topic.partitions) led[partition.leader].push_back(partition.index);
  std::vector<int32_t> leaders;
  for (const auto& [leader, partitions] : led) leaders.push_back(leader);
  if (options_.connections < leaders.size()) {
    throw CliError(kExitFailed, fmt::format("{} brokers lead partitions of {}; give at least --connections {}",
                                            leaders.size(), topic.name, leaders.size()));
  }
  for (uint32_t i = 0; i < options_.connections; ++i) {
    KafkaClient& broker = cluster.broker(leaders[i % leaders.size()]);
    Connection& connection = connections_.emplace_back();
    connection.link = std::make_unique<Link>(cluster.transport().connect(broker.endpoint(), options_.broker.timeout),
                                             broker.endpoint().text(), kAnswerMost);
    connection.next_index = i;
    if (options_.idempotent) open_producer(broker, connection);
    version_ = broker.versions().pick<protocol::ProduceRequest>();
    const auto& partitions = led[leaders[i % leaders.size()]];
    connection.next_lane = i / leaders.size() % partitions.size();  // connections begin at different partitions
    for (const int32_t partition : partitions) {
      const auto timeout_ms = static_cast<int32_t>(options_.broker.timeout / kMillisecond);
      Lane& lane = connection.lanes.emplace_back();
      for (const auto& source : sources_) {
        lane.frames.emplace_back(ProduceTarget{version_, options_.acks, timeout_ms, topic.name, topic.id, partition},
                                 *source);
      }
    }
    watch_->add(connection.link->wire(), i);
  }
}

void ProduceRun::open_producer(KafkaClient& broker, Connection& connection) {
  protocol::InitProducerIdRequest request;
  request.transactional_id = std::nullopt;
  request.transaction_timeout_ms = std::numeric_limits<int32_t>::max();
  const auto response = broker.call<protocol::InitProducerIdResponse>(request);
  check_error(response.error_code, "cannot get a producer id");
  connection.producer_id = ProducerId{response.producer_id};
  connection.producer_epoch = response.producer_epoch;
}

Meter ProduceRun::run() {
  begin(clock_.monotonic() + (options_.rate.amount > 0 ? kLeadIn : 0));
  loop();
  const Nanos now = clock_.monotonic();
  for (const Connection& connection : connections_) {
    for (const Pending& pending : connection.pending) meter_->unfinished(pending.since, now);
    for (uint64_t i = 0; i < connection.owed; ++i) {
      meter_->unfinished(schedule_->due(connection.next_index + i * connections_.size()), now);
    }
  }
  return std::move(*meter_);
}

void ProduceRun::begin(Nanos now) {
  const uint64_t batch = records_per_batch();
  requests_ = options_.count > 0 ? (options_.count + batch - 1) / batch : kNoBound;
  end_ = options_.duration > 0 ? now + options_.duration : kNever;
  drain_until_ = kNever;
  meter_.emplace(Meter::Window{now, now + options_.warmup, !options_.quiet});
  if (options_.rate.amount > 0) {
    const bool bytes = options_.rate.unit == Rate::Unit::kBytes;
    schedule_.emplace(now, bytes ? sources_[0]->payload_bytes() : batch, options_.rate.amount);
    if (end_ != kNever) requests_ = std::min(requests_, schedule_->due_by(end_ - 1));
  }
}

void ProduceRun::loop() {
  for (;;) {
    Nanos now = clock_.monotonic();
    if (offering_ && (now >= end_ || issued_ >= requests_ || interrupt_.seen())) stop_offering(now);
    issue(now);
    bool window_opened = false;
    for (uint32_t i = 0; i < connections_.size(); ++i) window_opened |= flush(connections_[i], i);
    if (finished() || clock_.monotonic() >= drain_until_) return;
    const Nanos lazy = std::min({meter_->next_tick(), end_, drain_until_});
    for (const Watch::Ready& ready : watch_->wait({next_due(), lazy, options_.spin || window_opened})) {
      take_answers(connections_[ready.index]);
    }
    meter_->tick(clock_.monotonic(), waiting());
  }
}

// The schedule has nothing new any more; what it made due before is still sent, however late.
void ProduceRun::stop_offering(Nanos now) {
  issue(std::min(now, end_));
  offering_ = false;
  requests_ = issued_;
  end_ = kNever;
  drain_until_ = now + options_.broker.timeout;
}

void ProduceRun::issue(Nanos now) {
  if (!offering_) return;
  if (!schedule_) {
    for (Connection& connection : connections_) {
      while (issued_ < requests_ && connection.pending.size() < options_.in_flight) {
        ++issued_;
        send_one(connection, clock_.monotonic());
      }
    }
    return;
  }
  const uint64_t due = std::min(schedule_->due_by(now), requests_);
  for (; issued_ < due; ++issued_) {
    Connection& connection = connections_[issued_ % connections_.size()];
    ++connection.owed;
    offer(connection, now, true);
  }
}

// Sends what connection owes as far as its window allows. on_time: nothing held these up but this program.
void ProduceRun::offer(Connection& connection, Nanos now, bool on_time) {
  while (connection.owed > 0 && connection.pending.size() < options_.in_flight) {
    const Nanos since = schedule_->due(connection.next_index);
    if (on_time && connection.owed == 1) meter_->sent_late_by(now - since);
    --connection.owed;
    connection.next_index += connections_.size();
    send_one(connection, since);
  }
}

void ProduceRun::send_one(Connection& connection, Nanos since) {
  Lane& lane = connection.lanes[connection.next_lane];
  connection.next_lane = (connection.next_lane + 1) % connection.lanes.size();
  BatchSource::Stamp stamp{clock_.wall_ms(), connection.producer_id, connection.producer_epoch};
  if (options_.idempotent) {
    stamp.base_sequence = lane.next_sequence;
    lane.next_sequence =
        protocol::RecordBatchView::add_sequence(lane.next_sequence, static_cast<int32_t>(records_per_batch()));
  }
  const CorrelationId correlation_id{connection.next_correlation_id};
  connection.next_correlation_id = (connection.next_correlation_id + 1) & std::numeric_limits<int32_t>::max();
  lane.frames[prng_.below(lane.frames.size())].queue_on(*connection.link, correlation_id, stamp);
  connection.pending.push_back({since, correlation_id});
  ++outstanding_;
}

// True if that alone settled requests (acks=0), so that there may be more to send at once.
bool ProduceRun::flush(Connection& connection, uint32_t index) {
  const bool left = !connection.link->flush();
  if (left != connection.wants_write) {
    watch_->want_write(connection.link->wire(), index, left);
    connection.wants_write = left;
  }
  if (options_.acks != 0 || connection.answered == connection.link->frames_sent()) return false;
  // Nobody will answer: a request is done when the kernel has taken it.
  while (connection.answered < connection.link->frames_sent()) settle(connection, clock_.monotonic());
  return true;
}

void ProduceRun::take_answers(Connection& connection) {
  while (connection.link->receive()) {
    const Nanos now = clock_.monotonic();
    while (const auto frame = connection.link->next_frame()) take_answer(connection, *frame, now);
  }
}

void ProduceRun::take_answer(Connection& connection, std::span<const std::byte> frame, Nanos now) {
  if (connection.pending.empty()) throw CliError(kExitFailed, "the broker answered a request that was not sent");
  const auto body =
      response_body(frame, protocol::ProduceRequest::kApiKey, version_, connection.pending.front().correlation_id);
  protocol::ProduceResponse response;
  if (!protocol::decode(body, version_, response) || response.responses.size() != 1 ||
      response.responses[0].partition_responses.size() != 1) {
    throw CliError(kExitFailed, "the broker's Produce answer makes no sense");
  }
  const auto& result = response.responses[0].partition_responses[0];
  if (result.error_code == ErrorCode::kNone) return settle(connection, now);
  const std::string message = result.error_message.value_or("");
  if (options_.idempotent) {
    check_error(result.error_code, "the broker refused a batch, and an idempotent run cannot go on after a gap",
                message);
  }
  meter_->failed(result.error_code, message);
  connection.pending.pop_front();
  --outstanding_;
  if (schedule_) offer(connection, now, false);
}

// The oldest request of connection is done; its place in the window goes to what waits.
void ProduceRun::settle(Connection& connection, Nanos now) {
  const BatchSource& shape = *sources_.front();
  meter_->done(connection.pending.front().since, now, shape.records(), shape.payload_bytes());
  connection.pending.pop_front();
  ++connection.answered;
  --outstanding_;
  if (schedule_) offer(connection, now, false);
}

bool ProduceRun::finished() const { return !offering_ && outstanding_ == 0 && waiting() == 0; }

uint64_t ProduceRun::waiting() const {
  uint64_t sum = 0;
  for (const Connection& connection : connections_) sum += connection.owed;
  return sum;
}

Nanos ProduceRun::next_due() const {
  return schedule_ && offering_ && issued_ < requests_ ? schedule_->due(issued_) : kNever;
}

}  // namespace penstock::cli
