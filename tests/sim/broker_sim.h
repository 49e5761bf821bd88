// BrokerSim: a broker of one or several lcores (connections, handlers, Stores) on simulated streams, disks and clock,
// with idempotent producers and consumers that speak Kafka's protocol, crashed and started again, each time with
// another number of lcores if the seed says so. Each ring has its own disk; the lcores share the rings out by their
// numbers and take their turns in an order from the seed. Everything comes from the seed.
//
// Producers keep up to five requests in flight and, as a Kafka client does, send again what was not answered when their
// connection is lost. So at the end each batch that was ever sent must be in its partition exactly once, in order,
// acknowledged ones at the offset that was told, and nothing that a consumer saw may have changed.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/kafka_requests.h"
#include "tests/sim/sim_clock.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_lcore.h"

namespace penstock::sim {

class BrokerSim {
 public:
  static constexpr uint16_t kRings = 4;

  // lcores: those that a life may have; one of them is drawn for each.
  explicit BrokerSim(uint64_t seed, std::vector<uint16_t> lcores = {1});
  ~BrokerSim();

  // Empty if all held, else what did not.
  std::string run(int lives, int steps_a_life);
  uint64_t trace_hash() const;
  uint64_t acked() const { return acked_; }
  uint64_t crashes() const { return crashes_; }
  uint64_t resent() const { return resent_; }
  // Parts of requests that one lcore did for another.
  uint64_t parcels() const { return parcels_; }

 private:
  struct Ring {
    Ring(SimClock& clock, uint64_t seed);
    SimDisk disk;
    std::vector<std::byte> memory;
  };
  struct Client {  // of a lcore
    uint16_t lcore = 0;
    uint32_t slot = 0;
  };
  struct Sent {
    int32_t base_sequence;
    int32_t records;
    int32_t correlation = 0;
    testing::Bytes batch;
  };
  struct Producer {
    int64_t id;
    int partition;
    Client client{};
    int32_t next_sequence = 0;
    std::deque<Sent> in_flight;
    std::vector<std::pair<int64_t, std::string>> acked;  // first offset and first value of each acknowledged batch
  };
  struct Consumer {
    Client client{};
    int32_t correlation = 0;           // of the fetch in flight, 0 if none
    std::vector<int> asked{};          // its partitions
    std::vector<int64_t> positions{};  // by partition
  };
  using Seen = std::map<int64_t, std::string>;  // what consumers saw of a partition

  std::string open();
  std::string open_ring(uint16_t ring, storage::StoreSet& store);
  std::shared_ptr<const dataplane::RoutingImage> image() const;
  void connect(Client& client);
  SimStream& stream(Client client) { return lcores_[client.lcore].streams[client.slot]; }
  storage::StoreSet& store_of(int partition);
  void reconnect_all();
  void turn();
  void produce_one(Producer& producer);
  void send_batch(Producer& producer, Sent& sent);
  std::string take_acks(Producer& producer);
  void fetch_one(Consumer& consumer);
  std::string take_fetched(Consumer& consumer);
  std::string take_fetched(Consumer& consumer, const testing::FetchResponse::PartitionData& partition);
  std::string step();
  std::string settle();
  void lose_broker();
  std::string end_life();
  std::string check_all();
  std::string check_producer(const Producer& producer, const std::vector<std::pair<int64_t, std::string>>& log) const;

  Prng prng_;
  SimClock clock_;
  std::deque<Ring> rings_;
  Prng store_prng_;
  const std::vector<uint16_t> lcores_of_lives_;
  dataplane::DataplaneOptions options_;
  storage::StorageCounters storage_counters_;
  uint16_t lcore_count_ = 1;  // of this life
  std::deque<SimLcore> lcores_;
  std::vector<Producer> producers_;
  std::vector<Consumer> consumers_;
  std::vector<Seen> seen_;
  int32_t correlation_ = 0;
  bool made_ = false;
  uint64_t stream_seed_;
  uint64_t acked_ = 0;
  uint64_t crashes_ = 0;
  uint64_t resent_ = 0;
  uint64_t parcels_ = 0;
};

}  // namespace penstock::sim
