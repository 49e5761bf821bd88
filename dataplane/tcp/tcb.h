// Tcb: the variables of one connection, with RFC 9293's names (3.3.1), and the deadlines that it waits for.
//
//        1             2              3              4                      1             2             3
//   ----------|--------------|--------------|-----------            ----------|-------------|------------
//          snd_una        snd_nxt     snd_wl2 + snd_wnd                     rcv_nxt      rcv_adv
//   1 acknowledged  2 out  3 may be sent  4 may not                 1 taken  2 may come  3 may not
//
// rcv_adv is the right edge that was promised to the peer; it never goes back.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

#include "base/assert.h"
#include "base/buffer.h"
#include "base/units.h"
#include "dataplane/progress.h"
#include "dataplane/tcp/cubic.h"
#include "dataplane/tcp/flow.h"
#include "dataplane/tcp/reassembly.h"
#include "dataplane/tcp/rtt.h"
#include "dataplane/tcp/scoreboard.h"
#include "dataplane/tcp/send_queue.h"
#include "dataplane/tcp/seq.h"
#include "dataplane/tcp/state.h"
#include "dataplane/tcp/tcp_stream.h"
#include "dataplane/tcp/timers.h"

namespace penstock::dataplane::tcp {

enum class Timer : uint8_t {
  kTlp,      // tail loss probe; before kRto: if both are due it is the probe's turn (RFC 8985 7.2)
  kRto,      // retransmission, also of a SYN
  kRack,     // a segment counts as lost if nothing comes until then
  kPersist,  // a window too small to send into is probed
  kDelayedAck,
  kKeepalive,
  kFinWait2,  // a closed connection waits no longer for the peer's FIN
  kRetry,     // the network, or memory, took nothing
  kPush,      // what a sender held back for more goes as it is
  kCount,
};

// What an owner is told; in this order, if there are several things to tell.
enum class EventKind : uint8_t {
  kAccepted,   // a peer's connection at a listener
  kConnected,  // the answer to connect()
  kReceived,   // received() has more
  kWritable,   // after a short send
  kEnded,      // the peer will send nothing more; it may still read
  kBroken,     // the connection is of no use any more: close it
};
constexpr uint8_t bit(EventKind kind) { return static_cast<uint8_t>(1u << static_cast<unsigned>(kind)); }

// Why a connection is of no use any more.
enum class Broken : uint8_t { kReset, kRefused, kTimedOut };

// A peer or a router that says less does not get smaller segments (each costs as much as a large one).
inline constexpr uint32_t kMssMin = 64;

enum class CongestionState : uint8_t {
  kOpen,
  kRecovery,  // fast recovery: losses found by ACKs, paced by PRR
  kLoss,      // behind a retransmission timeout: slow start from one segment
};

// Variables of loss detection and recovery (recovery.cc).
struct Recovery {
  CongestionState state = CongestionState::kOpen;
  SeqNumber point;  // recovery ends when this is acknowledged
  // RACK (RFC 8985 5.2)
  Nanos rack_sent_at = 0;  // of the latest-sent segment known to have arrived
  SeqNumber rack_end;
  Nanos rack_rtt = 0;
  SeqNumber rack_fack;  // highest sequence known to have arrived
  bool reordering_seen = false;
  uint32_t reo_wnd_mult = 1;
  uint32_t reo_wnd_persist = 16;
  std::optional<SeqNumber> dsack_round;  // the multiplier grows once a round trip
  // TLP (RFC 8985 7.1)
  bool tlp_out = false;
  bool tlp_resent = false;
  SeqNumber tlp_end;
  // PRR (RFC 9937)
  uint32_t prr_delivered = 0;
  uint32_t prr_out = 0;
  uint32_t recover_fs = 1;
  Nanos reduced_at = 0;  // when loss last made the window smaller; what was sent since and is lost does so again
  SeqNumber loss_una;    // SND.UNA at the last timeout: without progress the next one is the same event
  // Without SACK (RFC 6582)
  uint32_t duplicate_acks = 0;
  // What is restored if nothing was lost (RFC 4015, RFC 3708)
  bool may_undo = false;
  Cubic before;
  std::optional<uint32_t> resent_ts;  // TSval of the first retransmission
  uint32_t resent_unproved = 0;       // retransmissions that no DSACK has shown to be needless
  bool resent_any = false;
};

// Everything that a new connection begins with afresh.
struct TcbVariables {
  // ---- who
  Flow flow;
  uint64_t hash = 0;
  State state = State::kClosed;
  bool in_use = false;
  bool owned = false;   // the owner has the stream and has not closed it
  bool closed = false;  // the owner has closed it: what comes is of no use
  Nanos closed_at = 0;
  bool passive = false;
  bool half_open = false;  // counted as such
  bool in_table = false;
  bool holds_accept_place = false;
  uint16_t listener = 0;
  Broken broken = Broken::kReset;

  // ---- send
  SeqNumber iss;
  SeqNumber snd_una;
  SeqNumber snd_nxt;
  uint32_t snd_wnd = 0;
  SeqNumber snd_wl1;
  SeqNumber snd_wl2;
  uint32_t max_snd_wnd = 0;
  uint8_t snd_scale = 0;
  uint16_t peer_mss = 536;           // RFC 9293 3.7.1: without the option
  uint16_t snd_mss = 536;            // payload of a full segment: the path's limits, our options off
  size_t path_mtu = 0;               // as far as ICMP said; 0: the device's
  Nanos path_mtu_until = 0;          // then a larger one is tried
  std::optional<SeqNumber> snd_fin;  // our FIN has this number: nothing more will be sent
  bool probe_out = false;            // one byte behind snd_nxt was sent into a closed window
  bool more = false;                 // the last send said that there is more
  bool send_short = false;           // a send took less than it was offered: say when there is room
  bool window_limited = false;       // the congestion window held back the last output
  Nanos last_sent_at = 0;            // data
  SendQueue queue;                   // from snd_una on
  Scoreboard board;
  Recovery recovery;
  Cubic cubic;
  Rtt rtt;
  uint32_t persist_backoff = 0;
  Nanos syn_sent_at = 0;  // 0: not by us, or answered with a cookie
  uint32_t syn_retries = 0;
  Nanos unanswered_since = kNever;  // the first retransmission since the peer last answered
  Nanos refused_since = kNever;     // the network has taken nothing since then

  // ---- receive
  SeqNumber irs;
  SeqNumber rcv_nxt;
  SeqNumber rcv_adv;
  SeqNumber rcv_consumed;  // the owner is done with what is before it
  uint8_t rcv_scale = 0;
  uint16_t rcv_mss = 536;            // the largest segment seen: what "two full segments" means
  uint16_t rcv_mss_announced = 0;    // the largest that we have asked for
  std::optional<SeqNumber> rcv_fin;  // the peer's FIN has this number
  BufferChain chain;                 // in order, not consumed
  Reassembly reassembly;
  std::optional<SackBlock> dsack;  // to report once
  bool paused = false;
  size_t receive_limit = 0;  // bytes behind rcv_consumed that may be promised
  size_t want = 0;           // length of the request at the front, once known
  size_t reserved = 0;       // of the stack's pool
  bool waits_in_line = false;
  Progress progress;  // either way

  // ---- acknowledgements
  uint32_t ack_pending = 0;  // bytes taken since the last ACK
  bool ack_now = false;
  SeqNumber last_ack_sent;
  Nanos last_reply_at = -kSecond;  // an answer to a segment without data (row 8)
  Nanos challenge_since = 0;       // RFC 5961 7: so many in so long
  uint32_t challenges = 0;

  // ---- options that both sides have
  bool scaling = false;
  bool sack = false;
  bool timestamps = false;
  uint32_t ts_offset = 0;
  uint32_t ts_recent = 0;
  Nanos ts_recent_at = 0;

  // ---- keep-alive
  Nanos last_heard_at = 0;
  uint32_t keepalives_out = 0;

  // ---- the stack's lists
  bool dirty = false;  // output() is due
  bool event_queued = false;
  uint8_t events = 0;  // bits of EventKind
  bool waits_for_block = false;
  bool waits_for_region = false;

  std::array<Nanos, static_cast<size_t>(Timer::kCount)> deadlines = all_never();
  static constexpr std::array<Nanos, static_cast<size_t>(Timer::kCount)> all_never() {
    std::array<Nanos, static_cast<size_t>(Timer::kCount)> never{};
    never.fill(kNever);
    return never;
  }

  Nanos& deadline(Timer timer) { return deadlines[static_cast<size_t>(timer)]; }
  Nanos deadline(Timer timer) const { return deadlines[static_cast<size_t>(timer)]; }
  bool listed() const { return dirty || event_queued || waits_for_block || waits_for_region || waits_in_line; }
  bool armed(Timer timer) const { return deadline(timer) != kNever; }
  void disarm(Timer timer) { deadline(timer) = kNever; }

  void become(State next) {
    CHECK(legal(state, next));
    state = next;
  }

  // Sequence numbers of the queue's bytes. SYN is not one of them, FIN comes behind them.
  SeqNumber queue_begin() const {
    if (state == State::kSynSent || state == State::kSynReceived) return iss + 1;
    return fin_acked() ? *snd_fin : snd_una;
  }
  SeqNumber queue_end() const { return queue_begin() + static_cast<uint32_t>(queue.bytes()); }
  bool fin_sent() const { return snd_fin && snd_nxt > *snd_fin; }
  bool fin_acked() const { return snd_fin && snd_una > *snd_fin; }
  // Bytes that have never been sent; and whether FIN is one of what has not.
  uint32_t unsent() const { return seq_bytes(snd_nxt, queue_end()); }
  bool has_unsent() const { return unsent() > 0 || (snd_fin && !fin_sent()); }
  // The right edge that the peer has promised: counted from what it acknowledged when it said so. If SND.UNA has moved
  // on by a segment whose window was too old to count, there is so much less room.
  SeqNumber window_end() const { return snd_wl2 + snd_wnd; }
  bool window_closed() const { return window_end() <= snd_una; }
  uint32_t rcv_wnd() const { return seq_bytes(rcv_nxt, rcv_adv); }
  // What the largest segment of the peer may carry, and how exactly the window field can name an edge.
  uint32_t segment_max() const { return std::max(rcv_mss, rcv_mss_announced); }
  uint32_t window_unit() const { return 1u << rcv_scale; }
  // Bytes in flight, without what duplicate ACKs say has left the network (no SACK: RFC 5681 3.2).
  uint32_t flight() const {
    const uint32_t pipe = board.pipe();
    const uint64_t left = static_cast<uint64_t>(recovery.duplicate_acks) * snd_mss;
    return left >= pipe ? 0 : pipe - static_cast<uint32_t>(left);
  }
};

struct Tcb : TcbVariables {
  explicit Tcb(Core& core) : stream(core, *this) {}
  void reset() { static_cast<TcbVariables&>(*this) = TcbVariables{}; }

  uint32_t index = 0;
  uint32_t generation = 0;
  TcpStream stream;
};

}  // namespace penstock::dataplane::tcp
