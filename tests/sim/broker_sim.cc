#include "tests/sim/broker_sim.h"

#include <algorithm>
#include <array>

namespace penstock::sim {

using storage::LogId;
using testing::Bytes;

namespace {
constexpr size_t kRingBytes = 8 * kMiB;  // more than a run produces: a full ring is the store simulator's matter
constexpr int kPartitions = 6;
constexpr size_t kWindow = 5;  // requests in flight that an idempotent producer may have (KIP-98)
constexpr int16_t kProduceVersion = 9;
constexpr int16_t kFetchVersion = 12;

std::string value_of(int64_t producer, int32_t sequence) {
  return "p" + std::to_string(producer) + "-" + std::to_string(sequence) + "-";
}
}  // namespace

BrokerSim::Ring::Ring(SimClock& clock, uint64_t seed) : disk(clock, seed), memory(kRingBytes + 4096) {
  disk.make_durable_dir("data");
}

BrokerSim::BrokerSim(uint64_t seed, std::vector<uint16_t> lcores)
    : prng_(seed, 11),
      store_prng_(seed, 12),
      lcores_of_lives_(std::move(lcores)),
      seen_(kPartitions),
      stream_seed_(seed * 1'000'003) {
  for (uint16_t ring = 0; ring < kRings; ++ring) rings_.emplace_back(clock_, seed + ring * 7919u);
  for (int64_t id = 1; id <= 5; ++id) producers_.push_back({.id = id, .partition = static_cast<int>(id) % kPartitions});
  for (int i = 0; i < 3; ++i) consumers_.push_back({.positions = std::vector<int64_t>(kPartitions)});
}

BrokerSim::~BrokerSim() { lose_broker(); }

uint64_t BrokerSim::trace_hash() const {
  uint64_t hash = 0;
  for (const Ring& ring : rings_) hash = hash * 31 + ring.disk.trace_hash();
  return hash;
}

std::string BrokerSim::open_ring(uint16_t ring, storage::StoreSet& store) {
  SimDisk& disk = rings_[ring].disk;
  std::vector<std::byte>& memory = rings_[ring].memory;
  std::vector<storage::LogToOpen> live;
  for (int partition = 0; made_ && partition < kPartitions; ++partition) {
    if (partition % kRings == ring) live.push_back({LogId{static_cast<uint64_t>(partition) + 1}});
  }
  storage::StoreRequest request{.folder = "data",
                                .ring_index = ring,
                                .disk = &disk,
                                .clock = &clock_,
                                .prng = &store_prng_,
                                .counters = &storage_counters_,
                                .live_logs = live,
                                .next_log_id = LogId{kPartitions + 1}};
  request.options.ring_bytes = kRingBytes;
  request.options.unflushed_max_bytes = 2 * kMiB;
  request.allocate = [&](size_t bytes) {
    const auto at = reinterpret_cast<uintptr_t>(memory.data());
    return std::span(memory).subspan(align_up(at, 4096) - at, bytes);
  };
  for (int attempt = 0;; ++attempt) {
    if (attempt < 2 && prng_.one_in(8)) disk.faults().power_off_in = prng_.between(1, 24);
    auto opened = storage::Store::open(request);
    disk.faults().power_off_in = 0;
    if (opened) {
      store.add(ring, std::move(*opened), live);
      return {};
    }
    if (!disk.is_off()) return "open refused: " + opened.error().what;
    disk.power_on();
    crashes_ += 1;
  }
}

std::string BrokerSim::open() {
  lcore_count_ = lcores_of_lives_[prng_.below(lcores_of_lives_.size())];
  // Small rings between the lcores: they fill up at times.
  const auto mesh = std::make_shared<dataplane::Mesh>(lcore_count_, size_t{2} << prng_.below(5));
  for (uint16_t lcore = 0; lcore < lcore_count_; ++lcore) {
    auto store = std::make_unique<storage::StoreSet>();
    for (uint16_t ring = lcore; ring < kRings; ring = static_cast<uint16_t>(ring + lcore_count_)) {
      if (std::string wrong = open_ring(ring, *store); !wrong.empty()) return wrong;
    }
    lcores_.emplace_back(lcore, ++stream_seed_, clock_, options_, std::move(store), mesh);
  }
  made_ = true;
  for (int partition = 0; partition < kPartitions; ++partition) {
    store_of(partition).open_log(static_cast<uint16_t>(partition % kRings),
                                 LogId{static_cast<uint64_t>(partition) + 1});
  }
  const auto routes = image();
  for (SimLcore& lcore : lcores_) lcore.clients.publish(routes);
  reconnect_all();
  return {};
}

std::shared_ptr<const dataplane::RoutingImage> BrokerSim::image() const {
  auto image = std::make_shared<dataplane::RoutingImage>();
  image->revision = 1;
  auto topic = std::make_shared<dataplane::TopicRoute>();
  topic->name = "t";
  topic->id.bytes[0] = 9;
  for (int partition = 0; partition < kPartitions; ++partition) {
    topic->partitions.push_back({.log = LogId{static_cast<uint64_t>(partition) + 1},
                                 .lcore = static_cast<uint16_t>(partition % kRings % lcore_count_),
                                 .leader_epoch = LeaderEpoch{0}});
  }
  image->insert(std::move(topic));
  return image;
}

storage::StoreSet& BrokerSim::store_of(int partition) {
  return *lcores_[static_cast<size_t>(partition % kRings % lcore_count_)].store;
}

void BrokerSim::connect(Client& client) {
  client.lcore = static_cast<uint16_t>(prng_.below(lcore_count_));
  client.slot = lcores_[client.lcore].connect();
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
    if (prng_.one_in(3)) std::ranges::fill(consumer.positions, 0);  // read again: what was seen must still be there
  }
}

// The lcores' turns in any order, and some go more often than others.
void BrokerSim::turn() {
  for (size_t i = 0; i < lcores_.size(); ++i) {
    lcores_[prng_.below(lcores_.size())].turn();
    clock_.advance(static_cast<Nanos>(prng_.below(100 * kMicrosecond / lcores_.size())));
  }
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
  stream(producer.client)
      .peer_sends(
          testing::frame_of(testing::produce_of(producer.partition, sent.batch), kProduceVersion, sent.correlation));
}

std::string BrokerSim::take_acks(Producer& producer) {
  while (const auto frame = stream(producer.client).next_answer()) {
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

// Of one partition or of several, so that an answer is joined from several lcores.
void BrokerSim::fetch_one(Consumer& consumer) {
  if (consumer.correlation != 0) return;
  consumer.correlation = ++correlation_;
  consumer.asked.clear();
  const auto first = static_cast<int>(prng_.below(kPartitions));
  const int count = prng_.one_in(2) ? 1 : static_cast<int>(prng_.between(2, kPartitions));
  auto request = testing::fetch_of(first, 0, prng_.one_in(3) ? 0 : static_cast<int32_t>(prng_.between(1, 3000)),
                                   static_cast<int32_t>(prng_.below(20)));
  request.max_bytes = prng_.one_in(3) ? static_cast<int32_t>(prng_.between(1, 20'000)) : INT32_MAX;
  request.topics[0].partitions.clear();
  for (int i = 0; i < count; ++i) {
    const int partition = (first + i) % kPartitions;
    consumer.asked.push_back(partition);
    request.topics[0].partitions.push_back({.partition = partition,
                                            .fetch_offset = consumer.positions[static_cast<size_t>(partition)],
                                            .partition_max_bytes = static_cast<int32_t>(prng_.between(1, 300'000))});
  }
  stream(consumer.client).peer_sends(testing::frame_of(request, kFetchVersion, consumer.correlation));
}

std::string BrokerSim::take_fetched(Consumer& consumer) {
  while (const auto frame = stream(consumer.client).next_answer()) {
    const auto answer = testing::decode_answer<testing::FetchResponse>(*frame, kFetchVersion);
    if (!answer || answer->correlation != consumer.correlation) return "a Fetch answer cannot be read";
    consumer.correlation = 0;
    const auto& partitions = answer->message.responses.at(0).partitions;
    if (partitions.size() != consumer.asked.size()) return "a Fetch answer lacks partitions";
    for (size_t i = 0; i < partitions.size(); ++i) {
      if (partitions[i].partition_index != consumer.asked[i]) return "a Fetch answer is not in the request's order";
      if (std::string wrong = take_fetched(consumer, partitions[i]); !wrong.empty()) return wrong;
    }
  }
  return {};
}

std::string BrokerSim::take_fetched(Consumer& consumer, const testing::FetchResponse::PartitionData& partition) {
  if (partition.error_code != ErrorCode::kNone)
    return "Fetch was answered with error " + std::string(penstock::to_string(partition.error_code));
  if (!partition.records || partition.records->empty()) return {};
  int64_t& position = consumer.positions[static_cast<size_t>(partition.partition_index)];
  Seen& seen = seen_[static_cast<size_t>(partition.partition_index)];
  const auto records = testing::records_of(*partition.records);
  if (records.empty()) return "a consumer was given a part of a batch and nothing else";
  for (const auto& [offset, value] : records) {
    if (offset < position) continue;  // batches come whole
    if (offset != position) return "a consumer was given a gap";
    position += 1;
    const auto [it, fresh] = seen.emplace(offset, value);
    if (!fresh && it->second != value) return "a record that was seen has changed";
  }
  if (position > partition.high_watermark) return "a record above the high watermark was served";
  return {};
}

std::string BrokerSim::step() {
  if (prng_.one_in(2)) produce_one(producers_[prng_.below(producers_.size())]);
  if (prng_.one_in(3)) fetch_one(consumers_[prng_.below(consumers_.size())]);
  if (prng_.one_in(200)) {  // a client that loses its connection sends again on another
    Producer& producer = producers_[prng_.below(producers_.size())];
    stream(producer.client).peer_ends();
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
  for (SimLcore& lcore : lcores_) {
    parcels_ += lcore.count(dataplane::Metric::parcels_served);
    lcore.clients.close_all();
  }
  for (SimLcore& lcore : lcores_) lcore.host.give_up();
  for (SimLcore& lcore : lcores_) lcore.drop_mail();
  lcores_.clear();
}

std::string BrokerSim::end_life() {
  if (prng_.one_in(4)) {
    for (SimLcore& lcore : lcores_) lcore.clients.stop();
    // As the lcore loop does: nobody seals before the others have what they asked for.
    const auto asks = [](const SimLcore& lcore) { return lcore.broker.parts_out > 0; };
    for (int i = 0; i < 2000 && std::ranges::any_of(lcores_, asks); ++i) turn();
    if (std::ranges::any_of(lcores_, asks)) return "a part of a request never comes home";
    for (SimLcore& lcore : lcores_) lcore.store->begin_stop();
    const auto stopped = [](const SimLcore& lcore) { return lcore.store->stopped(); };
    for (int i = 0; i < 4000 && !std::ranges::all_of(lcores_, stopped); ++i) turn();
    if (!std::ranges::all_of(lcores_, stopped)) return "a store does not stop";
  }
  for (Ring& ring : rings_) ring.disk.lose_power();
  crashes_ += 1;
  lose_broker();
  for (Ring& ring : rings_) ring.disk.power_on();
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
    const auto behind = [&] {
      for (int partition = 0; partition < kPartitions; ++partition) {
        const auto offsets = store_of(partition).offsets(LogId{static_cast<uint64_t>(partition) + 1});
        if (consumer.positions[static_cast<size_t>(partition)] < offsets->durable.value()) return true;
      }
      return false;
    };
    for (int i = 0; i < 40'000 && behind(); ++i) {
      fetch_one(consumer);
      turn();
      if (std::string wrong = settle(); !wrong.empty()) return wrong;
    }
    if (behind()) return "a consumer does not get to the end";
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
