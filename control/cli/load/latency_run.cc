#include "control/cli/load/latency_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <limits>
#include <utility>

#include "base/bytes.h"
#include "base/cpu_time.h"
#include "base/units.h"
#include "control/cli/error.h"
#include "control/cli/json.h"
#include "control/cli/load/consume_run.h"
#include "control/cli/load/fetch_answer.h"
#include "control/cli/load/meter.h"
#include "protocol/gen/fetch.h"
#include "protocol/gen/produce.h"
#include "protocol/record_batch.h"

namespace penstock::cli {
namespace {

constexpr size_t kAnswerMost = 16 * kMiB;
constexpr int32_t kFetchBytes = 1 << 20;
constexpr int32_t kLongPollMs = 500;
constexpr size_t kRunIdAt = 0;
constexpr size_t kDueAt = 8;
constexpr size_t kStampBytes = 16;
constexpr Nanos kLeadIn = 5 * kMillisecond;
constexpr Nanos kWarmUp = 300 * kMillisecond;
constexpr Nanos kNever = std::numeric_limits<Nanos>::max() / 2;

std::unique_ptr<Link> connect(Cluster& cluster, const KafkaClient& broker, Nanos timeout) {
  return std::make_unique<Link>(cluster.transport().connect(broker.endpoint(), timeout), broker.endpoint().text(),
                                kAnswerMost);
}

}  // namespace

LatencyRun::LatencyRun(Clock& clock, Cluster& cluster, const Topic& topic, const LatencyOptions& options,
                       DiskWriter* disk)
    : clock_(clock),
      options_(options),
      topic_(topic.name),
      topic_id_(topic.id),
      partition_(topic.partitions.front().index),
      disk_(disk),
      watch_(cluster.transport().watch(clock)),
      run_id_(Prng(static_cast<uint64_t>(clock.monotonic()), static_cast<uint64_t>(clock.wall_ms())).next()),
      value_(std::max<uint64_t>(options.record_bytes, kStampBytes)),
      end_offset_(cluster.list_offsets(topic, kLatest).front()),
      read_offset_(end_offset_) {
  KafkaClient& broker = cluster.broker(topic.partitions.front().leader);
  produce_version_ = broker.versions().pick<protocol::ProduceRequest>();
  fetch_version_ = broker.versions().pick<protocol::FetchRequest>();
  producer_ = connect(cluster, broker, options.broker.timeout);
  consumer_ = connect(cluster, broker, options.broker.timeout);
  watch_->add(producer_->wire(), 0);
  watch_->add(consumer_->wire(), 1);
  Prng(run_id_).fill(value_);
  store_le(value_.data() + kRunIdAt, run_id_);
}

LatencyReport LatencyRun::run() {
  const size_t kinds = disk_ == nullptr ? 2 : 3;
  for (size_t kind = 0; kind < kinds; ++kind) block(kind, std::min(kWarmUp, options_.block));
  report_ = {};
  for (uint32_t round = 0; round < options_.rounds && !interrupt_.seen(); ++round) {
    for (size_t i = 0; i < kinds; ++i) {
      // There and back again: a steady drift then weighs on all kinds alike.
      block(round % 2 == 0 ? i : kinds - 1 - i, options_.block);
      const auto& last = report_.blocks.back();
      if (options_.quiet) continue;
      fmt::print(stderr, "round {:2} of {}  {:<4}  p50 {}  p99 {}\n", round + 1, options_.rounds, last.kind,
                 duration_text(last.p50), duration_text(last.p99));
    }
  }
  return std::move(report_);
}

void LatencyRun::block(size_t kind, Nanos length) {
  if (kind == 2) return disk_block(length);
  produce_block(length, kind == 1);
}

void LatencyRun::produce_block(Nanos length, bool read) {
  const Nanos start = clock_.monotonic() + kLeadIn;
  const Schedule schedule(start, 1, options_.rate);
  const uint64_t total = schedule.due_by(start + length - 1);
  const Nanos deadline = start + length + options_.broker.timeout;
  Histogram acks;
  Reading reading{.wanted = read ? total : 0};
  if (read) {
    read_offset_ = end_offset_;
    ask();
  }
  for (uint64_t sent = 0; sent < total || !pending_.empty() || reading.records < reading.wanted;) {
    for (const uint64_t due = std::min(schedule.due_by(clock_.monotonic()), total); sent < due; ++sent) {
      send(schedule.due(sent));
    }
    wait(sent < total ? schedule.due(sent) : kNever, deadline);
    take_acks(acks);
    if (read) take_records(reading);
  }
  finish_block(read ? "end" : "ack", read ? report_.end : report_.ack, read ? reading.latency : acks);
  if (read) report_.ack_read.merge(acks);
}

void LatencyRun::disk_block(Nanos length) {
  const Nanos start = clock_.monotonic() + kLeadIn;
  const Schedule schedule(start, 1, options_.rate);
  const uint64_t total = schedule.due_by(start + length - 1);
  Histogram writes;
  for (uint64_t i = 0; i < total; ++i) {
    const Nanos due = schedule.due(i);
    while (clock_.monotonic() < due) watch_->wait({due, kNever, options_.spin});
    disk_->write();
    writes.record(static_cast<uint64_t>(clock_.monotonic() - due));
  }
  finish_block("disk", report_.disk, writes);
}

void LatencyRun::finish_block(const char* kind, Histogram& all, const Histogram& block) {
  all.merge(block);
  report_.blocks.push_back({kind, block.percentile(50), block.percentile(99)});
}

void LatencyRun::wait(Nanos next_due, Nanos deadline) {
  if (clock_.monotonic() > deadline) {
    throw CliError(kExitUnreachable,
                   fmt::format("{}: no answer within {} s", producer_->peer(), options_.broker.timeout / kSecond));
  }
  // One small request at a time hardly fills a socket; if it does, the next turn tries again.
  const bool flushed = producer_->flush() && consumer_->flush();
  watch_->wait({next_due, deadline, options_.spin || !flushed});
}

void LatencyRun::send(Nanos due) {
  report_.send_lag.record(static_cast<uint64_t>(std::max<Nanos>(clock_.monotonic() - due, 0)));
  store_le(value_.data() + kDueAt, due);
  protocol::BatchBuilder batch;
  batch.add(clock_.wall_ms(), std::nullopt, value_);
  protocol::ProduceRequest request;
  request.acks = options_.acks;
  request.timeout_ms = static_cast<int32_t>(options_.broker.timeout / kMillisecond);
  auto& topic = request.topic_data.emplace_back();
  topic.name = topic_;
  topic.topic_id = topic_id_;
  auto& partition = topic.partition_data.emplace_back();
  partition.index = partition_;
  partition.records = batch.finish();
  const CorrelationId id = next_id();
  auto frame = request_head(protocol::ProduceRequest::kApiKey, produce_version_, id);
  if (!protocol::encode(request, produce_version_, frame)) throw CliError(kExitFailed, "a Produce cannot be encoded");
  producer_->queue(std::move(frame));
  producer_->flush();
  pending_.push_back({due, id});
}

void LatencyRun::ask() {
  protocol::FetchRequest request;
  request.max_wait_ms = kLongPollMs;
  request.min_bytes = 1;
  request.max_bytes = kFetchBytes;
  auto& topic = request.topics.emplace_back();
  topic.topic = topic_;
  topic.topic_id = topic_id_;
  auto& partition = topic.partitions.emplace_back();
  partition.partition = partition_;
  partition.fetch_offset = read_offset_;
  partition.partition_max_bytes = kFetchBytes;
  fetch_id_ = next_id();
  auto frame = request_head(protocol::FetchRequest::kApiKey, fetch_version_, fetch_id_);
  if (!protocol::encode(request, fetch_version_, frame)) throw CliError(kExitFailed, "a Fetch cannot be encoded");
  consumer_->queue(std::move(frame));
  consumer_->flush();
}

void LatencyRun::take_acks(Histogram& latency) {
  while (producer_->receive()) {
    const Nanos now = clock_.monotonic();
    while (const auto frame = producer_->next_frame()) {
      if (pending_.empty()) throw CliError(kExitFailed, "the broker answered a request that was not sent");
      const Pending pending = pending_.front();
      pending_.pop_front();
      protocol::ProduceResponse response;
      const auto body =
          response_body(*frame, protocol::ProduceRequest::kApiKey, produce_version_, pending.correlation_id);
      if (!protocol::decode(body, produce_version_, response) || response.responses.size() != 1 ||
          response.responses[0].partition_responses.size() != 1) {
        throw CliError(kExitFailed, "the broker's Produce answer makes no sense");
      }
      const auto& result = response.responses[0].partition_responses[0];
      check_error(result.error_code, "the broker refused a batch", result.error_message.value_or(""));
      end_offset_ = result.base_offset + 1;
      latency.record(static_cast<uint64_t>(std::max<Nanos>(now - pending.due, 0)));
    }
  }
}

void LatencyRun::take_records(Reading& reading) {
  while (consumer_->receive()) {
    const Nanos now = clock_.monotonic();
    while (const auto frame = consumer_->next_frame()) {
      const auto body = response_body(*frame, protocol::FetchRequest::kApiKey, fetch_version_, fetch_id_);
      const auto answer = read_fetch_answer(body, fetch_version_);
      if (!answer) throw CliError(kExitFailed, "the broker's Fetch answer makes no sense");
      check_error(answer->error, "the broker refused a Fetch");
      for (const FetchedPartition& fetched : answer->partitions) {
        check_error(fetched.error, fmt::format("cannot fetch {}-{}", topic_, fetched.index));
        const BatchesRead read = read_batches(fetched.records, read_offset_, false);
        read_times(fetched.records.first(read.bytes), now, reading);
        read_offset_ = read.next_offset;
      }
      if (reading.records < reading.wanted) ask();
    }
  }
}

void LatencyRun::read_times(std::span<const std::byte> records, Nanos now, Reading& reading) {
  while (!records.empty()) {
    const auto batch = *protocol::first_batch(records);
    records = records.subspan(batch.size());
    if (protocol::view_of(batch).compression() != protocol::Compression::kNone) continue;  // not ours
    protocol::RecordReader reader(batch.subspan(protocol::kBatchHeaderBytes));
    while (!reader.at_end()) {
      const auto record = reader.next();
      if (!record) throw CliError(kExitFailed, "a fetched batch holds no records");
      if (!record->value || record->value->size() < kStampBytes) continue;
      if (load_le<uint64_t>(record->value->data() + kRunIdAt) != run_id_) continue;
      reading.latency.record(
          static_cast<uint64_t>(std::max<Nanos>(now - load_le<Nanos>(record->value->data() + kDueAt), 0)));
      ++reading.records;
    }
  }
}

Json latency_report_json(const LatencyReport& report) {
  auto blocks = Json::array();
  for (const auto& block : report.blocks) {
    blocks.push_back({{"kind", block.kind},
                      {"p50_us", static_cast<double>(block.p50) / 1e3},
                      {"p99_us", static_cast<double>(block.p99) / 1e3}});
  }
  Json out{{"produce_to_ack_us", latency_json(report.ack)},
           {"produce_to_consume_us", latency_json(report.end)},
           {"produce_to_ack_while_consuming_us", latency_json(report.ack_read)}};
  if (report.disk.count() > 0) {
    out["durable_write_us"] = latency_json(report.disk);
    out["ack_over_durable_write_p50"] =
        static_cast<double>(report.ack.percentile(50)) / static_cast<double>(report.disk.percentile(50));
  }
  out["send_lag_us"] = latency_json(report.send_lag);
  out["client_cpu_seconds"] = cpu_seconds();
  out["blocks"] = blocks;
  return out;
}

std::string latency_report_text(const LatencyReport& report) {
  std::string out = fmt::format("produce to ack:          {}\nproduce to consume:      {}\n", latency_text(report.ack),
                                latency_text(report.end));
  out += fmt::format("ack while consuming:     {}\n", latency_text(report.ack_read));
  if (report.disk.count() > 0) {
    out += fmt::format("durable write:           {}\n", latency_text(report.disk));
    out +=
        fmt::format("ack / durable write:     {:.2f} at p50, {:.2f} at p99\n",
                    static_cast<double>(report.ack.percentile(50)) / static_cast<double>(report.disk.percentile(50)),
                    static_cast<double>(report.ack.percentile(99)) / static_cast<double>(report.disk.percentile(99)));
  }
  return out + fmt::format("sent late by:            {}\n", latency_text(report.send_lag));
}

}  // namespace penstock::cli
