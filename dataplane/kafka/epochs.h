// OffsetForLeaderEpoch (API key 23), versions 2 to 4: where a leader epoch ended, by which a consumer finds out that
// the log has parted from what it has read (KIP-101, KIP-320). Partitions of other lcores are asked there (EpochPart).
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "dataplane/kafka/broker.h"
#include "dataplane/kafka/parcel.h"
#include "dataplane/kafka/request.h"
#include "dataplane/kafka/response.h"
#include "protocol/gen/offset_for_leader_epoch.h"

namespace penstock::dataplane {

// Fills in what is found, on the lcore that owns the log.
void find_epoch_end(Broker& broker, EpochPart::Item& item);

class EpochsHandler {
 public:
  enum class State : uint8_t {
    kDone,       // take_answer()
    kParked,     // never: nothing here waits for records that are yet to come
    kReading,    // waits for another lcore: call go_on() when a parcel has come home
    kMalformed,  // close the connection
  };
  State begin(Broker& broker, const Request& request, ConnectionId who);
  State go_on(Broker& broker);
  // A parcel has come back: call go_on(). Not this request's: it is dropped.
  void home(ParcelPtr parcel);
  Response take_answer() { return std::move(response_); }

 private:
  bool look_at_all(Broker& broker, const protocol::OffsetForLeaderEpochRequest& asked, ConnectionId who);
  void settle(const EpochPart::Item& item);

  int16_t version_ = 0;
  CorrelationId correlation_id_;
  protocol::OffsetForLeaderEpochResponse answer_;
  uint64_t number_ = 0;  // of this request's parcels
  size_t away_ = 0;      // of them
  Response response_;
};

}  // namespace penstock::dataplane
