#include "control/cli/records/consumer.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <map>
#include <utility>

#include "control/cli/error.h"
#include "control/cli/load/fetch_answer.h"
#include "protocol/compression/batches.h"
#include "protocol/gen/fetch.h"

namespace penstock::cli {
namespace {

constexpr int64_t kNoEnd = std::numeric_limits<int64_t>::max();
constexpr int32_t kWaitMostMs = 500;  // Kafka's fetch.max.wait.ms
// A batch larger than fetch_bytes comes whole all the same (KIP-74); no broker takes larger ones than this.
constexpr uint64_t kOversizedBatch = 64 * kMiB;
constexpr size_t kOpenedMost = 1 * kGiB;  // of one batch; a thousandth of it as zeros fits into any network packet

// Cut to the partitions that were asked for.
Topic chosen(Topic topic, const std::vector<int32_t>& partitions) {
  for (const int32_t wanted : partitions) {
    if (std::ranges::find(topic.partitions, wanted, &Partition::index) == topic.partitions.end()) {
      throw CliError(kExitFailed, fmt::format("topic {} has partitions 0 to {}, not {}", topic.name,
                                              topic.partitions.size() - 1, wanted));
    }
  }
  if (!partitions.empty()) {
    std::erase_if(topic.partitions, [&](const Partition& partition) {
      return std::ranges::find(partitions, partition.index) == partitions.end();
    });
  }
  return topic;
}

}  // namespace

Consumer::Consumer(Clock& clock, Cluster& cluster, const Topic& topic, const ConsumerOptions& options)
    : clock_(clock), options_(options), topic_(topic.name), topic_id_(topic.id) {
  const Topic wanted = chosen(topic, options.partitions);
  connect(cluster, wanted);
  place(cluster, wanted);
}

void Consumer::connect(Cluster& cluster, const Topic& topic) {
  std::map<int32_t, size_t> places;  // of a leader's connection
  for (const Partition& partition : topic.partitions) {
    const auto [at, fresh] = places.try_emplace(partition.leader, connections_.size());
    if (fresh) {
      KafkaClient& broker = cluster.broker(partition.leader);
      Connection& connection = connections_.emplace_back();
      connection.link = std::make_unique<Link>(kernel_transport().connect(broker.endpoint(), options_.broker.timeout),
                                               broker.endpoint().text(), options_.fetch_bytes + kOversizedBatch);
      connection.version = broker.versions().pick<protocol::FetchRequest>();
    }
    connections_[at->second].positions.push_back({partition.index, 0, kNoEnd});
  }
}

void Consumer::place(Cluster& cluster, const Topic& topic) {
  const auto begins = cluster.list_offsets(topic, kEarliest);
  const auto ends = cluster.list_offsets(topic, kLatest);
  const auto of_time = [&](int64_t ms) {  // -1: no record so late
    auto offsets = cluster.list_offsets(topic, ms);
    for (size_t i = 0; i < offsets.size(); ++i) offsets[i] = offsets[i] < 0 ? ends[i] : offsets[i];
    return offsets;
  };
  std::vector<int64_t> starts;
  if (options_.from.kind == StartAt::Kind::kTime) starts = of_time(options_.from.number);
  std::vector<int64_t> stops;
  if (options_.until_ms) stops = of_time(*options_.until_ms);
  for (Connection& connection : connections_) {
    for (Position& position : connection.positions) {
      const auto found = std::ranges::find(topic.partitions, position.partition, &Partition::index);
      const auto i = static_cast<size_t>(found - topic.partitions.begin());
      switch (options_.from.kind) {
        case StartAt::Kind::kBeginning: position.next = begins[i]; break;
        case StartAt::Kind::kEnd: position.next = ends[i]; break;
        case StartAt::Kind::kOffset: position.next = options_.from.number; break;
        case StartAt::Kind::kLast: position.next = std::max(begins[i], ends[i] - options_.from.number); break;
        case StartAt::Kind::kTime: position.next = starts[i]; break;
      }
      if (options_.until_end) position.end = ends[i];
      if (options_.until_ms) position.end = std::min(position.end, stops[i]);
    }
  }
}

bool Consumer::done() const {
  return std::ranges::all_of(connections_, [](const Connection& connection) {
    return std::ranges::all_of(connection.positions,
                               [](const Position& position) { return position.next >= position.end; });
  });
}

void Consumer::poll(Nanos wait, const OnRecord& on_record) {
  std::vector<pollfd> polls;
  for (Connection& connection : connections_) {
    ask(connection);
    connection.wants_write = !connection.link->flush();
    polls.push_back({connection.link->fd(), static_cast<short>(connection.wants_write ? POLLIN | POLLOUT : POLLIN), 0});
  }
  const auto ms = static_cast<int>(std::clamp<Nanos>((wait + kMillisecond - 1) / kMillisecond, 0, 1000));
  if (::poll(polls.data(), polls.size(), ms) <= 0) return;
  for (Connection& connection : connections_) {
    if (!connection.link->receive()) continue;
    while (const auto frame = connection.link->next_frame()) take_answer(connection, *frame, on_record);
  }
}

void Consumer::ask(Connection& connection) {
  if (connection.asked) return;
  protocol::FetchRequest request;
  request.max_wait_ms = kWaitMostMs;
  request.min_bytes = 1;
  request.max_bytes = static_cast<int32_t>(options_.fetch_bytes);
  auto& topic = request.topics.emplace_back();
  topic.topic = topic_;
  topic.topic_id = topic_id_;
  for (const Position& position : connection.positions) {
    if (position.next >= position.end) continue;
    auto& wanted = topic.partitions.emplace_back();
    wanted.partition = position.partition;
    wanted.fetch_offset = position.next;
    wanted.partition_max_bytes = static_cast<int32_t>(options_.fetch_bytes);
  }
  if (topic.partitions.empty()) return;
  const CorrelationId correlation_id{connection.next_correlation_id};
  connection.next_correlation_id = (connection.next_correlation_id + 1) & std::numeric_limits<int32_t>::max();
  auto frame = request_head(protocol::FetchRequest::kApiKey, connection.version, correlation_id);
  if (!protocol::encode(request, connection.version, frame)) {
    throw CliError(kExitFailed, fmt::format("a Fetch cannot be encoded in version {}", connection.version));
  }
  connection.link->queue(std::move(frame));
  connection.asked = correlation_id;
  // The first in line goes last, so that a budget that is spent on it leaves the others their turn.
  std::ranges::rotate(connection.positions, connection.positions.begin() + 1);
}

void Consumer::take_answer(Connection& connection, std::span<const std::byte> frame, const OnRecord& on_record) {
  if (!connection.asked) throw CliError(kExitFailed, "the broker answered a request that was not sent");
  const CorrelationId asked = *std::exchange(connection.asked, std::nullopt);
  const auto body = response_body(frame, protocol::FetchRequest::kApiKey, connection.version, asked);
  const auto answer = read_fetch_answer(body, connection.version);
  if (!answer) throw CliError(kExitFailed, "the broker's Fetch answer makes no sense");
  check_error(answer->error, "the broker refused a Fetch");
  for (const FetchedPartition& fetched : answer->partitions) {
    const auto position = std::ranges::find(connection.positions, fetched.index, &Position::partition);
    if (position == connection.positions.end())
      throw CliError(kExitFailed, "the broker answered for a partition that was not asked for");
    check_error(fetched.error, fmt::format("cannot read {}-{} at offset {}", topic_, fetched.index, position->next));
    take_records(*position, fetched.records, on_record);
  }
}

void Consumer::take_records(Position& position, std::span<const std::byte> records, const OnRecord& on_record) {
  while (!records.empty() && !stopped_) {
    const auto batch = protocol::first_batch(records);
    if (!batch && batch.error().code == Errc::kTruncated) return;
    if (!batch || !protocol::batch_crc_ok(*batch)) {
      throw CliError(kExitFailed, fmt::format("{}-{}: what the broker sent for offset {} is no whole batch", topic_,
                                              position.partition, position.next));
    }
    records = records.subspan(batch->size());
    const int64_t next = protocol::view_of(*batch).last_offset().value() + 1;
    if (next <= position.next) continue;  // all of it was read before
    if (!protocol::view_of(*batch).control()) take_batch(position, *batch, on_record);
    if (!stopped_) position.next = next;
  }
}

void Consumer::take_batch(Position& position, std::span<const std::byte> batch, const OnRecord& on_record) {
  const auto view = protocol::view_of(batch);
  std::span<const std::byte> records = batch.subspan(protocol::kBatchHeaderBytes);
  if (view.compression() != protocol::Compression::kNone) {
    opened_.clear();
    if (const auto done = protocol::append_records(batch, kOpenedMost, opened_); !done) {
      throw CliError(kExitFailed, fmt::format("{}-{}: cannot open the {} batch at offset {}: {}", topic_,
                                              position.partition, to_string(view.compression()),
                                              view.base_offset().value(), to_string(done.error().code)));
    }
    records = opened_;
  }
  protocol::RecordReader reader(records);
  while (!reader.at_end()) {
    const auto record = reader.next();
    if (!record) {
      throw CliError(kExitFailed, fmt::format("{}-{}: the batch at offset {} holds something that is no record", topic_,
                                              position.partition, view.base_offset().value()));
    }
    const int64_t offset = view.base_offset().value() + record->offset_delta;
    if (offset < position.next) continue;  // a batch comes whole
    if (offset >= position.end) return;
    const int64_t stamp =
        view.log_append_time() ? view.max_timestamp() : view.base_timestamp() + record->timestamp_delta;
    if (!on_record({position.partition, offset, stamp, view.log_append_time(), *record})) {
      stopped_ = true;
      return;
    }
  }
}

}  // namespace penstock::cli
