// Latency at a low, fixed rate, in alternating blocks, so that whatever drifts on the machine drifts through all alike:
//   ack   produce to ack; nobody reads
//   end   produce to consume: a second connection long-polls at the log's end. The acks of these blocks are ack_read
//   disk  raw durable writes by the broker's own operation on the same schedule, if a DiskWriter is given
// Every latency counts from the moment that the schedule names.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/histogram.h"
#include "base/prng.h"
#include "control/cli/cluster.h"
#include "control/cli/link.h"
#include "control/cli/load/disk_writer.h"
#include "control/cli/load/interrupt.h"
#include "control/cli/load/load_options.h"
#include "control/cli/load/schedule.h"
#include "control/cli/transport.h"

namespace penstock::cli {

class Json;

struct LatencyReport {
  Histogram ack, ack_read, end, disk, send_lag;
  struct Block {
    const char* kind;
    uint64_t p50;
    uint64_t p99;
  };
  std::vector<Block> blocks;  // in the order they ran: how steady the machine was
};

Json latency_report_json(const LatencyReport& report);
std::string latency_report_text(const LatencyReport& report);

class LatencyRun {
 public:
  // Only topic's first partition is used. disk may be null.
  LatencyRun(Clock& clock, Cluster& cluster, const Topic& topic, const LatencyOptions& options, DiskWriter* disk);

  // Throws CliError when the broker refuses a batch or answers nothing for the broker options' timeout.
  LatencyReport run();

 private:
  struct Pending {
    Nanos due;
    CorrelationId correlation_id;
  };
  struct Reading {  // of one end block
    uint64_t records = 0;
    uint64_t wanted = 0;
    Histogram latency;
  };

  void block(size_t kind, Nanos length);
  void produce_block(Nanos length, bool read);
  void disk_block(Nanos length);
  void finish_block(const char* kind, Histogram& all, const Histogram& block);
  void wait(Nanos next_due, Nanos deadline);
  void send(Nanos due);
  void ask();
  void take_acks(Histogram& latency);
  void take_records(Reading& reading);
  void read_times(std::span<const std::byte> records, Nanos now, Reading& reading);
  CorrelationId next_id() { return CorrelationId{static_cast<int32_t>(next_correlation_id_++ & 0x7fffffffu)}; }

  Clock& clock_;
  const LatencyOptions options_;
  const std::string topic_;
  const Uuid topic_id_;
  const int32_t partition_;
  DiskWriter* const disk_;
  Interrupt interrupt_;
  std::unique_ptr<Watch> watch_;
  std::unique_ptr<Link> producer_;
  std::unique_ptr<Link> consumer_;
  int16_t produce_version_ = 0;
  int16_t fetch_version_ = 0;
  const uint64_t run_id_;         // in each record: strangers' records are not taken for ours
  std::vector<std::byte> value_;  // run_id, due, then noise
  std::deque<Pending> pending_;
  CorrelationId fetch_id_;
  uint32_t next_correlation_id_ = 0;
  int64_t end_offset_;   // behind the last record that was acked
  int64_t read_offset_;  // where the reader is
  LatencyReport report_;
};

}  // namespace penstock::cli
