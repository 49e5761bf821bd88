#include "tests/sim/broker_sim.h"

#include <algorithm>
#include <array>

namespace penstock::sim {

using storage::LogId;
using testing::Bytes;

namespace {
constexpr size_t kRingBytes = 16 * kMiB;  // more than a run produces: a full ring is the store simulator's matter
constexpr int kPartitions = 3;
constexpr size_t kWindow = 5;  // requests in flight that an idempotent producer may have (KIP-98)
constexpr int16_t kProduceVersion = 9;
constexpr int16_t kFetchVersion = 12;

std::string value_of(int64_t producer, int32_t sequence) {
  return "p" + std::to_string(producer) + "-" + std::to_string(sequence) + "-";
}
}  // namespace

BrokerSim::BrokerSim(uint64_t seed)
    : prng_(seed, 11),
      disk_(clock_, seed),
      store_prng_(seed, 12),
      memory_(kRingBytes + 4096),
      seen_(kPartitions),
      stream_seed_(seed * 1'000'003) {
  disk_.make_durable_dir("data");
  for (int64_t id = 1; id <= 4; ++id) producers_.push_back({.id = id, .partition = static_cast<int>(id) % kPartitions});
  for (int partition = 0; partition < kPartitions; ++partition) consumers_.push_back({.partition = partition});
}

BrokerSim::~BrokerSim() {
  if (clients_) clients_->close_all();
}

std::string BrokerSim::open() {
  std::vector<storage::LogToOpen> live;
  for (uint64_t log = 1; made_ && log <= kPartitions; ++log) live.push_back({LogId{log}});
  storage::StoreRequest request{.folder = "data",
                                .disk = &disk_,
                                .clock = &clock_,
                                .prng = &store_prng_,
                                .counters = &storage_counters_,
                                .live_logs = live,
                                .next_log_id = LogId{kPartitions + 1}};
  request.options.ring_bytes = kRingBytes;
  request.options.unflushed_max_bytes = 2 * kMiB;
  request.allocate = [&](size_t bytes) {
    const auto at = reinterpret_cast<uintptr_t>(memory_.data());
    return std::span(memory_).subspan(align_up(at, 4096) - at, bytes);
  };
  for (int attempt = 0;; ++attempt) {
    if (attempt < 2 && prng_.one_in(8)) disk_.faults().power_off_in = prng_.between(1, 24);
    auto opened = storage::Store::open(request);
    disk_.faults().power_off_in = 0;
    if (opened) {
      store_ = std::make_unique<storage::StoreSet>();
      store_->add(0, std::move(*opened), live);
      break;
    }
    if (!disk_.is_off()) return "open refused: " + opened.error().what;
    disk_.power_on();
    crashes_ += 1;
  }
  made_ = true;
  broker_ = std::make_unique<dataplane::Broker>(dataplane::Broker{.store = *store_,
                                                                  .options = options_,
                                                                  .counters = counters_,
                                                                  .events = events_,
                                                                  .control_doorbell = nullptr,
                                                                  .now = clock_.monotonic()});
  clients_ = std::make_unique<dataplane::Clients<SimStream>>(*broker_);
  auto image = std::make_shared<dataplane::RoutingImage>();
  image->revision = 1;
  auto topic = std::make_shared<dataplane::TopicRoute>();
  topic->name = "t";
  topic->id.bytes[0] = 9;
  for (uint64_t log = 1; log <= kPartitions; ++log) {
    store_->open_log(0, LogId{log});
    topic->partitions.push_back({.log = LogId{log}, .lcore = 0, .leader_epoch = LeaderEpoch{0}});
  }
  image->insert(std::move(topic));
  clients_->publish(std::move(image));
  reconnect_all();
  return {};
}

void BrokerSim::connect(uint32_t& client) {
  client = static_cast<uint32_t>(streams_.size());
  streams_.emplace_back(++stream_seed_);
  clients_->add(client, streams_.back(), 0);
}

void BrokerSim::reconnect_all() {
  for (Producer& producer : producers_) {
    connect(producer.client);
    for (Sent& sent : producer.in_flight) {
      send_batch(producer, sent);
      resent_ += 1;
    }
  }
  for (Consumer& consumer : consumers_) {
    connect(consumer.client);
    consumer.correlation = 0;
    if (prng_.one_in(3)) consumer.position = 0;  // read again: what was seen must still be there
  }
}

void BrokerSim::turn() {
  broker_->now = clock_.monotonic();
  for (uint32_t client = 0; client < streams_.size(); ++client) {
    switch (streams_[client].step()) {
      case SimStream::Event::kNone: break;
      case SimStream::Event::kReceived: clients_->received(client); break;
      case SimStream::Event::kWritable: clients_->writable(client); break;
      case SimStream::Event::kEnded: clients_->ended(client); break;
    }
  }
  store_->submit();
  clients_->wake(store_->poll());
  clock_.advance(static_cast<Nanos>(prng_.below(100 * kMicrosecond)));
}

void BrokerSim::produce_one(Producer& producer) {
  if (producer.in_flight.size() >= kWindow) return;
  protocol::BatchBuilder builder(
      {.producer_id = ProducerId{producer.id}, .producer_epoch = 0, .base_sequence = producer.next_sequence});
  const auto records = static_cast<int32_t>(prng_.between(1, 4));
  const size_t padding = prng_.one_in(30) ? prng_.below(200'000) : prng_.below(600);
  for (int32_t i = 0; i < records; ++i) {
    const std::string value = value_of(producer.id, producer.next_sequence + i) + std::string(padding, '.');
    builder.add(clock_.wall_ms(), std::nullopt, as_bytes(value));
  }
  producer.in_flight.push_back({producer.next_sequence, records, 0, builder.finish()});
  producer.next_sequence += records;
  send_batch(producer, producer.in_flight.back());
}

void BrokerSim::send_batch(Producer& producer, Sent& sent) {
  sent.correlation = ++correlation_;
  streams_[producer.client].peer_sends(
      testing::frame_of(testing::produce_of(producer.partition, sent.batch), kProduceVersion, sent.correlation));
}

std::string BrokerSim::take_acks(Producer& producer) {
  while (const auto frame = streams_[producer.client].next_answer()) {
    const auto answer = testing::decode_answer<testing::ProduceResponse>(*frame, kProduceVersion);
    if (!answer) return "a Produce answer cannot be read";
    if (producer.in_flight.empty() || answer->correlation != producer.in_flight.front().correlation)
      return "Produce answers are out of order";
    const auto& partition = testing::only(answer->message);
    if (partition.error_code != ErrorCode::kNone)
      return "Produce was answered with error " + std::string(penstock::to_string(partition.error_code));
    producer.acked.emplace_back(partition.base_offset, value_of(producer.id, producer.in_flight.front().base_sequence));
    producer.in_flight.pop_front();
    acked_ += 1;
  }
  return {};
}

void BrokerSim::fetch_one(Consumer& consumer) {
  if (consumer.correlation != 0) return;
  consumer.correlation = ++correlation_;
  auto request = testing::fetch_of(consumer.partition, consumer.position, prng_.one_in(3) ? 0 : 1,
                                   static_cast<int32_t>(prng_.below(20)));
  request.topics[0].partitions[0].partition_max_bytes = static_cast<int32_t>(prng_.between(1, 300'000));
  streams_[consumer.client].peer_sends(testing::frame_of(request, kFetchVersion, consumer.correlation));
}

std::string BrokerSim::take_fetched(Consumer& consumer) {
  while (const auto frame = streams_[consumer.client].next_answer()) {
    const auto answer = testing::decode_answer<testing::FetchResponse>(*frame, kFetchVersion);
    if (!answer || answer->correlation != consumer.correlation) return "a Fetch answer cannot be read";
    consumer.correlation = 0;
    const auto& partition = testing::only(answer->message);
    if (partition.error_code != ErrorCode::kNone)
      return "Fetch was answered with error " + std::string(penstock::to_string(partition.error_code));
    if (!partition.records) continue;
    Seen& seen = seen_[static_cast<size_t>(consumer.partition)];
    for (auto& [offset, value] : testing::records_of(*partition.records)) {
      if (offset < consumer.position) continue;  // batches come whole
      if (offset != consumer.position) return "a consumer was given a gap";
      consumer.position += 1;
      const auto [it, fresh] = seen.emplace(offset, value);
      if (!fresh && it->second != value) return "a record that was seen has changed";
    }
    if (consumer.position > partition.high_watermark) return "a record above the high watermark was served";
  }
  return {};
}

std::string BrokerSim::step() {
  if (prng_.one_in(2)) produce_one(producers_[prng_.below(producers_.size())]);
  if (prng_.one_in(3)) fetch_one(consumers_[prng_.below(consumers_.size())]);
  if (prng_.one_in(200)) {  // a client that loses its connection sends again on another
    Producer& producer = producers_[prng_.below(producers_.size())];
    streams_[producer.client].peer_ends();
    connect(producer.client);
    for (Sent& sent : producer.in_flight) send_batch(producer, sent);
    resent_ += producer.in_flight.size();
  }
  turn();
  return settle();
}

std::string BrokerSim::settle() {
  for (Producer& producer : producers_)
    if (std::string wrong = take_acks(producer); !wrong.empty()) return wrong;
  for (Consumer& consumer : consumers_)
    if (std::string wrong = take_fetched(consumer); !wrong.empty()) return wrong;
  return {};
}

void BrokerSim::lose_broker() {
  clients_->close_all();
  clients_.reset();
  broker_.reset();
  store_.reset();
  streams_.clear();
}

std::string BrokerSim::end_life() {
  if (prng_.one_in(4)) {
    clients_->stop();
    store_->begin_stop();
    for (int i = 0; i < 2000 && !store_->stopped(); ++i) turn();
    if (!store_->stopped()) return "the store does not stop";
  }
  disk_.lose_power();
  crashes_ += 1;
  lose_broker();
  disk_.power_on();
  return {};
}

std::string BrokerSim::run(int lives, int steps_a_life) {
  for (int life = 0; life < lives; ++life) {
    if (std::string wrong = open(); !wrong.empty()) return wrong;
    const auto steps = prng_.between(1, static_cast<uint64_t>(steps_a_life));
    for (uint64_t i = 0; i < steps; ++i)
      if (std::string wrong = step(); !wrong.empty()) return wrong;
    if (std::string wrong = end_life(); !wrong.empty()) return wrong;
  }
  if (std::string wrong = open(); !wrong.empty()) return wrong;
  return check_all();
}

// Everything in flight is acknowledged now, everything is read, and each batch must be there once.
std::string BrokerSim::check_all() {
  const auto unanswered = [&] {
    return std::ranges::any_of(producers_, [](const Producer& p) { return !p.in_flight.empty(); });
  };
  for (int i = 0; i < 20'000 && unanswered(); ++i) {
    turn();
    if (std::string wrong = settle(); !wrong.empty()) return wrong;
  }
  if (unanswered()) return "a batch is never answered";
  for (Consumer& consumer : consumers_) {
    const auto end = store_->offsets(LogId{static_cast<uint64_t>(consumer.partition) + 1})->durable.value();
    for (int i = 0; i < 20'000 && consumer.position < end; ++i) {
      fetch_one(consumer);
      turn();
      if (std::string wrong = settle(); !wrong.empty()) return wrong;
    }
    if (consumer.position < end) return "a consumer does not get to the end";
  }
  for (const Producer& producer : producers_) {
    const Seen& seen = seen_[static_cast<size_t>(producer.partition)];
    const std::vector<std::pair<int64_t, std::string>> log(seen.begin(), seen.end());
    if (std::string wrong = check_producer(producer, log); !wrong.empty()) return wrong;
  }
  return {};
}

std::string BrokerSim::check_producer(const Producer& producer,
                                      const std::vector<std::pair<int64_t, std::string>>& log) const {
  int32_t next = 0;
  for (const auto& [offset, value] : log) {
    if (!value.starts_with("p" + std::to_string(producer.id) + "-")) continue;
    if (!value.starts_with(value_of(producer.id, next)))
      return "partition " + std::to_string(producer.partition) + " offset " + std::to_string(offset) + ": " +
             value.substr(0, 20) + " where sequence " + std::to_string(next) + " belongs";
    next += 1;
  }
  if (next != producer.next_sequence) return "records of producer " + std::to_string(producer.id) + " are missing";
  for (const auto& [offset, value] : producer.acked)
    if (offset < 0 || offset >= static_cast<int64_t>(log.size()) ||
        !log[static_cast<size_t>(offset)].second.starts_with(value))
      return "acked " + value + " is not at offset " + std::to_string(offset);
  return {};
}

}  // namespace penstock::sim
