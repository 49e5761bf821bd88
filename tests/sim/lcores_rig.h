// Several lcores on one thread: partition i of topic "t" belongs to lcore i modulo their number, each lcore has one
// ring of that number on a disk of its own, and clients connect where the test says. Turns are taken in an order from
// the seed. With the test as control.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "tests/kafka_requests.h"
#include "tests/sim/open_on_heap.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_lcore.h"

namespace penstock::sim {

class LcoresRig {
 public:
  static constexpr size_t kRingBytes = 8 * kMiB;

  struct Client {
    uint16_t lcore;
    uint32_t slot;
  };

  LcoresRig(uint64_t seed, uint16_t lcores, size_t letters = dataplane::Mesh::kLetters)
      : prng_(seed, 9), order_(seed, 10), count_(lcores) {
    const auto mesh = std::make_shared<dataplane::Mesh>(lcores, letters);
    for (uint16_t i = 0; i < lcores; ++i) {
      disks.emplace_back(clock, seed + i).make_durable_dir("data");
      lcores_.emplace_back(i, seed * 100 + i, clock, options, open_ring(i), mesh);
    }
  }
  ~LcoresRig() {
    for (SimLcore& lcore : lcores_) lcore.clients.close_all();
    turns(50);
    for (SimLcore& lcore : lcores_) CHECK(lcore.broker.answer_bytes == 0);
    for (SimLcore& lcore : lcores_) lcore.host.give_up();
    for (SimLcore& lcore : lcores_) lcore.drop_mail();
  }

  // Opens the logs and gives each lcore but those in not_yet the image.
  void publish(int partitions, const std::set<uint16_t>& not_yet = {}) {
    auto image = std::make_shared<dataplane::RoutingImage>();
    image->revision = ++revision_;
    image->node_id = BrokerId{7};
    image->addresses = std::make_shared<const dataplane::NodeAddresses>(addresses);
    auto topic = std::make_shared<dataplane::TopicRoute>();
    topic->name = "t";
    topic->id.bytes[0] = 9;
    topic->stored_as = stored_as;
    for (int i = 0; i < partitions; ++i) {
      topic->partitions.push_back({.log = log_of(i), .lcore = owner_of(i), .leader_epoch = LeaderEpoch{3}});
    }
    image->insert(std::move(topic));
    image_ = image;
    partitions_ = partitions;
    for (uint16_t i = 0; i < count_; ++i) {
      if (!not_yet.contains(i)) publish_to(i);
    }
  }
  void publish_to(uint16_t lcore) {
    for (int i = lcore; i < partitions_; i += count_) lcores_[lcore].store->open_log(lcore, log_of(i));
    lcores_[lcore].clients.publish(image_);
  }
  static storage::LogId log_of(int partition) { return storage::LogId{static_cast<uint64_t>(partition) + 1}; }
  uint16_t owner_of(int partition) const { return static_cast<uint16_t>(partition % count_); }

  Client connect(uint16_t lcore, uint16_t listener = 0) { return {lcore, lcores_[lcore].connect(listener)}; }
  SimStream& stream(Client client) { return lcores_[client.lcore].streams[client.slot]; }
  bool is_open(Client client) { return !stream(client).closed(); }
  void send(Client client, std::span<const std::byte> bytes) { stream(client).peer_sends(bytes); }

  // Each lcore that is not stuck once, in any order.
  void turn() {
    std::vector<uint16_t> order(count_);
    for (uint16_t i = 0; i < count_; ++i) order[i] = i;
    for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[order_.below(i)]);
    for (const uint16_t lcore : order) {
      if (!stuck.contains(lcore)) lcores_[lcore].turn();
    }
    clock.advance(20 * kMicrosecond);
  }
  void turns(int n) {
    for (int i = 0; i < n; ++i) turn();
  }
  std::optional<testing::Bytes> answer(Client client, int most = 3000) {
    for (int i = 0; i < most; ++i) {
      if (auto found = stream(client).next_answer()) return found;
      turn();
    }
    return std::nullopt;
  }
  template <class Answer, class Ask>
  std::optional<Answer> call(Client client, const Ask& ask, int16_t version) {
    send(client, testing::frame_of(ask, version, ++correlation_));
    const auto frame = answer(client);
    if (!frame) return std::nullopt;
    auto decoded = testing::decode_answer<Answer>(*frame, version);
    if (!decoded || decoded->correlation != correlation_) return std::nullopt;
    return std::move(decoded->message);
  }
  SimLcore& lcore(uint16_t index) { return lcores_[index]; }

  SimClock clock;
  std::deque<SimDisk> disks;  // by lcore
  dataplane::DataplaneOptions options;
  storage::StorageCounters storage_counters;
  std::set<uint16_t> stuck;                         // lcores that take no turn
  std::optional<dataplane::StoredCodec> stored_as;  // of the topic, from the next publish() on
  dataplane::NodeAddresses addresses;               // of this broker, node 7; the same

 private:
  std::unique_ptr<storage::StoreSet> open_ring(uint16_t ring) {
    storage::StoreRequest request{.folder = "data",
                                  .ring_index = ring,
                                  .disk = &disks.back(),
                                  .clock = &clock,
                                  .prng = &prng_,
                                  .counters = &storage_counters,
                                  .live_logs = {},
                                  .next_log_id = storage::LogId{1}};
    request.options.ring_bytes = kRingBytes;
    request.options.unflushed_max_bytes = 4 * kMiB;
    auto set = std::make_unique<storage::StoreSet>();
    set->add(ring, open_on_heap(std::move(request), memory_), {});
    return set;
  }

  Prng prng_;
  Prng order_;
  const uint16_t count_;
  std::deque<std::vector<std::byte>> memory_;
  std::deque<SimLcore> lcores_;
  std::shared_ptr<const dataplane::RoutingImage> image_;
  int partitions_ = 0;
  uint64_t revision_ = 0;
  int32_t correlation_ = 0;
};

}  // namespace penstock::sim
