// Host: does parts of requests for the connections of other lcores, on the partitions of this one. A parcel is done
// when it is read and goes back at once; only batches that the device holds back stay, in the order in which they came.
// So nothing of another lcore's connections lives here, whatever they do, but one bit a log and lcore: that somebody
// there waits for more of it.
//
// Bounds: what is held are parcels (parcel.h); the bits are dropped with their logs.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "dataplane/kafka/broker.h"
#include "dataplane/kafka/parcel.h"

namespace penstock::dataplane {

class Host {
 public:
  static constexpr uint16_t kLcoresMax = 64;  // bits of a watch

  explicit Host(Broker& broker) : broker_(broker) {}

  void take(ParcelPtr parcel);
  // Once a turn, behind store.poll() and with what that returned: what was held goes on, and the others are told which
  // logs and rings have moved. Returns how many parcels went on.
  size_t settle(size_t completed);
  void log_dropped(storage::LogId log);
  // Its owner wants back what this lcore's connections have of a ring.
  void loans_recalled(const LoansRecalled& said) { broker_.lender.recall(said.ring, said.below); }
  // The broker stops and waits no longer: what is held goes back refused.
  void give_up();

 private:
  struct RingTold {
    uint16_t ring;
    storage::Lsn wanted;  // somebody there waits for this
    storage::Lsn told;
    bool told_poisoned = false;
  };
  struct Peer {
    std::deque<ParcelPtr> early;  // made by an image that is not here yet
    std::deque<ParcelPtr> held;   // batches that the device holds back, and those of their connections behind them
    std::unordered_map<ConnectionId, size_t> held_of;
    std::vector<RingTold> rings;
    std::vector<storage::LogId> moved;
  };

  Peer& peer(uint16_t lcore);
  void serve(ParcelPtr parcel);
  bool serve(Parcel& parcel, ProducePart& part);
  bool serve(Parcel& parcel, LookPart& part);
  bool serve(Parcel& parcel, ListPart& part);
  bool serve(Parcel& parcel, EpochPart& part);
  bool serve(Parcel& parcel, ViewPart& part);
  bool serve(Parcel&, RecompressPart&) { return true; }  // a recompressor's, never an lcore's
  bool serve(Parcel&, std::monostate) { return true; }
  void lend(ViewPart& part, ViewPart::Item& item, size_t& room);
  void hold(ParcelPtr parcel);
  void send_home(ParcelPtr parcel);
  size_t go_on(Peer& peer);
  void watch(uint16_t lcore, storage::LogId log) { watched_[log] |= uint64_t{1} << lcore; }
  void log_moved(storage::LogId log);
  void want(uint16_t lcore, storage::DurableAt at);
  void tell(uint16_t lcore, Peer& peer);

  Broker& broker_;
  std::deque<Peer> peers_;                                // by lcore
  std::unordered_map<storage::LogId, uint64_t> watched_;  // lcores in which somebody waits
};

}  // namespace penstock::dataplane
