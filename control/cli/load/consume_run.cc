#include "control/cli/load/consume_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "base/units.h"
#include "control/cli/error.h"
#include "protocol/record_batch.h"

namespace penstock::cli {
namespace {

constexpr Nanos kNever = std::numeric_limits<Nanos>::max() / 2;
// A batch larger than fetch_bytes comes whole all the same (KIP-74); no broker takes larger ones than this.
constexpr uint64_t kOversizedBatch = 64 * kMiB;

}  // namespace

BatchesRead read_batches(std::span<const std::byte> records, int64_t from, bool verify) {
  BatchesRead out{.next_offset = from};
  while (!records.empty()) {
    const auto batch = protocol::first_batch(records);
    if (!batch && batch.error().code == Errc::kTruncated) break;
    if (!batch) throw CliError(kExitFailed, fmt::format("no record batch where offset {} was due", out.next_offset));
    const protocol::RecordBatchView view = protocol::view_of(*batch);
    const int64_t base = view.base_offset().value();
    const int64_t next = view.last_offset().value() + 1;
    if (next <= out.next_offset || (verify && out.records > 0 && base < out.next_offset)) {
      throw CliError(kExitFailed,
                     fmt::format("a batch of offsets {} to {} where {} was due", base, next - 1, out.next_offset));
    }
    if (verify && !protocol::batch_crc_ok(*batch)) {
      throw CliError(kExitFailed, fmt::format("the batch at offset {} fails its checksum", base));
    }
    // The first batch may begin before the offset that was asked for.
    const int64_t wanted = next - std::max(base, out.next_offset);
    out.records += static_cast<uint64_t>(std::min<int64_t>(view.records_count(), wanted));
    out.bytes += batch->size();
    out.next_offset = next;
    records = records.subspan(batch->size());
  }
  return out;
}

ConsumeRun::ConsumeRun(Clock& clock, Cluster& cluster, const Topic& topic, const ConsumeOptions& options)
    : clock_(clock),
      options_(options),
      topic_name_(topic.name),
      topic_id_(topic.id),
      watch_(cluster.transport().watch(clock)) {
  connect(cluster, topic);
  start_positions(cluster, topic);
}

void ConsumeRun::connect(Cluster& cluster, const Topic& topic) {
  std::map<int32_t, std::vector<int32_t>> led;
  for (const Partition& partition : topic.partitions) led[partition.leader].push_back(partition.index);
  for (const auto& [leader, partitions] : led) {
    // No more connections than partitions: two would only read the same.
    const size_t share = std::clamp<size_t>(options_.connections / led.size(), 1, partitions.size());
    const size_t first = connections_.size();
    KafkaClient& broker = cluster.broker(leader);
    for (size_t i = 0; i < share; ++i) {
      Connection& connection = connections_.emplace_back();
      connection.link = std::make_unique<Link>(cluster.transport().connect(broker.endpoint(), options_.broker.timeout),
                                               broker.endpoint().text(), options_.fetch_bytes + kOversizedBatch);
      connection.version = broker.versions().pick<protocol::FetchRequest>();
      connection.lanes.resize(std::clamp<size_t>(options_.in_flight, 1, (partitions.size() + share - 1) / share));
      watch_->add(connection.link->wire(), static_cast<uint32_t>(connections_.size() - 1));
    }
    for (size_t i = 0; i < partitions.size(); ++i) {
      auto& lanes = connections_[first + i % share].lanes;
      lanes[i / share % lanes.size()].positions.push_back({partitions[i], 0, 0, 0});
    }
  }
}

void ConsumeRun::start_positions(Cluster& cluster, const Topic& topic) {
  const auto begins = cluster.list_offsets(topic, kEarliest);
  const auto ends = cluster.list_offsets(topic, kLatest);
  for (Connection& connection : connections_) {
    for (Lane& lane : connection.lanes) {
      for (size_t i = 0; i < topic.partitions.size(); ++i) {
        Position* const position = find(lane, topic.partitions[i].index);
        if (position == nullptr) continue;
        position->begin = options_.from_end ? ends[i] : begins[i];
        position->next = position->begin;
        position->end = ends[i];
      }
      move_on(lane);
    }
  }
}

ConsumeRun::Position* ConsumeRun::find(Lane& lane, int32_t partition) {
  const auto found = std::ranges::find(lane.positions, partition, &Position::partition);
  return found == lane.positions.end() ? nullptr : &*found;
}

// Partitions that are read to their end leave the lane, or begin again; the first in line goes last, so that a budget
// that is spent on it leaves the others their turn.
void ConsumeRun::move_on(Lane& lane) {
  for (Position& position : lane.positions) {
    if (options_.loop && position.next >= position.end) position.next = position.begin;
  }
  if (stops_at_end())
    std::erase_if(lane.positions, [](const Position& position) { return position.next >= position.end; });
  if (lane.positions.size() > 1) std::ranges::rotate(lane.positions, lane.positions.begin() + 1);
}

Meter ConsumeRun::run() {
  const Nanos start = clock_.monotonic();
  const Nanos end = options_.duration > 0 ? start + options_.duration : kNever;
  Meter meter(Meter::Window{start, start, !options_.quiet});
  const auto enough = [&] { return options_.count > 0 && meter.records() >= options_.count; };
  for (Connection& connection : connections_) {
    for (size_t lane = 0; lane < connection.lanes.size(); ++lane) ask(connection, lane);
  }
  while (busy() && clock_.monotonic() < end && !enough() && !interrupt_.seen()) {
    for (uint32_t i = 0; i < connections_.size(); ++i) flush(connections_[i], i);
    for (const Watch::Ready& ready : watch_->wait({kNever, std::min(meter.next_tick(), end), options_.spin})) {
      take_answers(connections_[ready.index], meter);
    }
    meter.tick(clock_.monotonic(), 0);
  }
  return meter;
}

bool ConsumeRun::busy() const {
  return std::ranges::any_of(connections_, [](const Connection& connection) { return !connection.pending.empty(); });
}

void ConsumeRun::ask(Connection& connection, size_t lane) {
  const auto& positions = connection.lanes[lane].positions;
  if (positions.empty()) return;
  const auto budget = static_cast<int32_t>(options_.fetch_bytes);
  protocol::FetchRequest request;
  request.max_wait_ms = static_cast<int32_t>(options_.max_wait / kMillisecond);
  request.min_bytes = 1;
  request.max_bytes = budget;
  auto& topic = request.topics.emplace_back();
  topic.topic = topic_name_;
  topic.topic_id = topic_id_;
  for (const Position& position : positions) {
    auto& wanted = topic.partitions.emplace_back();
    wanted.partition = position.partition;
    wanted.fetch_offset = position.next;
    wanted.partition_max_bytes = budget;
  }
  const CorrelationId correlation_id{connection.next_correlation_id};
  connection.next_correlation_id = (connection.next_correlation_id + 1) & std::numeric_limits<int32_t>::max();
  auto frame = request_head(protocol::FetchRequest::kApiKey, connection.version, correlation_id);
  if (!protocol::encode(request, connection.version, frame)) {
    throw CliError(kExitFailed, fmt::format("a Fetch cannot be encoded in version {}", connection.version));
  }
  connection.link->queue(std::move(frame));
  connection.pending.push_back({lane, clock_.monotonic(), correlation_id});
}

void ConsumeRun::flush(Connection& connection, uint32_t index) {
  const bool left = !connection.link->flush();
  if (left == connection.wants_write) return;
  watch_->want_write(connection.link->wire(), index, left);
  connection.wants_write = left;
}

void ConsumeRun::take_answers(Connection& connection, Meter& meter) {
  // One read a turn: a stream that never runs dry must not starve the other connections.
  if (!connection.link->receive()) return;
  while (const auto frame = connection.link->next_frame()) take_answer(connection, *frame, meter);
}

void ConsumeRun::take_answer(Connection& connection, std::span<const std::byte> frame, Meter& meter) {
  if (connection.pending.empty()) throw CliError(kExitFailed, "the broker answered a request that was not sent");
  const Pending pending = connection.pending.front();
  connection.pending.pop_front();
  const Nanos now = clock_.monotonic();
  const auto body = response_body(frame, protocol::FetchRequest::kApiKey, connection.version, pending.correlation_id);
  const auto answer = read_fetch_answer(body, connection.version);
  if (!answer) throw CliError(kExitFailed, "the broker's Fetch answer makes no sense");
  check_error(answer->error, "the broker refused a Fetch");
  Lane& lane = connection.lanes[pending.lane];
  uint64_t records = 0;
  uint64_t bytes = 0;
  for (const FetchedPartition& fetched : answer->partitions) {
    check_error(fetched.error, fmt::format("cannot fetch {}-{}", topic_name_, fetched.index));
    Position* const position = find(lane, fetched.index);
    if (position == nullptr) throw CliError(kExitFailed, "the broker answered for a partition that was not asked for");
    const BatchesRead read = read_batches(fetched.records, position->next, options_.verify);
    position->next = read.next_offset;
    records += read.records;
    bytes += read.bytes;
  }
  if (bytes > 0) meter.done(pending.since, now, records, bytes);
  move_on(lane);
  ask(connection, pending.lane);
}

}  // namespace penstock::cli
