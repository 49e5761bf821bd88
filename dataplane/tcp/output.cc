// What may be sent now. The order is the one in which it is needed: holes first, then new data, then FIN.
#include "dataplane/tcp/output.h"

#include <algorithm>

#include "base/assert.h"
#include "dataplane/tcp/transmit.h"

namespace penstock::dataplane::tcp {
namespace {

// How long bytes that were sent with `more` wait for the rest of their segment.
constexpr Nanos kPushDelay = 200 * kMillisecond;
constexpr Nanos kPersistMax = 60 * kSecond;
// RFC 8985 7.2: a peer's delayed ACK, if one segment alone is out.
constexpr Nanos kWorstDelayedAck = 200 * kMillisecond;

enum class Progress : uint8_t {
  kSent,
  kHeld,     // a rule says that it must wait
  kNothing,  // nothing of the kind
  kRefused,  // the network took nothing
};

bool congestion_allows(Tcb& t, uint32_t bytes) {
  const uint32_t flight = t.flight();
  if (flight == 0 || flight + bytes <= t.cubic.cwnd()) return true;
  t.window_limited = true;
  return false;
}

void note_resent(Core& core, Tcb& t, uint32_t bytes) {
  Recovery& r = t.recovery;
  r.prr_out += bytes;
  ++r.resent_unproved;
  r.resent_any = true;
  if (t.timestamps && !r.resent_ts) r.resent_ts = timestamp_now(core, t.ts_offset);
  if (t.unanswered_since == kNever) t.unanswered_since = core.now;
  core.counters.add(Metric::tcp_retransmissions);
}

// The first hole, if there is one. What lies beyond a window that the peer shrank waits, except that the first segment
// is sent whatever the window: the answer tells what the peer really wants (RFC 9293 3.8.6).
Progress resend_one(Core& core, Tcb& t) {
  const size_t index = t.board.first_to_resend();
  if (index == t.board.size()) return Progress::kNothing;
  uint32_t bytes = std::min<uint32_t>(t.board[index].bytes, t.snd_mss);
  const SeqNumber seq = t.board[index].seq;
  if (!congestion_allows(t, bytes)) return Progress::kHeld;
  if (seq + bytes > t.window_end() && (index > 0 || t.board.pipe() > 0)) return Progress::kHeld;
  const uint32_t sent = transmit(core, t, seq, bytes);
  if (sent == 0) return Progress::kRefused;
  if (sent < t.board[index].bytes) t.board.split(index, sent);
  t.board.resent(index, core.now);
  note_resent(core, t, sent);
  return Progress::kSent;
}

// Sender's silly window avoidance and Nagle (RFC 9293 3.8.6.2.1, 3.7.4): full segments, the end of what there is, or
// half of the largest window that the peer ever had.
bool worth_sending(const Core& core, const Tcb& t, uint32_t bytes, uint32_t mss) {
  if (bytes >= mss) return true;
  if (bytes == t.unsent()) {
    if (t.snd_fin) return true;
    if (!t.more && (!core.options.nagle || t.board.empty())) return true;
    return false;
  }
  return bytes >= t.max_snd_wnd / 2;
}

// A peer may announce an MSS of 64. Such segments are copied, which what is cut is not, and cards refuse to cut them
// (i40e and iavf below 256).
constexpr uint32_t kCutFrom = 512;

// How many bytes of whole segments may go in one frame, of at most `bytes`; 0: it is not worth one.
uint32_t several_segments(const Core& core, const Tcb& t, uint32_t bytes, uint32_t mss) {
  if (mss < kCutFrom) return 0;
  const auto most = static_cast<uint32_t>(core.ip.tso_bytes());
  const uint32_t flight = t.flight();
  const uint32_t allowed = t.cubic.cwnd() > flight ? t.cubic.cwnd() - flight : 0;
  const auto segments =
      std::min<size_t>(std::min({bytes, allowed, most}) / mss, Scoreboard::kSegmentsMax - t.board.size());
  return segments > 1 ? static_cast<uint32_t>(segments) * mss : 0;
}

Progress send_new(Core& core, Tcb& t) {
  const uint32_t unsent = t.unsent();
  const bool fin = t.snd_fin && !t.fin_sent();
  if (unsent == 0 && !fin) return Progress::kNothing;
  const uint32_t mss = t.snd_mss - std::min<uint32_t>(sack_option_bytes(t), t.snd_mss - 1);
  const uint32_t usable = seq_bytes(t.snd_nxt, t.window_end());
  // What the device does not take so goes one by one.
  if (const uint32_t several = several_segments(core, t, std::min(unsent, usable), mss);
      several > 0 && transmit_new(core, t, several, mss) > 0) {
    return Progress::kSent;
  }
  const uint32_t bytes = std::min({unsent, mss, usable});
  const bool with_fin = fin && bytes == unsent && usable > bytes;
  if ((bytes == 0 && !with_fin) || t.board.full()) return Progress::kHeld;
  if (bytes > 0 && !worth_sending(core, t, bytes, mss)) return Progress::kHeld;
  if (!congestion_allows(t, bytes + with_fin)) return Progress::kHeld;
  return transmit_new(core, t, bytes + with_fin) > 0 ? Progress::kSent : Progress::kRefused;
}

// Nothing was sent for longer than a retransmission timeout: what the window stood for is no longer so.
void restart_after_idle(Core& core, Tcb& t) {
  if (t.path_mtu != 0 && core.now >= t.path_mtu_until) {
    t.path_mtu = 0;
    settle_mss(core, t);
  }
  if (t.board.empty() && t.has_unsent() && core.now - t.last_sent_at > t.rtt.rto()) t.cubic.on_idle();
}

// True: new data went out.
bool send_data(Core& core, Tcb& t) {
  restart_after_idle(core, t);
  t.window_limited = false;
  Progress progress = Progress::kSent;
  while (progress == Progress::kSent) progress = resend_one(core, t);
  const SeqNumber before = t.snd_nxt;
  if (progress == Progress::kNothing) {
    progress = Progress::kSent;
    while (progress == Progress::kSent) progress = send_new(core, t);
  }
  if (progress == Progress::kRefused) put_off(core, t);
  return t.snd_nxt != before;
}

// Invariants 1 and 2: whatever is left to do has a time at which it is tried again.
void settle_timers(Core& core, Tcb& t) {
  if (t.board.empty()) {
    t.disarm(Timer::kRto);
    t.disarm(Timer::kTlp);
    t.disarm(Timer::kRack);
  } else if (!t.armed(Timer::kRto)) {
    arm(core, t, Timer::kRto, core.now + t.rtt.rto());
  }
  const bool idle = t.board.empty() && t.has_unsent() && !t.armed(Timer::kRetry);
  const bool for_more =
      idle && t.more && !t.snd_fin && t.unsent() < t.snd_mss && seq_bytes(t.snd_nxt, t.window_end()) >= t.unsent();
  if (!for_more) t.disarm(Timer::kPush);
  if (for_more && !t.armed(Timer::kPush)) arm(core, t, Timer::kPush, core.now + kPushDelay);
  const bool persist = idle && !for_more;
  if (!persist) {
    t.disarm(Timer::kPersist);
  } else if (!t.armed(Timer::kPersist)) {
    const Nanos wait = std::min(t.rtt.base() << std::min(t.persist_backoff, 16u), kPersistMax);
    arm(core, t, Timer::kPersist, core.now + wait);
  }
}

}  // namespace

void output(Core& core, Tcb& t) {
  t.disarm(Timer::kRetry);
  if (t.state == State::kSynReceived && t.ack_now) send_ack(core, t);  // an answer to what is out of the window
  if (!synchronized(t.state)) return;
  bool sent_new = false;
  if (transmits(t.state)) sent_new = send_data(core, t);
  if (t.ack_now || window_update_due(t)) {
    send_ack(core, t);
  } else if (t.ack_pending > 0 && !t.armed(Timer::kDelayedAck)) {
    arm(core, t, Timer::kDelayedAck, core.now + core.options.delayed_ack);
  }
  settle_timers(core, t);
  if (sent_new) schedule_tail_probe(core, t);
}

void schedule_tail_probe(Core& core, Tcb& t) {
  const Recovery& r = t.recovery;
  if (t.board.empty() || !t.sack || r.state != CongestionState::kOpen || t.board.sacked_bytes() > 0 || r.tlp_out ||
      r.duplicate_acks > 0) {
    t.disarm(Timer::kTlp);
    return;
  }
  Nanos wait = kSecond;
  if (t.rtt.measured()) {
    wait = std::max(2 * t.rtt.srtt(), 2 * Wheel::kTick);
    if (t.board.size() == 1) wait += kWorstDelayedAck;
  }
  arm(core, t, Timer::kTlp, std::min(core.now + wait, t.deadline(Timer::kRto)));
}

bool send_tail_probe(Core& core, Tcb& t) {
  if (t.board.empty()) return false;
  Recovery& r = t.recovery;
  const uint32_t usable = seq_bytes(t.snd_nxt, t.window_end());
  const uint32_t bytes = std::min<uint32_t>({t.unsent(), t.snd_mss, usable});
  // New data tells as much as old, and is needed anyway.
  if (bytes > 0 && !t.board.full()) {
    if (transmit_new(core, t, bytes) == 0) return false;
    r.tlp_resent = false;
  } else {
    const size_t last = t.board.size() - 1;
    if (t.board[last].bytes > t.snd_mss) t.board.split(last, t.board[last].bytes - t.snd_mss);
    const size_t index = t.board.size() - 1;
    const uint32_t sent = transmit(core, t, t.board[index].seq, t.board[index].bytes);
    if (sent == 0) return false;
    if (sent < t.board[index].bytes) t.board.split(index, sent);
    t.board.resent(index, core.now);
    note_resent(core, t, sent);
    r.tlp_resent = true;
  }
  r.tlp_out = true;
  r.tlp_end = t.snd_nxt;
  core.counters.add(Metric::tcp_loss_probes);
  return true;
}

}  // namespace penstock::dataplane::tcp
