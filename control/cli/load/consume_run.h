// A consumer without a group: fetches whole partitions as fast as they come, over many connections, and counts. Its
// latency is that of a Fetch, from asking to having the answer.
// Bounds: in_flight fetches a connection, each of at most fetch_bytes and one batch.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/clock.h"
#include "control/cli/cluster.h"
#include "control/cli/link.h"
#include "control/cli/load/fetch_answer.h"
#include "control/cli/load/interrupt.h"
#include "control/cli/load/load_options.h"
#include "control/cli/load/meter.h"
#include "control/cli/transport.h"
#include "protocol/gen/fetch.h"

namespace penstock::cli {

// What a run of batches holds from offset from on.
struct BatchesRead {
  uint64_t records = 0;
  uint64_t bytes = 0;       // whole batches, as stored
  int64_t next_offset = 0;  // behind the last whole batch
};
// Walks whole batches; what is cut off at the end is left for the next fetch. verify: checks every checksum and that
// offsets rise. Throws CliError for bytes that are no batches.
BatchesRead read_batches(std::span<const std::byte> records, int64_t from, bool verify);

class ConsumeRun {
 public:
  ConsumeRun(Clock& clock, Cluster& cluster, const Topic& topic, const ConsumeOptions& options);

  Meter run();

 private:
  struct Position {
    int32_t partition;
    int64_t begin;
    int64_t next;
    int64_t end;
  };
  struct Lane {  // partitions that are fetched together, one fetch at a time
    std::vector<Position> positions;
    bool in_flight = false;
  };
  struct Pending {
    size_t lane;
    Nanos since;
    CorrelationId correlation_id;
  };
  struct Connection {
    std::unique_ptr<Link> link;
    int16_t version = 0;
    std::vector<Lane> lanes;
    std::deque<Pending> pending;
    int32_t next_correlation_id = 0;
    bool wants_write = false;
  };

  void connect(Cluster& cluster, const Topic& topic);
  void start_positions(Cluster& cluster, const Topic& topic);
  Position* find(Lane& lane, int32_t partition);
  bool stops_at_end() const { return options_.duration == 0 && options_.count == 0; }
  void ask(Connection& connection, size_t lane);
  void flush(Connection& connection, uint32_t index);
  void take_answers(Connection& connection, Meter& meter);
  void take_answer(Connection& connection, std::span<const std::byte> frame, Meter& meter);
  void move_on(Lane& lane);
  bool busy() const;

  Clock& clock_;
  const ConsumeOptions options_;
  const std::string topic_name_;
  const Uuid topic_id_;
  Interrupt interrupt_;
  std::unique_ptr<Watch> watch_;
  std::vector<Connection> connections_;
};

}  // namespace penstock::cli
