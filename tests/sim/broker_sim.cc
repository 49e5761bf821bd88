// BrokerSim's lives.
#include "tests/sim/broker_sim.h"

#include <algorithm>
#include <utility>

namespace penstock::sim {

using storage::LogId;

namespace {

constexpr size_t kAlign = 4096;
constexpr const char* kFolder = "data";

// One for the process: fresh pages cost more than a seed's work.
std::span<std::byte> ring_memory(uint16_t ring, size_t bytes) {
  static std::array<std::vector<std::byte>, BrokerSim::kRings> memory;
  if (memory[ring].size() < bytes + kAlign) memory[ring].resize(bytes + kAlign);
  const auto at = reinterpret_cast<uintptr_t>(memory[ring].data());
  return std::span(memory[ring]).subspan(align_up(at, kAlign) - at, bytes);
}

LogId log_of(int partition) { return LogId{static_cast<uint64_t>(partition) + 1}; }

// Those that lap a ring are all of ring 1.
int partition_of(const BrokerSwarm& swarm, int64_t producer) {
  if (swarm.laps) return producer % 2 == 0 ? 1 : 1 + BrokerSim::kRings;
  return static_cast<int>(producer) % BrokerSim::kPartitions;
}

}  // namespace

BrokerSim::BrokerSim(uint64_t seed, std::vector<uint16_t> lcores, bool by_reference)
    : swarm_(seed),
      prng_(seed, 11),
      store_prng_(seed, 12),
      lcores_of_lives_(std::move(lcores)),
      by_reference_(by_reference),
      logs_(kPartitions),
      stream_seed_(seed * 1'000'003) {
  for (uint16_t ring = 0; ring < kRings; ++ring) rings_.emplace_back(clock_, seed + ring * 7919u);
  for (int64_t id = 1; id <= 5; ++id) producers_.push_back({.id = id, .partition = partition_of(swarm_, id)});
  for (int i = 0; i < 3; ++i) consumers_.push_back({.positions = std::vector<int64_t>(kPartitions)});
}

BrokerSim::~BrokerSim() { lose_broker(); }

uint64_t BrokerSim::trace_hash() const {
  uint64_t hash = trace_;
  for (const Ring& ring : rings_) hash = hash * 31 + ring.disk.trace_hash();
  return hash;
}

// ---------------------------------------------------------------- a life begins

std::string BrokerSim::open() {
  lcore_count_ = lcores_of_lives_[prng_.below(lcores_of_lives_.size())];
  for (int attempt = 0;; ++attempt) {
    end_faults();
    for (Ring& ring : rings_) ring.poison_armed = ring.space_scarce = false;
    const bool may_cut = attempt < 3;
    if (std::string wrong = open_lcores(may_cut); !wrong.empty() && !power_is_off()) return wrong;
    const bool power = power_is_off();
    // A recovery of a recovery is the same.
    if (!power && !(may_cut && prng_.one_in(12))) break;
    seen_.recoveries_cut += 1;
    end(power || prng_.one_in(2));
  }
  end_faults();
  made_ = true;
  for (int partition = 0; partition < kPartitions; ++partition) {
    store_of(partition).open_log(static_cast<uint16_t>(partition % kRings), log_of(partition), log_config());
  }
  const auto routes = image();
  for (SimLcore& lcore : lcores_) lcore.clients.publish(routes);
  reconnect_all();
  return {};
}

std::string BrokerSim::open_lcores(bool may_cut) {
  if (may_cut && prng_.one_in(4)) rings_[prng_.below(kRings)].disk.faults().power_off_in = prng_.between(1, 24);
  // Small rings between the lcores: they fill up at times.
  const auto mesh = std::make_shared<dataplane::Mesh>(lcore_count_, size_t{2} << prng_.below(5));
  for (uint16_t lcore = 0; lcore < lcore_count_; ++lcore) {
    auto store = std::make_unique<storage::StoreSet>();
    for (uint16_t ring = lcore; ring < kRings; ring = static_cast<uint16_t>(ring + lcore_count_)) {
      if (std::string wrong = open_ring(ring, *store); !wrong.empty()) return wrong;
    }
    lcores_.emplace_back(lcore, ++stream_seed_, clock_, options_, std::move(store), mesh);
    lcores_.back().shares = by_reference_;
  }
  return {};
}

std::string BrokerSim::open_ring(uint16_t ring, storage::StoreSet& store) {
  std::vector<storage::LogToOpen> live;
  for (int partition = 0; made_ && partition < kPartitions; ++partition) {
    if (partition % kRings == ring) live.push_back({log_of(partition), log_config()});
  }
  storage::StoreRequest request{.folder = kFolder,
                                .ring_index = ring,
                                .disk = &rings_[ring].disk,
                                .clock = &clock_,
                                .prng = &store_prng_,
                                .counters = &storage_counters_,
                                .live_logs = live,
                                .next_log_id = LogId{kPartitions + 1}};
  request.options.ring_bytes = kRingBytes;
  request.options.unflushed_max_bytes = 2 * kMiB;
  request.options.read_cache_bytes = kMiB;
  request.options.index_cache_bytes = kMiB;
  request.options.disk_reserve_bytes = static_cast<int64_t>(prng_.below(kMiB));
  request.allocate = [ring](size_t bytes) { return ring_memory(ring, bytes); };
  auto opened = storage::Store::open(request);
  if (!opened) return "open refused: " + opened.error().what;
  store.add(ring, std::move(*opened), live);
  return {};
}

storage::LogConfig BrokerSim::log_config() const { return {.segment_bytes = swarm_.segment_bytes}; }

std::shared_ptr<const dataplane::RoutingImage> BrokerSim::image() const {
  auto image = std::make_shared<dataplane::RoutingImage>();
  image->revision = 1;
  auto topic = std::make_shared<dataplane::TopicRoute>();
  topic->name = "t";
  topic->id.bytes[0] = 9;
  for (int partition = 0; partition < kPartitions; ++partition) {
    topic->partitions.push_back({.log = log_of(partition),
                                 .lcore = static_cast<uint16_t>(partition % kRings % lcore_count_),
                                 .leader_epoch = LeaderEpoch{0}});
  }
  image->insert(std::move(topic));
  return image;
}

storage::StoreSet& BrokerSim::store_of(int partition) {
  return *lcores_[static_cast<size_t>(partition % kRings % lcore_count_)].store;
}

// ---------------------------------------------------------------- a life

// The lcores' turns in any order, and some go more often than others; until power goes.
void BrokerSim::turn() {
  for (size_t i = 0; i < lcores_.size() && !power_is_off(); ++i) {
    lcores_[prng_.below(lcores_.size())].turn();
    clock_.advance(static_cast<Nanos>(prng_.below(100 * kMicrosecond / lcores_.size())));
  }
}

std::string BrokerSim::step() {
  if (prng_.one_in(swarm_.rarely)) fault_some();
  if (prng_.one_in(2)) produce_one(producers_[prng_.below(producers_.size())]);
  if (prng_.one_in(3)) fetch_one(consumers_[prng_.below(consumers_.size())]);
  if (prng_.one_in(200)) {  // a client that loses its connection sends again on another
    Producer& producer = producers_[prng_.below(producers_.size())];
    stream(producer.client).peer_ends();
    connect(producer);
    send_again(producer);
  }
  turn();
  note_strikes();
  if (std::string wrong = check_poison(); !wrong.empty()) return wrong;
  return settle();
}

// Time goes on faster than in step(). True: done came to be, or power went.
bool BrokerSim::turn_until(int most, const std::function<bool()>& done, std::string& wrong) {
  for (int i = 0; i < most && wrong.empty() && !power_is_off() && !done(); ++i) {
    turn();
    clock_.advance(static_cast<Nanos>(prng_.below(kMillisecond)));
    wrong = settle();
  }
  return power_is_off() || done();
}

// Whatever the disks do: who has asked is answered, or loses the connection.
std::string BrokerSim::check_answered() {
  std::string wrong;
  resting_ = true;
  const bool answered = turn_until(20'000, [&] { return !any_waits(); }, wrong);
  resting_ = false;
  if (!wrong.empty() || answered) return wrong;
  return "a request is not answered, and its connection stays open";
}

// When the disks are well again, everything is taken, without a restart.
std::string BrokerSim::check_goes_on() {
  end_faults();
  std::string wrong;
  const auto all_acked = [&] {
    return any_failed() || std::ranges::all_of(producers_, [](const Producer& p) { return p.in_flight.empty(); });
  };
  if (turn_until(20'000, all_acked, wrong) || !wrong.empty()) return wrong;
  return "a batch is not taken though the disks are well";
}

// ---------------------------------------------------------------- a life ends

std::string BrokerSim::end_life() {
  std::string wrong;
  const bool power_went = power_is_off();
  if (!power_went && prng_.one_in(4)) wrong = check_answered();
  if (wrong.empty() && !power_is_off() && prng_.one_in(6)) wrong = check_goes_on();
  if (wrong.empty() && !power_is_off() && prng_.one_in(4)) wrong = stop();
  if (!wrong.empty()) return wrong;
  if (power_is_off()) {
    seen_.power_at_op += 1;
    end(true);
  } else if (prng_.one_in(3)) {
    seen_.kills += 1;
    end(false);
  } else {
    seen_.crashes += 1;
    end(true);
  }
  return {};
}

std::string BrokerSim::stop() {
  if (prng_.chance(70)) end_faults();
  stopping_ = true;
  std::string wrong;
  for (SimLcore& lcore : lcores_) lcore.clients.stop();
  const auto all_answered = [&] {
    return std::ranges::none_of(lcores_, [](const SimLcore& lcore) { return lcore.clients.count() > 0; });
  };
  const bool answered = turn_until(2000, all_answered, wrong);
  if (!wrong.empty()) return wrong;
  for (SimLcore& lcore : lcores_) {
    if (!answered) lcore.host.give_up();
    lcore.part();
  }
  const auto all_parted = [&] { return std::ranges::all_of(lcores_, &SimLcore::has_parted); };
  if (!turn_until(20'000, all_parted, wrong)) return wrong.empty() ? "a part of a request never comes home" : wrong;
  for (SimLcore& lcore : lcores_) lcore.store->begin_stop();
  const auto all_stopped = [&] {
    return std::ranges::all_of(lcores_, [](const SimLcore& lcore) { return lcore.store->stopped(); });
  };
  if (!turn_until(20'000, all_stopped, wrong)) return wrong.empty() ? "a store does not stop" : wrong;
  stopping_ = false;
  if (!wrong.empty() || power_is_off()) return wrong;
  seen_.stops += 1;
  return check_stopped();
}

std::string BrokerSim::check_stopped() {
  for (uint16_t ring = 0; ring < kRings; ++ring) {
    if (is_poisoned(ring)) continue;
    const storage::StoreHealth health = lcores_[ring % lcore_count_].store->health(ring);
    if (health.buffers_held > 0) return "a stopped store holds buffers";
    if (health.files_held > 0) return "a stopped store holds files";
    if (health.loans > 0) return "what a stopped store has lent is not home";
    if (rings_[ring].disk.ops_in_flight() > 0) return "a stopped store has ops in flight";
  }
  return {};
}

void BrokerSim::lose_broker() {
  for (SimLcore& lcore : lcores_) {
    seen_.parcels += lcore.count(dataplane::Metric::parcels_served);
    seen_.lent += lcore.count(dataplane::Metric::bytes_fetched_lent);
    seen_.copied_back += lcore.copied_back;
    lcore.clients.close_all();
  }
  for (SimLcore& lcore : lcores_) lcore.host.give_up();
  for (SimLcore& lcore : lcores_) lcore.drop_mail();
  lcores_.clear();
}

// Power goes, for all disks, or the process alone: then what was written stays with the operating system.
void BrokerSim::end(bool power) {
  note_strikes();
  for (SimLcore& lcore : lcores_) {
    for (const uint16_t ring : lcore.store->rings()) {
      rings_[ring].laps = std::max(rings_[ring].laps, lcore.store->durable(ring).value() / kRingBytes);
      if (!rings_[ring].disk.is_off() && lcore.store->poisoned(ring)) seen_.poisoned += 1;
    }
  }
  for (Ring& ring : rings_) power ? ring.disk.lose_power() : ring.disk.kill_process();
  lose_broker();
  for (Ring& ring : rings_) {
    if (ring.disk.is_off()) ring.disk.power_on();
  }
  stopping_ = false;
}

std::string BrokerSim::run(int lives, int steps_a_life) {
  for (int life = 0; life < lives; ++life) {
    const std::string where = "life " + std::to_string(life) + ": ";
    if (std::string wrong = open(); !wrong.empty()) return where + wrong;
    const auto steps = prng_.between(1, static_cast<uint64_t>(steps_a_life));
    for (uint64_t i = 0; i < steps && !power_is_off(); ++i) {
      if (std::string wrong = step(); !wrong.empty()) return where + "step " + std::to_string(i) + ": " + wrong;
    }
    if (std::string wrong = end_life(); !wrong.empty()) return where + "its end: " + wrong;
  }
  std::string wrong = open();
  if (wrong.empty()) wrong = check_all();
  if (!wrong.empty()) return "the last life: " + wrong;
  end(true);
  for (const Ring& ring : rings_) seen_.laps += ring.laps;
  return {};
}

// Everything in flight is acknowledged now, everything is read, and each batch must be there once.
std::string BrokerSim::check_all() {
  if (std::string wrong = check_goes_on(); !wrong.empty()) return wrong;
  for (Consumer& consumer : consumers_) {
    if (std::string wrong = read_to_end(consumer); !wrong.empty()) return wrong;
  }
  for (const Producer& producer : producers_)
    if (std::string wrong = check_producer(producer); !wrong.empty()) return wrong;
  return {};
}

std::string BrokerSim::read_to_end(Consumer& consumer) {
  const auto behind = [&] {
    for (int partition = 0; partition < kPartitions; ++partition) {
      const auto offsets = store_of(partition).offsets(log_of(partition));
      if (consumer.positions[static_cast<size_t>(partition)] < offsets->durable.value()) return true;
    }
    return false;
  };
  uint64_t fetched = seen_.fetched;
  for (int without = 0; behind(); ++without) {
    if (without > 10'000) return "a consumer does not get to the end";
    fetch_one(consumer, true);
    turn();
    if (std::string wrong = settle(); !wrong.empty()) return wrong;
    if (std::exchange(fetched, seen_.fetched) != seen_.fetched) without = 0;
  }
  return {};
}

std::string BrokerSim::check_producer(const Producer& producer) const {
  const std::vector<Record>& log = logs_[static_cast<size_t>(producer.partition)];
  const std::string name = "producer " + std::to_string(producer.id) + ": ";
  int32_t next = 0;
  for (size_t offset = 0; offset < log.size(); ++offset) {
    if (log[offset].producer != producer.id) continue;
    if (log[offset].sequence != next)
      return name + "sequence " + std::to_string(log[offset].sequence) + " stands at offset " + std::to_string(offset) +
             " where " + std::to_string(next) + " belongs";
    next += 1;
  }
  if (next != producer.next_sequence()) return name + "records are missing";
  for (const Acked& acked : producer.acked) {
    for (int32_t i = 0; i < acked.records; ++i) {
      const auto offset = static_cast<size_t>(acked.offset + i);
      if (acked.offset < 0 || offset >= log.size() || log[offset] != Record{producer.id, acked.base_sequence + i})
        return name + "sequence " + std::to_string(acked.base_sequence + i) + " was acknowledged at offset " +
               std::to_string(offset) + ", and something else is there";
    }
  }
  return {};
}

}  // namespace penstock::sim
