// ListOffsets (API key 2), versions 1 to 11: where a partition begins, ends, or stood at a time. A time that lies in
// records which are on the drive alone is found by reading it: the request waits for those partitions.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "dataplane/kafka/broker.h"
#include "dataplane/kafka/request.h"
#include "dataplane/kafka/response.h"
#include "dataplane/kafka/wakeups.h"
#include "protocol/gen/list_offsets.h"

namespace penstock::dataplane {

class ListOffsetsHandler {
 public:
  enum class State : uint8_t {
    kDone,       // take_answer()
    kParked,     // never: nothing here waits for records that are yet to come
    kReading,    // waits for the drive: call go_on() when woken
    kMalformed,  // close the connection
  };
  // Takes what it needs of the request; its bytes are of no more use afterwards.
  State begin(Broker& broker, const Request& request, ConnectionId who);
  State go_on(Broker& broker);
  Response take_answer() { return std::move(response_); }

 private:
  using Answer = protocol::ListOffsetsResponse::PartitionResponse;
  struct Pending {
    size_t topic;  // places in answer_
    size_t partition;
    storage::LogId log;
    int64_t timestamp;
  };

  bool look_at_all(Broker& broker, const protocol::ListOffsetsRequest& asked);
  bool look_up(Broker& broker, const PartitionRoute& route, int64_t timestamp, Answer& answer) const;
  // False: the drive is being read for it.
  bool look_up_time(Broker& broker, storage::LogId log, int64_t timestamp, Answer& answer) const;
  State finish_or_wait(Broker& broker);
  State encode_answer();

  ConnectionId who_;
  int16_t version_ = 0;
  CorrelationId correlation_id_;
  protocol::ListOffsetsResponse answer_;
  std::vector<Pending> pending_;
  std::optional<LogWait> wait_;
  Response response_;
};

}  // namespace penstock::dataplane
