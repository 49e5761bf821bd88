// TcpScript: one conversation with a Stack in virtual time, from a text file (tests/tcp/*.pkt). A line is a step:
//
//   [+MS] STEP          MS milliseconds later; without it at once
//
//   opt NAME=VALUE ...  options of the stack (times in ms); before everything else
//   listen | connect    the stack's side opens; the peer has port 40000 + N of the last `conn N` (0 at first)
//   < FLAGS SEQ[:BYTES] [FIELD VALUE ...]    the peer sends
//   << ...              the same; the stack's turn is not over yet (one burst)
//   > FLAGS SEQ[:BYTES] [FIELD VALUE ...]    the next segment that the stack sends, now or after exactly +MS
//   none                nothing is sent until now, or for the +MS before it
//   send BYTES [taken N] | more BYTES | share BYTES | read BYTES | want BYTES | pause | resume
//   shutdown | close | abort
//   event NAME [WHY]    the next event (accepted connected received writable ended broken); `event none`
//   state NAME          of the connection, as in state.h; `state none`: there is none
//   have BYTES | buffers N | timewaits N | count METRIC N | cwnd BYTES | ssthresh BYTES | pipe BYTES | rto MS | lent N
//   icmp KIND SEQ [MTU] | rxlow | rxok | refuse N     ICMP error; receive buffers short; the network takes no N next
//   ones
//
// FLAGS: letters of S F R P A U; P is checked only if it stands there. Numbers count from each side's SYN, which is 0.
// Fields: ack, win, mss, ws, sackok, ts VALUE ECHO (`echo`: what the stack has sent last; `echo-N`: N ms before), sack
// A-B[,A-B...], bad (a wrong checksum), raw (SEQ and ack as they are). A field that is not named is not checked; `no
// FIELD` says that it is not there. Payload is a pattern by place.
#pragma once

#include <istream>
#include <string>

namespace penstock::testing {

// What is wrong with its line, or nothing.
std::string run_tcp_script(std::istream& script);

}  // namespace penstock::testing
