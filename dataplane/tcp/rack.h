// RACK (RFC 8985): a segment is lost if one that was sent a reordering window later has arrived.
#pragma once

#include "dataplane/tcp/core.h"
#include "dataplane/tcp/recovery.h"

namespace penstock::dataplane::tcp {

// Steps 1 to 3 of RFC 8985 6.2 for one segment that has just been acknowledged or sacked.
void rack_arrived(Tcb& t, const SentSegment& segment, const AckEvent& event);
// A duplicate was reported: what we sent again had not been lost, so reordering is larger than assumed (step 4).
void rack_saw_duplicate(Tcb& t);
// Step 5: marks what is lost; arms the timer for what soon will be.
Loss rack_detect(Core& core, Tcb& t);

}  // namespace penstock::dataplane::tcp
