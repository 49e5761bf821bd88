// ListOffsets (API key 2), versions 1 to 11: where a partition begins, ends, or stood at a time. A time that lies in
// records which are on the drive alone is found by reading it: the request waits for those partitions. Those of other
// lcores are looked up there, one parcel an lcore (ListPart).
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "dataplane/kafka/broker.h"
#include "dataplane/kafka/parcel.h"
#include "dataplane/kafka/request.h"
#include "dataplane/kafka/response.h"
#include "dataplane/kafka/wakeups.h"
#include "protocol/gen/list_offsets.h"

namespace penstock::dataplane {

// Fills in what is found, on the lcore that owns the log; pending: the drive is being read for it.
void look_up(Broker& broker, int16_t version, ListPart::Item& item);

class ListOffsetsHandler {
 public:
  enum class State : uint8_t {
    kDone,       // take_answer()
    kParked,     // never: nothing here waits for records that are yet to come
    kReading,    // waits for the drive or another lcore: call go_on() when woken
    kMalformed,  // close the connection
  };
  // Takes what it needs of the request; its bytes are of no more use afterwards.
  State begin(Broker& broker, const Request& request, ConnectionId who);
  State go_on(Broker& broker);
  // A parcel has come back: call go_on(). Not this request's: it is dropped.
  void home(ParcelPtr parcel);
  Response take_answer() { return std::move(response_); }

 private:
  // What is not known yet, of one lcore.
  struct Open {
    uint16_t lcore;
    std::vector<ListPart::Item> items{};
    bool away = false;
    bool due = true;
  };

  bool look_at_all(Broker& broker, const protocol::ListOffsetsRequest& asked);
  Open& open_of(uint16_t lcore);
  void settle(Open& open);
  void work_on(Broker& broker);
  bool wait(Broker& broker);
  State encode_answer();

  ConnectionId who_;
  int16_t version_ = 0;
  CorrelationId correlation_id_;
  protocol::ListOffsetsResponse answer_;
  std::vector<Open> open_;  // by lcore; those with items
  uint64_t number_ = 0;     // of this request's parcels
  size_t away_ = 0;         // of them
  std::optional<LogWait> wait_;
  std::vector<uint16_t> waits_for_;  // the lcores of its logs
  Response response_;
};

}  // namespace penstock::dataplane
