// BrokerSim: a broker of one or several lcores (connections, handlers, Stores) on simulated streams, disks and clock,
// with idempotent producers and consumers that speak Kafka's protocol. Its disks fail, its process is killed, its power
// goes, also at some op of a disk; each time it starts again, with another number of lcores if the seed says so. Each
// ring has its own disk; the lcores share the rings out by their numbers and take their turns in an order from the
// seed. Everything comes from the seed; what a seed does at all it draws first: BrokerSwarm.
//
// Producers keep up to five requests in flight and, as a Kafka client does, send again what was refused for a time, or
// not answered when their connection was lost. So at the end each batch that was ever sent must be in its partition
// exactly once, in order, with the bytes that were sent, acknowledged ones at the offset that was told, and nothing
// that a consumer saw may have changed. A request is refused only for a reason that there is.
//
// broker_sim.cc: lives; broker_sim_clients.cc: producers and consumers; broker_sim_faults.cc: what the disks do.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/kafka_requests.h"
#include "tests/sim/broker_swarm.h"
#include "tests/sim/sim_clock.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_lcore.h"

namespace penstock::sim {

class BrokerSim {
 public:
  static constexpr uint16_t kRings = 4;
  static constexpr int kPartitions = 6;
  static constexpr size_t kRingBytes = 4 * kMiB;  // as small as they come: some seeds lap one

  // lcores: those that a life may have; one of them is drawn for each.
  // by_reference: streams take records where they lie, as a device does.
  explicit BrokerSim(uint64_t seed, std::vector<uint16_t> lcores = {1}, bool by_reference = false);
  ~BrokerSim();

  // Lives of the broker, each ended by a loss of power, the process's end or a stop. Empty if all held, else what did
  // not.
  std::string run(int lives, int steps_a_life);
  // Of everything that went to the disks, and of every answer.
  uint64_t trace_hash() const;

  struct Seen {
    uint64_t acked = 0, resent = 0, fetched = 0;  // batches, batches, records
    uint64_t parcels = 0;                         // parts of requests that one lcore did for another
    uint64_t lent = 0, copied_back = 0;           // bytes
    // Power lost between two turns, at an op of a disk, and in a recovery; the process's end; stops.
    uint64_t crashes = 0, power_at_op = 0, recoveries_cut = 0, kills = 0, stops = 0;
    uint64_t laps = 0;      // of all rings
    uint64_t poisoned = 0;  // rings
    // Batches refused for a time.
    uint64_t refused_ring_full = 0, refused_disk_full = 0, refused_poisoned = 0;
    uint64_t cut_off = 0;  // connections that the broker closed
    std::array<uint64_t, static_cast<size_t>(BrokerFault::kCount)> struck{};
    uint64_t of(BrokerFault fault) const { return struck[static_cast<size_t>(fault)]; }
  };
  const Seen& seen() const { return seen_; }
  const storage::StorageCounters& counters() const { return storage_counters_; }

 private:
  struct Ring {
    Ring(SimClock& clock, uint64_t seed) : disk(clock, seed) { disk.make_durable_dir("data"); }
    SimDisk disk;
    uint64_t laps = 0;
    std::optional<BrokerFault> armed{};  // one that strikes once, and has not yet
    bool poison_armed = false;           // one was that may fence the ring, in this life
    bool space_scarce = false;           // the disk is full, or was, in this life
  };
  struct Client {  // of a lcore
    uint16_t lcore = 0;
    uint32_t slot = 0;
  };
  struct Sent {
    int32_t base_sequence;
    int32_t records;
    testing::Bytes batch;
    int32_t correlation = 0;
    bool waits = false;  // for an answer on the connection that there is
    bool acked = false;
  };
  struct Acked {
    int64_t offset;
    int32_t base_sequence;
    int32_t records;
  };
  struct Producer {
    int64_t id;
    int partition;
    Client client{};
    bool retries_now = false;  // its connection was lost
    std::deque<Sent> in_flight{};
    std::vector<Acked> acked{};
    std::vector<uint32_t> crcs{};  // of each value that it has sent, by sequence
    int32_t next_sequence() const { return static_cast<int32_t>(crcs.size()); }
  };
  struct Consumer {
    Client client{};
    int32_t correlation = 0;           // of the fetch in flight, 0 if none
    std::vector<int> asked{};          // its partitions
    std::vector<int64_t> positions{};  // by partition
  };
  struct Record {  // which one it is
    int64_t producer;
    int32_t sequence;
    friend bool operator==(const Record&, const Record&) = default;
  };

  // ---- lives (broker_sim.cc)
  std::string open();
  std::string open_lcores(bool may_cut);
  std::string open_ring(uint16_t ring, storage::StoreSet& store);
  std::shared_ptr<const dataplane::RoutingImage> image() const;
  storage::LogConfig log_config() const;
  storage::StoreSet& store_of(int partition);
  void turn();
  bool turn_until(int most, const std::function<bool()>& done, std::string& wrong);
  std::string step();
  std::string end_life();
  std::string stop();
  std::string check_stopped();
  std::string check_answered();
  std::string check_goes_on();
  void lose_broker();
  void end(bool power);
  std::string check_all();
  std::string read_to_end(Consumer& consumer);
  std::string check_producer(const Producer& producer) const;

  // ---- clients (broker_sim_clients.cc)
  SimStream& stream(Client client) { return lcores_[client.lcore].streams[client.slot]; }
  void connect(Client& client);
  void connect(Producer& producer);
  void reconnect_all();
  bool any_waits() const;
  void produce_one(Producer& producer);
  void send_batch(Producer& producer, Sent& sent);
  void send_again(Producer& producer);
  std::string take_acks(Producer& producer);
  std::string take_ack(Producer& producer, std::span<const std::byte> frame);
  std::string take_refusal(const Producer& producer, const Sent& sent, ErrorCode error, std::string_view why);
  void fetch_one(Consumer& consumer, bool in_haste = false);
  std::string take_fetched(Consumer& consumer);
  std::string take_fetched(Consumer& consumer, const testing::FetchResponse::PartitionData& partition);
  std::optional<Record> identify(int partition, std::string_view value) const;
  std::string settle();
  std::string settle_ended();
  void note(std::span<const std::byte> frame);

  // ---- faults (broker_sim_faults.cc)
  Ring& ring_of(int partition) { return rings_[static_cast<size_t>(partition % kRings)]; }
  bool is_poisoned(uint16_t ring) const;
  bool has_failed(uint16_t ring) const;  // its lcore cannot serve it
  bool any_failed() const;
  bool power_is_off() const;
  void fault_some();
  void strike(Ring& ring, BrokerFault fault);
  void note_strikes();
  void end_faults();
  std::string check_poison() const;

  const BrokerSwarm swarm_;
  Prng prng_;
  SimClock clock_;
  std::deque<Ring> rings_;
  Prng store_prng_;
  const std::vector<uint16_t> lcores_of_lives_;
  const bool by_reference_;
  dataplane::DataplaneOptions options_;
  storage::StorageCounters storage_counters_;
  uint16_t lcore_count_ = 1;  // of this life
  std::deque<SimLcore> lcores_;
  std::vector<Producer> producers_;
  std::vector<Consumer> consumers_;
  std::vector<std::vector<Record>> logs_;  // what consumers saw, by partition and offset
  int32_t correlation_ = 0;
  bool made_ = false;
  bool resting_ = false;   // nothing new is sent
  bool stopping_ = false;  // so is the broker
  uint64_t stream_seed_;
  uint64_t trace_ = 0xcbf29ce484222325ULL;
  Seen seen_;
};

}  // namespace penstock::sim
