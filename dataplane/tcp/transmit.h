// Putting one segment on its way.
#pragma once

#include <cstdint>

#include "dataplane/tcp/core.h"

namespace penstock::dataplane::tcp {

// Sends sequence numbers [seq, seq + bytes) of the queue, FIN included if it is one of them. Returns how many went:
// fewer if they lie in too many pieces, 0 if the network or memory refused. Does not touch the scoreboard. segment > 0:
// several in one frame, of so many bytes each, without FIN (IpOutput::tso_bytes).
uint32_t transmit(Core& core, Tcb& t, SeqNumber seq, uint32_t bytes, uint32_t segment = 0);
// The same from snd_nxt on, for the first time: moves snd_nxt, remembers each segment.
uint32_t transmit_new(Core& core, Tcb& t, uint32_t bytes, uint32_t segment = 0);
// The network took nothing: output is tried again soon.
void put_off(Core& core, Tcb& t);
// What SACK blocks would take of the next header.
uint32_t sack_option_bytes(const Tcb& t);

}  // namespace penstock::dataplane::tcp
