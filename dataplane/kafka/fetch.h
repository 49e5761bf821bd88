// Fetch (API key 1), versions 4 to 18, on the lcore that owns the partitions. The answer promises whole batches by
// cursor (response.h); a request that finds fewer than min_bytes waits until a log of its has more durable records, its
// max_wait passes, or the image changes.
//
// Sessions (KIP-227) are off: every answer carries session id 0, so that clients send full requests, as the protocol
// allows. High watermark and last stable offset are the durable offset.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/kafka/broker.h"
#include "dataplane/kafka/request.h"
#include "dataplane/kafka/response.h"
#include "dataplane/kafka/wakeups.h"
#include "protocol/error_code.h"
#include "protocol/fetch.h"

namespace penstock::dataplane {

class FetchHandler {
 public:
  enum class State : uint8_t {
    kDone,       // take_answer()
    kParked,     // call go_on() when woken
    kMalformed,  // close the connection
  };
  // Takes what it needs of the request; its bytes are of no more use afterwards.
  State begin(Broker& broker, const Request& request, ConnectionId who);
  State go_on(Broker& broker);
  Response take_answer() { return std::move(answer_); }

 private:
  struct Topic {
    std::string name;
    Uuid id;
    uint32_t partitions_count;
  };
  struct Partition {
    PartitionIndex index;
    int32_t current_leader_epoch;
    Offset from;
    uint64_t max_bytes;
    // What the last look found.
    ErrorCode error = ErrorCode::kNone;
    storage::LogId log{};
    storage::LogOffsets offsets{};
    storage::ReadCursor cursor{};
  };
  struct Found {
    uint64_t bytes = 0;
    bool any_error = false;
  };

  void copy_request(protocol::FetchRequestView& view);
  Found look(const Broker& broker);
  void look_at(const Broker& broker, const TopicRoute* topic, Partition& partition, uint64_t& bytes_left,
               bool& nothing_yet);
  void park(Broker& broker);
  void encode_answer(ErrorCode error);

  ConnectionId who_;
  int16_t version_ = 0;
  CorrelationId correlation_id_;
  int32_t min_bytes_ = 0;
  uint64_t max_bytes_ = 0;
  bool read_committed_ = false;
  Nanos deadline_ = 0;
  std::vector<Topic> topics_;
  std::vector<Partition> partitions_;  // of all topics, in the request's order
  uint64_t parked_revision_ = 0;
  std::optional<FetchWait> wait_;
  Response answer_;
};

}  // namespace penstock::dataplane
