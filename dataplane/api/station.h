// Station: our TCP over a device without a broker, to measure it and to try it against others: an echo, a sink or a
// source for those who connect, or a client that sends and checks what comes back. One thread, which polls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <string>

#include "base/clock.h"
#include "base/histogram.h"
#include "dataplane/api/devices.h"
#include "dataplane/api/types.h"

namespace penstock::dataplane {

struct StationRequest {
  enum class Role : uint8_t {
    kEcho,    // sends back what it receives
    kSink,    // reads and forgets
    kSource,  // sends `bytes` to each who connects, and closes
    kStream,  // connects, sends `bytes` and expects them back
    kAsk,     // connects, sends `message` bytes and expects them back, one after the other, for `duration`
  };
  Role role = Role::kEcho;
  uint16_t port = 0;  // ours, or the peer's
  std::string peer;   // a numeric address; of the last two
  uint64_t bytes = 0;
  size_t message = 128;
  size_t connections = 1;   // of the last two, at once
  uint64_t closed_max = 0;  // of the others: it ends when so many have come and gone; 0: never
  Nanos duration = 0;
};

struct StationReport {
  uint64_t connections = 0;  // that came, or were made
  uint64_t closed = 0;       // in order
  uint64_t broken = 0;
  uint64_t received = 0;
  uint64_t sent = 0;
  uint64_t wrong = 0;  // bytes that were not what was expected
  Nanos took = 0;
  Histogram round_trips;  // of kAsk
  // At the end, when peers have had time to acknowledge everything: not home, if they are not 0. The first are also
  // those that are half open.
  uint64_t connections_left = 0;
  uint64_t send_memory_left = 0;     // regions and frames that refer to them
  uint64_t receive_memory_left = 0;  // copies of received bytes, and reservations for requests
};

// What the bytes of a stream are: at each place those of kSource, kStream and kAsk are the same.
std::byte station_byte(uint64_t at);

// Runs until the role is done or stop() says so; ready() is called once it polls.
std::expected<StationReport, std::string> run_station(SharedDevice& device, const DataplaneOptions& options,
                                                      const StationRequest& request, Clock& clock,
                                                      const std::function<bool()>& stop,
                                                      const std::function<void()>& ready);

}  // namespace penstock::dataplane
