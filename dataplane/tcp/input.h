// SEGMENT ARRIVES (RFC 9293 3.10.7), one function a step, in its order.
#pragma once

#include "base/buffer.h"
#include "dataplane/tcp/core.h"
#include "dataplane/tcp/header.h"

namespace penstock::dataplane::tcp {

// A segment that has been parsed, its payload, and when it came.
struct Arrival {
  Flow flow;
  TcpSegment segment;
  Buffer payload;
  Nanos at;
};

// For a connection (3.10.7.3 and 3.10.7.4).
void segment_arrives(Core& core, Tcb& t, Arrival arrival);
// For no connection: a listener's (3.10.7.2), a cookie's, or nobody's (3.10.7.1).
void segment_for_nobody(Core& core, const Arrival& arrival);
// A SYN was answered with a cookie, and this acknowledges that answer.
bool answers_cookie(const Core& core, const Arrival& arrival);
// For a connection in TIME-WAIT. True: the entry is gone, and the segment is one for nobody.
bool segment_in_time_wait(Core& core, TimeWait& wait, const Arrival& arrival);

// Step 5 of 3.10.7.4 for a connection whose SYN is acknowledged. False: drop the segment.
bool step_5_ack(Core& core, Tcb& t, const Arrival& arrival);
// 3.10.7.3.
void segment_in_syn_sent(Core& core, Tcb& t, const Arrival& arrival);
// Our SYN is acknowledged, both ways are open.
void establish(Core& core, Tcb& t, const Arrival& arrival);

}  // namespace penstock::dataplane::tcp
