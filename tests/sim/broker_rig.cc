#include "tests/sim/broker_rig.h"

#include "tests/sim/open_on_heap.h"

namespace penstock::sim {

using dataplane::Broker;
using dataplane::Clients;
using storage::LogId;

BrokerRig::BrokerRig(uint64_t seed, size_t event_slots, uint16_t rings)
    : disk(clock, seed), events(event_slots), prng_(seed, 9), seed_(seed) {
  disk.make_durable_dir("data");
  store = std::make_unique<storage::StoreSet>();
  for (uint16_t ring = 0; ring < rings; ++ring) {
    if (ring > 0) more_disks_.emplace_back(clock, seed + ring).make_durable_dir("data");
    open_ring(ring, ring == 0 ? disk : more_disks_.back());
  }
  broker = std::make_unique<Broker>(Broker{.store = *store,
                                           .options = options,
                                           .counters = counters,
                                           .events = events,
                                           .control_doorbell = nullptr,
                                           .now = clock.monotonic()});
  broker->recompressor = &recompressor;
  clients = std::make_unique<Clients<SimStream>>(*broker);
}

BrokerRig::~BrokerRig() {
  clients->close_all();
  CHECK(broker->answer_bytes == 0);
}

void BrokerRig::open_ring(uint16_t ring, SimDisk& ring_disk) {
  storage::StoreRequest request{.folder = "data",
                                .ring_index = ring,
                                .disk = &ring_disk,
                                .clock = &clock,
                                .prng = &prng_,
                                .counters = &storage_counters,
                                .live_logs = {},
                                .next_log_id = LogId{1}};
  request.options.ring_bytes = kRingBytes;
  request.options.unflushed_max_bytes = kUnflushedMax;
  store->add(ring, open_on_heap(std::move(request), memory_), {});
}

void BrokerRig::publish(int partitions) {
  auto image = std::make_shared<dataplane::RoutingImage>();
  image->revision = ++revision_;
  image->node_id = BrokerId{7};
  image->addresses = std::make_shared<const dataplane::NodeAddresses>(addresses);
  auto topic = std::make_shared<dataplane::TopicRoute>();
  topic->name = "t";
  topic->id.bytes[0] = 9;
  topic->stored_as = stored_as;
  topic->is_compacted = compacted;
  for (int i = 0; i < partitions; ++i) {
    const LogId log{static_cast<uint64_t>(i) + 1};
    store->open_log(store->rings()[static_cast<size_t>(i) % store->rings().size()], log, {.compact = compacted});
    topic->partitions.push_back({.log = log, .lcore = 0, .leader_epoch = LeaderEpoch{3}});
  }
  image->insert(std::move(topic));
  auto internal = std::make_shared<dataplane::TopicRoute>();
  internal->name = "__i";
  internal->id.bytes[0] = 8;
  internal->is_internal = true;
  store->open_log(0, LogId{100});
  internal->partitions.push_back({.log = LogId{100}, .lcore = 0, .leader_epoch = LeaderEpoch{3}});
  image->insert(std::move(internal));
  clients->publish(std::move(image));
}

void BrokerRig::publish_nothing() {
  auto image = std::make_shared<dataplane::RoutingImage>();
  image->revision = ++revision_;
  clients->publish(std::move(image));
}

uint32_t BrokerRig::connect(uint16_t listener) {
  const auto client = static_cast<uint32_t>(streams_.size());
  streams_.emplace_back(seed_ * 1000 + client);
  clients->add(client, streams_.back(), listener);
  return client;
}

void BrokerRig::turn() {
  broker->now = clock.monotonic();
  for (uint32_t client = 0; client < streams_.size(); ++client) {
    switch (streams_[client].step()) {
      case SimStream::Event::kNone: break;
      case SimStream::Event::kReceived: clients->received(client); break;
      case SimStream::Event::kWritable: clients->writable(client); break;
      case SimStream::Event::kEnded: clients->ended(client); break;
    }
  }
  if (recompressor_works) recompressor.work();
  while (auto parcel = recompressor.next()) clients->home(std::move(parcel));
  store->submit();
  woken = clients->wake(store->poll());
  clock.advance(turn_time);
}

std::optional<testing::Bytes> BrokerRig::answer(uint32_t client, int most) {
  for (int i = 0; i < most; ++i) {
    if (auto found = streams_[client].next_answer()) return found;
    turn();
  }
  return std::nullopt;
}

}  // namespace penstock::sim
