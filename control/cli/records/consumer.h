// Consumer: the records of a topic's partitions, each in its order, handed to a callback. One Fetch at a time for each
// broker that leads some of them; compressed batches are opened here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "control/cli/cluster.h"
#include "control/cli/link.h"
#include "control/cli/records/start_at.h"
#include "protocol/record_batch.h"

namespace penstock::cli {

struct ConsumerOptions {
  BrokerOptions broker;
  std::string topic;
  std::vector<int32_t> partitions;  // empty: all
  StartAt from;
  std::optional<int64_t> until_ms;  // ends before the first record of that time or later
  bool until_end = false;           // ends where the log ends now
  uint64_t fetch_bytes = 4 * kMiB;
};

// Good inside the callback.
struct ConsumedRecord {
  int32_t partition = 0;
  int64_t offset = 0;
  int64_t timestamp_ms = -1;
  bool append_time = false;  // who stamped it: the broker, else the producer
  protocol::RecordView record;
};

class Consumer {
 public:
  // Finds out where each partition begins and ends. Throws CliError.
  Consumer(Clock& clock, Cluster& cluster, const Topic& topic, const ConsumerOptions& options);

  // Whether each partition was read to its end; never without until_end or until_ms.
  bool done() const;
  // Asks what is to be asked, waits at most so long, and hands over what came. on_record returns false to stop: then
  // nothing more is handed over. Throws CliError.
  void poll(Nanos wait, const std::function<bool(const ConsumedRecord&)>& on_record);

 private:
  struct Position {
    int32_t partition = 0;
    int64_t next = 0;
    int64_t end = 0;  // exclusive
  };
  struct Connection {  // one leader
    std::unique_ptr<Link> link;
    int16_t version = 0;
    int32_t next_correlation_id = 1;
    std::optional<CorrelationId> asked;
    bool wants_write = false;
    std::vector<Position> positions;
  };
  using OnRecord = std::function<bool(const ConsumedRecord&)>;

  void connect(Cluster& cluster, const Topic& topic);
  void place(Cluster& cluster, const Topic& topic);
  void ask(Connection& connection);
  void take_answer(Connection& connection, std::span<const std::byte> frame, const OnRecord& on_record);
  void take_records(Position& position, std::span<const std::byte> records, const OnRecord& on_record);
  void take_batch(Position& position, std::span<const std::byte> batch, const OnRecord& on_record);

  Clock& clock_;
  ConsumerOptions options_;
  std::string topic_;
  Uuid topic_id_;
  std::vector<Connection> connections_;
  std::vector<std::byte> opened_;  // a compressed batch's records
  bool stopped_ = false;
};

}  // namespace penstock::cli
