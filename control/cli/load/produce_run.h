// An open-loop producer: requests leave when the schedule says so, over many pipelined connections, and their latency
// counts from that moment. Without a rate the windows alone hold it back (closed loop), and latency counts from
// sending. Bounds: in_flight requests a connection; what is due beyond that is a number, not memory.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/prng.h"
#include "control/cli/cluster.h"
#include "control/cli/link.h"
#include "control/cli/load/batch_source.h"
#include "control/cli/load/interrupt.h"
#include "control/cli/load/load_options.h"
#include "control/cli/load/meter.h"
#include "control/cli/load/produce_frame.h"
#include "control/cli/load/schedule.h"
#include "control/cli/transport.h"

namespace penstock::cli {

class ProduceRun {
 public:
  // Connects everything. topic has the partitions to produce to.
  ProduceRun(Clock& clock, Cluster& cluster, const Topic& topic, const ProduceOptions& options);

  // To the end, the bound, or Ctrl-C; then waits for the answers that are due. Throws CliError if a connection breaks.
  Meter run();

  uint32_t records_per_batch() const { return sources_.front()->records(); }
  // What a batch takes on the wire by what its values took.
  double packed() const {
    return static_cast<double>(sources_.front()->batch_bytes()) /
           static_cast<double>(sources_.front()->payload_bytes());
  }

 private:
  struct Pending {
    Nanos since;  // when it was due; when it was sent, in a closed loop
    CorrelationId correlation_id;
  };
  struct Lane {                        // one partition on one connection
    std::vector<ProduceFrame> frames;  // one for each source
    int32_t next_sequence = 0;
  };
  struct Connection {
    std::unique_ptr<Link> link;
    std::vector<Lane> lanes;
    size_t next_lane = 0;
    std::deque<Pending> pending;
    uint64_t answered = 0;    // requests; with acks=0, those that the kernel took
    uint64_t next_index = 0;  // of its next request in the schedule
    uint64_t owed = 0;        // due and not sent
    int32_t next_correlation_id = 0;
    bool wants_write = false;
    ProducerId producer_id = kNoProducerId;
    int16_t producer_epoch = protocol::kNoProducerEpoch;
  };

  void make_sources();
  void connect(Cluster& cluster, const Topic& topic);
  void open_producer(KafkaClient& broker, Connection& connection);

  void begin(Nanos now);
  void loop();
  void issue(Nanos now);
  void offer(Connection& connection, Nanos now, bool on_time);
  void send_one(Connection& connection, Nanos since);
  bool flush(Connection& connection, uint32_t index);
  void take_answers(Connection& connection);
  void take_answer(Connection& connection, std::span<const std::byte> frame, Nanos now);
  void settle(Connection& connection, Nanos now);
  void stop_offering(Nanos now);
  bool finished() const;
  uint64_t waiting() const;
  Nanos next_due() const;

  Clock& clock_;
  const ProduceOptions options_;
  Prng prng_;
  Interrupt interrupt_;
  std::unique_ptr<Watch> watch_;
  int16_t version_ = 0;
  std::vector<std::unique_ptr<BatchSource>> sources_;
  std::vector<Connection> connections_;

  std::optional<Schedule> schedule_;  // none: closed loop
  std::optional<Meter> meter_;
  uint64_t requests_ = 0;  // that the run will send
  uint64_t issued_ = 0;    // handed to their connections
  uint64_t outstanding_ = 0;
  Nanos end_ = 0;
  Nanos drain_until_ = 0;
  bool offering_ = true;
};

}  // namespace penstock::cli
