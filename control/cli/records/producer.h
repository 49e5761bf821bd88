// Producer: records into batches into Produce requests, for a stream that comes at its own speed. A partition has at
// most one request unanswered, so its order holds through retries; while it waits, the next batch grows. Bound: what is
// not acknowledged, kBufferedMost; the caller asks has_room() before it adds.
//
// A connection that breaks, or whose broker is silent, takes all of them along (producer_links.cc): whoever answers of
// the brokers that were known is asked for the topic's leaders, and what was not acknowledged is sent again, which an
// idempotent producer's sequence makes harmless. A batch has its sequence from its first sending on, so one that was
// refused leaves no gap. Between tries there is a second at most; who is not acknowledged within delivery_timeout of
// its first sending ends the run.
#pragma once

#include <poll.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/prng.h"
#include "control/cli/cluster.h"
#include "control/cli/error.h"
#include "control/cli/link.h"
#include "protocol/compression/codec.h"
#include "protocol/record_batch.h"

namespace penstock::cli {

struct ProducerOptions {
  BrokerOptions broker;
  std::string topic;
  std::optional<int32_t> partition;  // all records; else by key, and without a key by turns
  protocol::Compression codec = protocol::Compression::kNone;
  std::optional<int> level;
  int16_t acks = -1;
  bool idempotent = false;  // asked for; it is also what acks=all has where the broker hands out producer ids
  uint64_t batch_bytes = 256 * kKiB;
  Nanos linger = 5 * kMillisecond;
  Nanos delivery_timeout = 120 * kSecond;  // Kafka's delivery.timeout.ms
};

struct ProducedRange {
  int64_t records = 0;
  int64_t first_offset = -1;  // -1: not told (acks=0)
  int64_t last_offset = -1;
};

struct ProduceTotals {
  uint64_t records = 0;  // acknowledged; with acks=0: sent
  uint64_t bytes = 0;    // of their keys and values
  uint64_t batches = 0;
  uint64_t refused = 0;
  std::map<int32_t, ProducedRange> partitions;
};

class Producer {
 public:
  static constexpr size_t kBufferedMost = 64 * kMiB;

  Producer(Clock& clock, Cluster& cluster, const Topic& topic, const ProducerOptions& options);

  bool has_room() const { return buffered_ < kBufferedMost; }
  void add(std::optional<std::string_view> key, std::optional<std::string_view> value,
           std::span<const protocol::RecordHeader> headers);

  // Sends what is due, or with everything what there is, over new connections if there must be. Throws CliError when
  // the brokers were gone for too long.
  void send(bool everything);
  // Takes what was answered. Throws CliError when going on makes no sense.
  void receive();
  bool idle() const;
  // When send() has something to do by itself.
  Nanos next_due() const;
  // For poll(): appends an entry for each connection.
  void add_polls(std::vector<pollfd>& polls) const;

  bool connected() const { return !connections_.empty(); }
  // Of the end before everything is acknowledged. what: why.
  [[noreturn]] void give_up(const std::string& what) const;

  const ProduceTotals& totals() const { return totals_; }

 private:
  struct Batch {
    std::vector<std::byte> bytes;
    int32_t records = 0;
    size_t payload = 0;
    size_t buffered = 0;
    Nanos give_up_at = 0;    // counts from when it was first to be sent
    bool sequenced = false;  // its sequence is in it
    bool unsure = false;     // a connection broke before its answer: it may be stored
  };
  struct Lane {  // one partition
    int32_t partition = 0;
    size_t connection = 0;
    std::unique_ptr<protocol::BatchBuilder> open;
    size_t open_payload = 0;
    Nanos open_since = 0;
    std::deque<Batch> sealed;
    bool in_flight = false;  // sealed.front() is
    Nanos retry_at = 0;
    Nanos answer_due = 0;       // of what is in flight
    int32_t next_sequence = 0;  // of sealed.front(), or where there is none of what will be
  };
  struct Pending {
    size_t lane = 0;
    CorrelationId correlation_id{0};
  };
  struct Connection {
    std::unique_ptr<Link> link;
    int16_t version = 0;
    int32_t next_correlation_id = 1;
    std::deque<Pending> pending;
    bool wants_write = false;
    uint64_t settled = 0;  // requests with acks=0 that the kernel took
  };

  void open_producer_id(KafkaClient& broker);
  void connect(Cluster& cluster, const Topic& topic);
  void lost(const ConnectionLost& why);
  void connect_again();
  void not_connected(const std::string& why);
  void over_connections(const std::function<void(Connection&)>& work);
  void check_deadlines() const;
  uint64_t unacknowledged() const;  // records
  Lane& lane_for(std::optional<std::string_view> key);
  void seal(Lane& lane);
  void put_sequence(const Lane& lane, Batch& batch) const;
  void send_one(size_t lane);
  void flush(Connection& connection);
  void take_answer(Connection& connection, std::span<const std::byte> frame);
  void acknowledged(Lane& lane, int64_t base_offset);
  void refused(Lane& lane, ErrorCode error, const std::string& message);
  void drop_front(Lane& lane);

  Clock& clock_;
  ProducerOptions options_;
  std::string topic_;
  Uuid topic_id_;
  Prng prng_;
  std::vector<Endpoint> brokers_;  // where a cluster may be found again
  ProducerId producer_id_ = kNoProducerId;
  int16_t producer_epoch_ = protocol::kNoProducerEpoch;
  std::vector<Lane> lanes_;
  size_t sticky_ = 0;                    // where records without a key go until that batch is sealed
  std::vector<Connection> connections_;  // none: they are gone
  uint32_t failures_ = 0;                // connections lost and not made, since the last answer
  Nanos next_try_ = 0;
  std::string last_failure_;
  size_t buffered_ = 0;
  ProduceTotals totals_;
  std::map<ErrorCode, bool> told_;
};

}  // namespace penstock::cli
