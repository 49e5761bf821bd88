// Putting one segment on its way.
#pragma once

#include <cstdint>

#include "dataplane/tcp/core.h"

namespace penstock::dataplane::tcp {

// Sends sequence numbers [seq, seq + bytes) of the queue, FIN included if it is one of them. Returns how many went:
// fewer if they lie in too many pieces, 0 if the network or memory refused. Does not touch the scoreboard.
uint32_t transmit(Core& core, Tcb& t, SeqNumber seq, uint32_t bytes);
// The same from snd_nxt on, for the first time: moves snd_nxt, remembers the segment.
uint32_t transmit_new(Core& core, Tcb& t, uint32_t bytes);
// The network took nothing: output is tried again soon.
void put_off(Core& core, Tcb& t);
// What SACK blocks would take of the next header.
uint32_t sack_option_bytes(const Tcb& t);

}  // namespace penstock::dataplane::tcp
