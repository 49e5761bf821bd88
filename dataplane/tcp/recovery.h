// Loss: how it is found (RACK and TLP, RFC 8985; three duplicate ACKs without SACK, RFC 6582; the timeout, RFC 6298),
// how it is repaired (PRR, RFC 9937), and how a response that was wrong is taken back (RFC 4015, RFC 3708).
#pragma once

#include <cstdint>

#include "dataplane/tcp/core.h"
#include "dataplane/tcp/header.h"

namespace penstock::dataplane::tcp {

// What a look at the scoreboard has found.
enum class Loss : uint8_t {
  kNone,
  kKnown,  // of what was out when the window was last reduced for a loss: that was the answer to this one, too
  kFresh,  // of what was sent since: congestion goes on
};

// One acknowledgement, as loss recovery sees it.
struct AckEvent {
  const TcpSegment& segment;
  Nanos at;                   // when it came
  bool duplicate = false;     // of the kind that counts without SACK (RFC 5681 2)
  bool advanced = false;      // SND.UNA moves
  uint32_t acked = 0;         // bytes that left the scoreboard
  uint32_t delivered = 0;     // bytes that are now known to have arrived and were not before
  bool acked_resent = false;  // one of them had been sent again
  bool dsack = false;
  uint32_t flight_before = 0;
  Nanos rtt = 0;  // of the latest segment that was sent once; 0: none
};

// segment.ack lies in [snd_una, snd_nxt]. Moves snd_una, judges losses, moves the congestion window, restarts the
// timers.
void acknowledge(Core& core, Tcb& t, AckEvent& event);
// The retransmission timer has fired with segments out.
void on_retransmission_timeout(Core& core, Tcb& t);
// The reordering timer of RACK has fired.
void on_reordering_timeout(Core& core, Tcb& t);

}  // namespace penstock::dataplane::tcp
