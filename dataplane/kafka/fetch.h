// Fetch (API key 1), versions 4 to 18, on the lcore that owns the partitions. The answer promises batches by cursor
// (response.h); a request that finds fewer than min_bytes waits until a log of its has more durable records, its
// max_wait passes, or the image changes.
//
// Records that are on the drive alone are read before they are promised, so that what fails its checksum is an error of
// its partition and not a broken answer. Records at the tail never wait for those; those wait for each other, so that
// one answer brings all. max_wait does not end a wait for the drive with an empty answer: the client would ask again at
// once, for ever. The store ends it: each read completes or fails.
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
    kParked,     // waits for records that are yet to come: call go_on() when woken
    kReading,    // waits for the drive: the same, and the answer comes whatever others do
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
    bool pending = false;  // the drive is being read for it
    // The drive was read for it: it is not asked again while others are waited for. What was read may have left the
    // cache by then, and so no request with more partitions than that holds would ever end.
    bool settled = false;
  };
  struct Budget {
    uint64_t bytes_left;
    bool nothing_yet = true;  // no partition before has anything
  };
  struct Found {
    uint64_t bytes = 0;
    uint64_t tail_bytes = 0;  // of them, those that need no drive
    bool any_error = false;
    bool any_pending = false;
    uint64_t damaged = 0;  // partitions
  };

  void copy_request(protocol::FetchRequestView& view);
  Found look(Broker& broker);
  void keep_settled(const Broker& broker, Budget& budget);
  void look_at(Broker& broker, const TopicRoute* topic, Partition& partition, Budget& budget);
  void plan(Broker& broker, Partition& partition, Budget& budget);
  bool answers_now(const Found& found, Nanos now) const;
  void park(Broker& broker, const Found& found);
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
  uint64_t looked_revision_ = 0;       // of the image that settled partitions were found in
  uint64_t parked_revision_ = 0;
  Nanos parked_until_ = 0;
  std::optional<LogWait> wait_;
  Response answer_;
};

}  // namespace penstock::dataplane
