// Fetch (API key 1), versions 4 to 18. The answer promises batches by cursor (response.h); a request that finds fewer
// than min_bytes waits until a log of its has more durable records, its max_wait passes, or the image changes.
//
// Partitions of other lcores are looked at there: one parcel an lcore (LookPart), however many partitions. What comes
// back is trimmed here to the budget, in the request's order. A request that then must wait asks those lcores once
// more, with watch: they say when one of its logs has moved, and only who said so is asked again.
//
// Records that are on the drive alone are read before they are promised, so that what fails its checksum is an error of
// its partition and not a broken answer. Records at the tail never wait for those; those wait for each other, so that
// one answer brings all. max_wait does not end a wait for the drive with an empty answer: the client would ask again at
// once, for ever. The store ends it: each read completes or fails.
//
// A request of a session (KIP-227, fetch_sessions.h) is one for all its partitions; its answer leaves out those of
// which there is nothing to say. High watermark and last stable offset are the durable offset.
//
// Who is fenced for the leader epoch that it believes in learns the leader from the answer (KIP-951), with the address
// of the listener that it came by.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/kafka/broker.h"
#include "dataplane/kafka/look.h"
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
    kReading,    // waits for the drive or another lcore: the same, and the answer comes whatever others do
    kMalformed,  // close the connection
  };
  // Takes what it needs of the request; its bytes are of no more use afterwards.
  State begin(Broker& broker, const Request& request, ConnectionId who);
  State go_on(Broker& broker);
  // A parcel has come back: call go_on(). Not this request's: it is dropped.
  void home(ParcelPtr parcel);
  Response take_answer() { return std::move(answer_); }

 private:
  struct Topic {
    std::string name;
    Uuid id;
    uint32_t partitions_count;
  };
  struct Partition {
    PartitionIndex index;
    uint16_t lcore = 0;      // that owns the log
    bool is_routed = false;  // the image has it
    size_t place = 0;        // in the parcel to that lcore
    // What the session's client was last told; -1: nothing.
    int64_t told_high_watermark = -1;
    int64_t told_log_start_offset = -1;
    Look look;
  };
  // An lcore that owns some of the partitions.
  struct Owner {
    uint16_t lcore;
    ParcelPtr parcel{};  // at home; with what it found
    bool away = false;
    bool due = true;  // to be asked
  };
  struct Found {
    uint64_t bytes = 0;
    uint64_t tail_bytes = 0;  // of them, those that need no drive
    bool any_error = false;
    bool any_pending = false;
    uint64_t damaged = 0;  // partitions
  };

  ErrorCode enter_session(Broker& broker, protocol::FetchRequestView& view);
  ErrorCode update_session(Broker& broker, FetchSession& session, protocol::FetchRequestView& view);
  void copy_session(const FetchSession& session);
  void make_session(Broker& broker);
  bool is_news(const Partition& partition) const;
  void remember_told(Broker& broker);
  void copy_request(protocol::FetchRequestView& view);
  void route_all(Broker& broker);
  bool ask_owners(Broker& broker);
  void ask(Broker& broker, Owner& owner);
  void note_moved();
  Owner& owner_of(const Partition& partition);
  Found look(Broker& broker);
  void join(const Partition& partition, Look& look, Budget& budget);
  bool answers_now(const Found& found, Nanos now) const;
  bool park(Broker& broker, const Found& found);
  void encode_answer(const Broker& broker, ErrorCode error);
  bool names_leader(const Look& look) const;
  bool encode_topic(const Broker& broker, protocol::FetchResponseWriter& writer, std::span<const Partition> partitions);

  ConnectionId who_;
  int16_t version_ = 0;
  CorrelationId correlation_id_;
  uint16_t listener_ = 0;
  int32_t min_bytes_ = 0;
  uint64_t max_bytes_ = 0;
  bool read_committed_ = false;
  Nanos deadline_ = 0;
  int32_t session_id_ = 0;  // 0: none
  bool incremental_ = false;
  std::vector<Topic> topics_;
  std::vector<Partition> partitions_;    // of all topics, in the request's order
  std::vector<Owner> owners_;            // other lcores
  uint64_t number_ = 0;                  // of this request's parcels
  size_t away_ = 0;                      // of them
  std::optional<uint64_t> routed_in_{};  // revision of the image that partitions were found in
  uint64_t parked_revision_ = 0;
  Nanos parked_until_ = 0;
  std::optional<LogWait> wait_;
  std::vector<size_t> waits_for_;  // partitions, in the order of wait_
  Response answer_;
};

}  // namespace penstock::dataplane
