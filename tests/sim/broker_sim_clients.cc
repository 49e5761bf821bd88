// BrokerSim's producers and consumers.
#include <algorithm>
#include <charconv>

#include "base/crc32c.h"
#include "tests/sim/broker_sim.h"
#include "tests/sim/store_model.h"

namespace penstock::sim {

using storage::LogId;

namespace {

constexpr size_t kWindow = 5;  // requests in flight that an idempotent producer may have (KIP-98)
constexpr int16_t kProduceVersion = 9;
constexpr int16_t kFetchVersion = 12;

}  // namespace

// ---------------------------------------------------------------- connections

void BrokerSim::connect(Client& client) {
  client.lcore = static_cast<uint16_t>(prng_.below(lcore_count_));
  client.slot = lcores_[client.lcore].connect();
}

void BrokerSim::connect(Producer& producer) {
  connect(producer.client);
  for (Sent& sent : producer.in_flight) sent.waits = false;
  producer.retries_now = true;
}

void BrokerSim::reconnect_all() {
  for (Producer& producer : producers_) {
    connect(producer);
    send_again(producer);
  }
  for (Consumer& consumer : consumers_) {
    connect(consumer.client);
    consumer.correlation = 0;
    if (prng_.one_in(3)) std::ranges::fill(consumer.positions, 0);  // read again: what was seen must still be there
  }
}

bool BrokerSim::any_waits() const {
  return std::ranges::any_of(consumers_, [](const Consumer& consumer) { return consumer.correlation != 0; }) ||
         std::ranges::any_of(producers_, [](const Producer& producer) {
           return std::ranges::any_of(producer.in_flight, &Sent::waits);
         });
}

void BrokerSim::note(std::span<const std::byte> frame) { trace_ = (trace_ ^ crc32c(0, frame)) * 0x100000001b3ULL; }

// ---------------------------------------------------------------- produce

// A log that has never heard of a producer takes any sequence (as Kafka's does), so until the first acknowledgement
// only one request is in flight. Nothing new is sent behind what was refused.
void BrokerSim::produce_one(Producer& producer) {
  const size_t most = producer.acked.empty() ? 1 : kWindow;
  const auto refused = [](const Sent& sent) { return !sent.acked && !sent.waits; };
  if (producer.in_flight.size() >= most || std::ranges::any_of(producer.in_flight, refused)) return;
  const int32_t first = producer.next_sequence();
  protocol::BatchBuilder builder({.producer_id = ProducerId{producer.id}, .producer_epoch = 0, .base_sequence = first});
  const auto records = static_cast<int32_t>(prng_.between(1, 4));
  const bool large = prng_.one_in(swarm_.laps ? 2 : 30);
  const size_t padding = prng_.below(!large ? 600 : swarm_.laps ? 100'000 : 200'000);
  for (int32_t i = 0; i < records; ++i) {
    std::string value = std::to_string(producer.id) + "-" + std::to_string(first + i) + "-";
    const size_t named = value.size();
    value.resize(named + padding);
    fill_fast(std::as_writable_bytes(std::span(value).subspan(named)), prng_);
    builder.add(clock_.wall_ms(), std::nullopt, as_bytes(value));
    producer.crcs.push_back(crc32c(0, as_bytes(value)));
  }
  producer.in_flight.push_back({.base_sequence = first, .records = records, .batch = builder.finish()});
  send_batch(producer, producer.in_flight.back());
}

void BrokerSim::send_batch(Producer& producer, Sent& sent) {
  sent.correlation = ++correlation_;
  sent.waits = true;
  stream(producer.client)
      .peer_sends(
          testing::frame_of(testing::produce_of(producer.partition, sent.batch), kProduceVersion, sent.correlation));
}

// Everything that is not acknowledged, in its order.
void BrokerSim::send_again(Producer& producer) {
  producer.retries_now = false;
  for (Sent& sent : producer.in_flight) {
    if (sent.acked) continue;
    send_batch(producer, sent);
    seen_.resent += 1;
  }
}

std::string BrokerSim::take_acks(Producer& producer) {
  while (const auto frame = stream(producer.client).next_answer()) {
    note(*frame);
    if (std::string wrong = take_ack(producer, *frame); !wrong.empty()) return wrong;
  }
  while (!producer.in_flight.empty() && producer.in_flight.front().acked) producer.in_flight.pop_front();
  return {};
}

std::string BrokerSim::take_ack(Producer& producer, std::span<const std::byte> frame) {
  const auto answer = testing::decode_answer<testing::ProduceResponse>(frame, kProduceVersion);
  if (!answer) return "a Produce answer cannot be read";
  const auto sent = std::ranges::find_if(producer.in_flight, &Sent::waits);
  if (sent == producer.in_flight.end() || answer->correlation != sent->correlation)
    return "Produce answers are out of order";
  sent->waits = false;
  const auto& partition = testing::only(answer->message);
  if (partition.error_code != ErrorCode::kNone)
    return take_refusal(producer, *sent, partition.error_code, partition.error_message.value_or(""));
  producer.acked.push_back({partition.base_offset, sent->base_sequence, sent->records});
  sent->acked = true;
  seen_.acked += 1;
  return {};
}

// A batch may be refused for a time, for a reason that there is, and those behind it for the gap that it leaves.
std::string BrokerSim::take_refusal(const Producer& producer, const Sent& sent, ErrorCode error, std::string_view why) {
  const auto refused = [](const Sent& other) { return !other.acked && !other.waits; };
  if (error == ErrorCode::kOutOfOrderSequenceNumber && std::ranges::any_of(producer.in_flight, [&](const Sent& other) {
        return other.base_sequence < sent.base_sequence && refused(other);
      }))
    return {};
  const auto ring = static_cast<uint16_t>(producer.partition % kRings);
  if (error == ErrorCode::kKafkaStorageError) {
    if (why.starts_with("the write-ahead ring is full")) {
      seen_.refused_ring_full += 1;
      return {};
    }
    if (why.starts_with("the drive is full") && rings_[ring].space_scarce) {
      seen_.refused_disk_full += 1;
      return {};
    }
    if (why.starts_with("a write to the log's device failed") && (has_failed(ring) || stopping_)) {
      seen_.refused_poisoned += 1;
      return {};
    }
  }
  return "a batch for ring " + std::to_string(ring) + " was refused with " + std::string(penstock::to_string(error)) +
         ": " + std::string(why);
}

// ---------------------------------------------------------------- fetch

// Of one partition or of several, so that an answer is joined from several lcores. in_haste: often all that there is.
void BrokerSim::fetch_one(Consumer& consumer, bool in_haste) {
  if (consumer.correlation != 0) return;
  consumer.correlation = ++correlation_;
  consumer.asked.clear();
  const auto first = static_cast<int>(prng_.below(kPartitions));
  const bool all = in_haste && prng_.one_in(2);
  const int count = all ? kPartitions : prng_.one_in(2) ? 1 : static_cast<int>(prng_.between(2, kPartitions));
  auto request = testing::fetch_of(first, 0, prng_.one_in(3) ? 0 : static_cast<int32_t>(prng_.between(1, 3000)),
                                   static_cast<int32_t>(prng_.below(20)));
  request.max_bytes = !all && prng_.one_in(3) ? static_cast<int32_t>(prng_.between(1, 20'000)) : INT32_MAX;
  const uint64_t most = all ? 2 * kMiB : 300'000;  // of a partition
  request.topics[0].partitions.clear();
  for (int i = 0; i < count; ++i) {
    const int partition = (first + i) % kPartitions;
    consumer.asked.push_back(partition);
    request.topics[0].partitions.push_back({.partition = partition,
                                            .fetch_offset = consumer.positions[static_cast<size_t>(partition)],
                                            .partition_max_bytes = static_cast<int32_t>(prng_.between(1, most))});
  }
  stream(consumer.client).peer_sends(testing::frame_of(request, kFetchVersion, consumer.correlation));
}

std::string BrokerSim::take_fetched(Consumer& consumer) {
  while (const auto frame = stream(consumer.client).next_answer()) {
    note(*frame);
    const auto answer = testing::decode_answer<testing::FetchResponse>(*frame, kFetchVersion);
    if (!answer || answer->correlation != consumer.correlation) return "a Fetch answer cannot be read";
    consumer.correlation = 0;
    const auto& partitions = answer->message.responses.at(0).partitions;
    if (partitions.size() != consumer.asked.size()) return "a Fetch answer lacks partitions";
    for (size_t i = 0; i < partitions.size(); ++i) {
      if (partitions[i].partition_index != consumer.asked[i]) return "a Fetch answer is not in the request's order";
      if (std::string wrong = take_fetched(consumer, partitions[i]); !wrong.empty())
        return "partition " + std::to_string(consumer.asked[i]) + ": " + wrong;
    }
  }
  return {};
}

std::string BrokerSim::take_fetched(Consumer& consumer, const testing::FetchResponse::PartitionData& partition) {
  const int index = partition.partition_index;
  if (partition.error_code == ErrorCode::kKafkaStorageError && has_failed(static_cast<uint16_t>(index % kRings)))
    return {};
  if (partition.error_code != ErrorCode::kNone)
    return "Fetch was answered with error " + std::string(penstock::to_string(partition.error_code));
  if (!partition.records || partition.records->empty()) return {};
  int64_t& position = consumer.positions[static_cast<size_t>(index)];
  std::vector<Record>& log = logs_[static_cast<size_t>(index)];
  const auto records = testing::records_of(*partition.records);
  if (records.empty()) return "a consumer was given a part of a batch and nothing else";
  for (const auto& [offset, value] : records) {
    if (offset < position) continue;  // batches come whole
    if (offset != position) return "a consumer was given a gap";
    const auto record = identify(index, value);
    if (!record) return "what stands at offset " + std::to_string(offset) + " was never sent there";
    if (static_cast<size_t>(position) == log.size()) log.push_back(*record);
    if (log[static_cast<size_t>(position)] != *record) return "a record that was seen has changed";
    position += 1;
    seen_.fetched += 1;
  }
  if (position > partition.high_watermark) return "a record above the high watermark was served";
  return {};
}

// Which record it is; nothing if it was not sent to this partition, or with other bytes.
auto BrokerSim::identify(int partition, std::string_view value) const -> std::optional<Record> {
  Record record{};
  const char* const end = value.data() + value.size();
  const auto [id_end, no_id] = std::from_chars(value.data(), end, record.producer);
  if (no_id != std::errc() || id_end == end) return std::nullopt;
  const auto [sequence_end, no_sequence] = std::from_chars(id_end + 1, end, record.sequence);
  if (no_sequence != std::errc() || record.producer < 1 || record.sequence < 0) return std::nullopt;
  if (static_cast<size_t>(record.producer) > producers_.size()) return std::nullopt;
  const Producer& producer = producers_[static_cast<size_t>(record.producer - 1)];
  if (producer.partition != partition || record.sequence >= producer.next_sequence()) return std::nullopt;
  if (producer.crcs[static_cast<size_t>(record.sequence)] != crc32c(0, as_bytes(value))) return std::nullopt;
  return record;
}

// ---------------------------------------------------------------- answers

// Takes what has come; who was refused, or has lost the connection, tries again.
std::string BrokerSim::settle() {
  for (Producer& producer : producers_)
    if (std::string wrong = take_acks(producer); !wrong.empty()) return wrong;
  for (Consumer& consumer : consumers_)
    if (std::string wrong = take_fetched(consumer); !wrong.empty()) return wrong;
  if (stopping_) return {};
  if (std::string wrong = settle_ended(); !wrong.empty()) return wrong;
  for (Producer& producer : producers_) {
    if (resting_ || producer.in_flight.empty() || std::ranges::any_of(producer.in_flight, &Sent::waits)) continue;
    if (producer.retries_now || prng_.one_in(20)) send_again(producer);
  }
  return {};
}

// The broker may close a connection whose answer is lost with a ring.
std::string BrokerSim::settle_ended() {
  const auto ended = [&](const Client& client) {
    if (!stream(client).peer_at_end()) return false;
    seen_.cut_off += 1;
    return true;
  };
  const uint64_t before = seen_.cut_off;
  for (Producer& producer : producers_)
    if (ended(producer.client)) connect(producer);
  for (Consumer& consumer : consumers_) {
    if (!ended(consumer.client)) continue;
    connect(consumer.client);
    consumer.correlation = 0;
  }
  return seen_.cut_off > before && !any_failed() ? "the broker closed a connection without a reason" : "";
}

}  // namespace penstock::sim
