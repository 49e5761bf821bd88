// What a connection may send now, and the one place where headers are written: so that each of them, whatever it is
// for, carries the current acknowledgement and window, and each is remembered as having been sent.
#pragma once

#include <cstdint>

#include "dataplane/tcp/core.h"
#include "dataplane/tcp/header.h"

namespace penstock::dataplane::tcp {

// Sends what may be sent: retransmissions, new data, FIN, an acknowledgement or window update that is due; then arms
// the timers for what is left. Called once a turn for each connection that something happened to.
void output(Core& core, Tcb& t);

// SYN, or SYN-ACK in kSynReceived; the first or again.
void send_syn(Core& core, Tcb& t);
// An acknowledgement without data, at once. False: the network took nothing; it stays due.
bool send_ack(Core& core, Tcb& t);
// Answers a segment that had data (always) or had none (not twice in half a second: two connections out of step
// must not answer each other for ever).
void reply_ack(Core& core, Tcb& t, bool segment_had_data);
// RFC 5961 7: at most ten in five seconds.
void challenge_ack(Core& core, Tcb& t);
// A segment below snd_una without data: who gets it must answer (RFC 9293 3.8.4).
void send_keepalive(Core& core, Tcb& t);
// The next byte (or FIN), into a window that has no room for it (RFC 9293 3.8.6.1).
void send_window_probe(Core& core, Tcb& t);
// The last segment again, or the next one, as a tail loss probe (RFC 8985 7.3). False: nothing to send.
bool send_tail_probe(Core& core, Tcb& t);
// RST with snd_nxt.
void send_reset(Core& core, Tcb& t);

// A segment of no connection: what answers to, and what it says.
void send_bare(Core& core, const Flow& flow, const TcpSegment& segment);
// The reset that answers segment (RFC 9293 3.10.7.1); limited a second.
void refuse(Core& core, const Flow& flow, const TcpSegment& segment);

// The window field of the next header; moves rcv_adv.
uint16_t advertise(Tcb& t);
// The window has opened by two segments or half the buffer since the peer was told, or the peer waits for it to open.
bool window_update_due(const Tcb& t);
// When the tail loss probe is due, after something was sent or acknowledged (RFC 8985 7.2).
void schedule_tail_probe(Core& core, Tcb& t);

}  // namespace penstock::dataplane::tcp
