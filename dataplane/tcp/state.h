// The states of a connection (RFC 9293 3.3.2) and the moves between them, as a table. Everything else is a bug of ours.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>

namespace penstock::dataplane::tcp {

enum class State : uint8_t {
  kClosed,       // no connection; the owner may still hold what was received
  kListen,       // a listener: never the state of a Tcb
  kSynSent,      // active open: our SYN is out
  kSynReceived,  // both SYNs are out, ours is not acknowledged
  kEstablished,
  kFinWait1,   // our FIN is queued or out, the peer still sends
  kFinWait2,   // our FIN is acknowledged, the peer still sends
  kCloseWait,  // the peer's FIN came, we still send
  kClosing,    // both FINs are out, ours is not acknowledged
  kLastAck,    // the peer's FIN came first, ours is not acknowledged
  kTimeWait,   // both are acknowledged; old segments die out
};

// RFC 9293 figure 5; reset and give-up lead to kClosed from everywhere.
constexpr bool legal(State from, State to) {
  if (to == State::kClosed) return from != State::kListen;
  switch (from) {
    case State::kClosed: return to == State::kSynSent || to == State::kSynReceived || to == State::kEstablished;
    case State::kListen: return false;
    case State::kSynSent: return to == State::kSynReceived || to == State::kEstablished;
    case State::kSynReceived: return to == State::kEstablished || to == State::kFinWait1;
    case State::kEstablished: return to == State::kFinWait1 || to == State::kCloseWait;
    case State::kFinWait1: return to == State::kFinWait2 || to == State::kClosing || to == State::kTimeWait;
    case State::kFinWait2: return to == State::kTimeWait;
    case State::kCloseWait: return to == State::kLastAck;
    case State::kClosing: return to == State::kTimeWait;
    case State::kLastAck: return false;
    case State::kTimeWait: return false;
  }
  std::unreachable();
}

constexpr std::string_view to_string(State state) {
  switch (state) {
    case State::kClosed: return "CLOSED";
    case State::kListen: return "LISTEN";
    case State::kSynSent: return "SYN-SENT";
    case State::kSynReceived: return "SYN-RECEIVED";
    case State::kEstablished: return "ESTABLISHED";
    case State::kFinWait1: return "FIN-WAIT-1";
    case State::kFinWait2: return "FIN-WAIT-2";
    case State::kCloseWait: return "CLOSE-WAIT";
    case State::kClosing: return "CLOSING";
    case State::kLastAck: return "LAST-ACK";
    case State::kTimeWait: return "TIME-WAIT";
  }
  std::unreachable();
}

// Both SYNs are done: segments are judged by the window.
constexpr bool synchronized(State state) { return state >= State::kEstablished; }
// The peer may still send: its FIN has not been processed.
constexpr bool receives(State state) {
  return state == State::kEstablished || state == State::kFinWait1 || state == State::kFinWait2;
}
// Data of ours may be (re)transmitted.
constexpr bool transmits(State state) {
  return state == State::kEstablished || state == State::kFinWait1 || state == State::kCloseWait ||
         state == State::kClosing || state == State::kLastAck;
}

}  // namespace penstock::dataplane::tcp
