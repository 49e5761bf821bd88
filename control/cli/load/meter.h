// Meter: counts what a run moved and how long each piece took, prints a line a second while it goes, and turns into
// JSON and text at the end. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/histogram.h"
#include "base/units.h"
#include "protocol/error_code.h"

namespace penstock::cli {

class Json;

class Meter {
 public:
  struct Window {
    Nanos start = 0;          // of the run
    Nanos measured_from = 0;  // what began before (warm-up) is not counted
    bool progress = false;    // lines on standard error
  };
  explicit Meter(const Window& window);

  // A request that began (was due, in an open loop) at since, and was answered at now.
  void done(Nanos since, Nanos now, uint64_t records, uint64_t bytes);
  // A request that the broker refused: counted, not timed. The broker's first message for each error is kept.
  void failed(ErrorCode error, const std::string& message);
  // A request that was never answered: its age is a lower bound of its latency, and leaving it out would flatter.
  void unfinished(Nanos since, Nanos now);
  // How late the generator itself sent a request that nothing held up.
  void sent_late_by(Nanos lag) { send_lag_.record(static_cast<uint64_t>(lag < 0 ? 0 : lag)); }

  // Prints the line of the second that has passed. waiting: requests that are due and not sent.
  void tick(Nanos now, uint64_t waiting);
  Nanos next_tick() const { return next_tick_; }

  uint64_t requests() const { return requests_; }
  uint64_t records() const { return records_; }
  uint64_t failures() const;
  const Histogram& latency() const { return latency_; }
  double seconds() const;  // from the beginning of measuring to the last answer
  double records_per_second() const;
  double megabytes_per_second() const;  // 10^6 bytes

  Json json() const;
  std::string text(const std::string& latency_of) const;

 private:
  Window window_;
  Nanos last_ = 0;
  uint64_t requests_ = 0;
  uint64_t records_ = 0;
  uint64_t bytes_ = 0;
  uint64_t unfinished_ = 0;
  struct Refusals {
    uint64_t count = 0;
    std::string message;
  };
  std::map<ErrorCode, Refusals> errors_;
  Histogram latency_;
  Histogram send_lag_;

  // The current second.
  Nanos next_tick_;
  Nanos last_tick_;
  uint64_t tick_records_ = 0;
  uint64_t tick_bytes_ = 0;
  uint64_t tick_errors_ = 0;
  Histogram tick_latency_;
};

// {count, mean, min, p50, p90, p99, p99_9, max} in microseconds.
Json latency_json(const Histogram& latency);
// "p50 0.81 ms  p90 ..." with a unit that suits each number.
std::string latency_text(const Histogram& latency);
std::string duration_text(uint64_t nanos);

}  // namespace penstock::cli
