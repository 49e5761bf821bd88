// BrokerSim: one lcore's broker (connections, handlers, Store) on simulated streams, disk and clock, with idempotent
// producers and consumers that speak Kafka's protocol, crashed and started again. Everything comes from the seed.
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

#include "dataplane/kafka/clients.h"
#include "tests/kafka_requests.h"
#include "tests/sim/sim_clock.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_stream.h"

namespace penstock::sim {

class BrokerSim {
 public:
  explicit BrokerSim(uint64_t seed);
  ~BrokerSim();

  // Empty if all held, else what did not.
  std::string run(int lives, int steps_a_life);
  uint64_t trace_hash() const { return disk_.trace_hash(); }
  uint64_t acked() const { return acked_; }
  uint64_t crashes() const { return crashes_; }
  uint64_t resent() const { return resent_; }

 private:
  struct Sent {
    int32_t base_sequence;
    int32_t records;
    int32_t correlation = 0;
    testing::Bytes batch;
  };
  struct Producer {
    int64_t id;
    int partition;
    uint32_t client = 0;
    int32_t next_sequence = 0;
    std::deque<Sent> in_flight;
    std::vector<std::pair<int64_t, std::string>> acked;  // first offset and first value of each acknowledged batch
  };
  struct Consumer {
    int partition;
    uint32_t client = 0;
    int32_t correlation = 0;  // of the fetch in flight, 0 if none
    int64_t position = 0;
  };
  using Seen = std::map<int64_t, std::string>;  // what consumers saw of a partition

  std::string open();
  void connect(uint32_t& client);
  void reconnect_all();
  void turn();
  void produce_one(Producer& producer);
  void send_batch(Producer& producer, Sent& sent);
  std::string take_acks(Producer& producer);
  void fetch_one(Consumer& consumer);
  std::string take_fetched(Consumer& consumer);
  std::string step();
  std::string settle();
  void lose_broker();
  std::string end_life();
  std::string check_all();
  std::string check_producer(const Producer& producer, const std::vector<std::pair<int64_t, std::string>>& log) const;

  Prng prng_;
  SimClock clock_;
  SimDisk disk_;
  Prng store_prng_;
  std::vector<std::byte> memory_;
  dataplane::DataplaneOptions options_;
  dataplane::DataplaneCounters counters_;
  storage::StorageCounters storage_counters_;
  SpscRing<dataplane::Event> events_{64};
  std::unique_ptr<storage::StoreSet> store_;
  std::unique_ptr<dataplane::Broker> broker_;
  std::deque<SimStream> streams_;
  std::unique_ptr<dataplane::Clients<SimStream>> clients_;
  std::vector<Producer> producers_;
  std::vector<Consumer> consumers_;
  std::vector<Seen> seen_;
  int32_t correlation_ = 0;
  bool made_ = false;
  uint64_t stream_seed_;
  uint64_t acked_ = 0;
  uint64_t crashes_ = 0;
  uint64_t resent_ = 0;
};

}  // namespace penstock::sim
