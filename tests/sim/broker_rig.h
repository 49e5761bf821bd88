// One lcore's Kafka side on one thread: connections over SimStream, their handlers and a Store on a SimDisk (or
// several, each on its own: partition i lives in ring i modulo their number), with the caller as control. Each turn is
// the lcore loop's.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "dataplane/kafka/clients.h"
#include "tests/kafka_wire.h"
#include "tests/sim/sim_clock.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_stream.h"

namespace penstock::sim {

class BrokerRig {
 public:
  static constexpr size_t kRingBytes = 8 * kMiB;
  static constexpr int64_t kUnflushedMax = 4 * kMiB;

  explicit BrokerRig(uint64_t seed, size_t event_slots = 64, uint16_t rings = 1);
  ~BrokerRig();

  // An image with topic "t" of so many partitions (logs 1, 2, ...) and the internal topic "__i" of one (log 100).
  void publish(int partitions);
  void publish_nothing();

  uint32_t connect(uint16_t listener = 0);
  SimStream& stream(uint32_t client) { return streams_[client]; }
  bool is_open(uint32_t client) { return !streams_[client].closed(); }
  void send(uint32_t client, std::span<const std::byte> bytes) { streams_[client].peer_sends(bytes); }

  void turn();
  void turns(int n) {
    for (int i = 0; i < n; ++i) turn();
  }
  // Turns until the client has a whole answer; nullopt if none came in many turns.
  std::optional<testing::Bytes> answer(uint32_t client, int most = 2000);
  template <class Answer, class Ask>
  std::optional<Answer> call(uint32_t client, const Ask& ask, int16_t version) {
    send(client, testing::frame_of(ask, version, ++correlation_));
    const auto frame = answer(client);
    if (!frame) return std::nullopt;
    auto decoded = testing::decode_answer<Answer>(*frame, version);
    if (!decoded || decoded->correlation != correlation_) return std::nullopt;
    return std::move(decoded->message);
  }

  SimClock clock;
  SimDisk disk;
  Nanos turn_time = 20 * kMicrosecond;
  size_t woken = 0;  // connections, in the last turn
  dataplane::DataplaneOptions options;
  dataplane::DataplaneCounters counters;
  storage::StorageCounters storage_counters;
  SpscRing<dataplane::Event> events;
  std::unique_ptr<storage::StoreSet> store;
  Doorbell doorbell;
  dataplane::Recompressor recompressor{doorbell};  // works in the turn
  bool recompressor_works = true;
  std::optional<dataplane::StoredCodec> stored_as;  // of topic "t", from the next publish() on
  bool compacted = false;                           // the same
  dataplane::NodeAddresses addresses;               // of this broker, node 7; the same
  std::unique_ptr<dataplane::Broker> broker;
  std::unique_ptr<dataplane::Clients<SimStream>> clients;

  uint64_t count(dataplane::Metric metric) const { return counters.get(metric); }

 private:
  void open_ring(uint16_t ring, SimDisk& ring_disk);

  Prng prng_;
  std::deque<std::vector<std::byte>> memory_;  // by ring
  std::deque<SimDisk> more_disks_;
  std::deque<SimStream> streams_;  // by slot, which is the client's number; none is used twice
  uint64_t seed_;
  uint64_t revision_ = 0;
  int32_t correlation_ = 0;
};

}  // namespace penstock::sim
