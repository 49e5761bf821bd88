#include "dataplane/tcp/expiry.h"

#include <algorithm>

#include "dataplane/tcp/output.h"
#include "dataplane/tcp/recovery.h"
#include "dataplane/tcp/transmit.h"

namespace penstock::dataplane::tcp {
namespace {

void repeat_syn(Core& core, Tcb& t) {
  ++t.syn_retries;
  const bool give_up = t.passive ? t.syn_retries > core.options.syn_ack_retries
                                 : core.now - t.syn_sent_at >= core.options.connect_timeout;
  if (give_up) return break_connection(core, t, Broken::kTimedOut);
  core.counters.add(Metric::tcp_timeouts);
  t.rtt.back_off();
  send_syn(core, t);
  arm(core, t, Timer::kRto, core.now + t.rtt.rto());
}

// R2 (RFC 9293 3.8.3): nothing of what we have sent again was answered for so long; or behind our close() nothing was
// taken, by a peer that may well be there and is told.
bool given_up(Core& core, Tcb& t) {
  const Nanos since = std::min(t.unanswered_since, t.refused_since);
  if (since == kNever || core.now - since < core.options.user_timeout) return false;
  if (t.closed) send_reset(core, t);
  break_connection(core, t, Broken::kTimedOut);
  return true;
}

void on_rto(Core& core, Tcb& t) {
  if (!synchronized(t.state)) return repeat_syn(core, t);
  if (t.board.empty() || given_up(core, t)) return;
  on_retransmission_timeout(core, t);
}

void on_tlp(Core& core, Tcb& t) {
  if (t.board.empty() || t.recovery.state != CongestionState::kOpen) return;
  if (!send_tail_probe(core, t)) return put_off(core, t);
  arm(core, t, Timer::kRto, core.now + t.rtt.rto());
}

// The window is closed, or too small for a segment worth sending and nothing is out that would tell of a larger one:
// the part that fits (RFC 9293 3.8.6.2.1, override), or one byte.
void on_persist(Core& core, Tcb& t) {
  if (!t.board.empty() || !t.has_unsent() || given_up(core, t)) return;
  const uint32_t usable = seq_bytes(t.snd_nxt, t.window_end());
  const uint32_t backoff = t.persist_backoff + 1;
  if (usable > 0) {
    const uint32_t fits = std::min<uint32_t>({usable, t.snd_mss, t.unsent()});
    if (transmit_new(core, t, std::max(fits, 1u)) == 0) put_off(core, t);
  } else {
    if (t.unanswered_since == kNever) t.unanswered_since = core.now;
    send_window_probe(core, t);
  }
  t.persist_backoff = std::min(backoff, 16u);
  make_dirty(core, t);
}

// RFC 9293 3.8.4: only when nothing else would tell that the peer is gone.
void on_keepalive(Core& core, Tcb& t) {
  if (!synchronized(t.state)) return;
  const Nanos quiet = core.now - t.last_heard_at;
  if (t.keepalives_out == 0 && quiet < core.options.keepalive_idle) {
    return arm(core, t, Timer::kKeepalive, t.last_heard_at + core.options.keepalive_idle);
  }
  if (t.board.empty() && !t.has_unsent()) {
    if (t.keepalives_out >= core.options.keepalive_probes) return break_connection(core, t, Broken::kTimedOut);
    ++t.keepalives_out;
    send_keepalive(core, t);
  }
  arm(core, t, Timer::kKeepalive, core.now + core.options.keepalive_interval);
}

void on_timer(Core& core, Tcb& t, Timer timer) {
  switch (timer) {
    case Timer::kRto: return on_rto(core, t);
    case Timer::kTlp: return on_tlp(core, t);
    case Timer::kRack: return on_reordering_timeout(core, t);
    case Timer::kPersist: return on_persist(core, t);
    case Timer::kDelayedAck: t.ack_now = true; return make_dirty(core, t);
    case Timer::kKeepalive: return on_keepalive(core, t);
    case Timer::kFinWait2: return detach(core, t);
    case Timer::kRetry:
      if (!given_up(core, t)) make_dirty(core, t);
      return;
    case Timer::kPush: t.more = false; return make_dirty(core, t);
    case Timer::kCount: break;
  }
  std::unreachable();
}

}  // namespace

void on_timers(Core& core, Tcb& t) {
  for (size_t i = 0; i < t.deadlines.size() && t.in_use; ++i) {
    if (t.deadlines[i] > core.now) continue;
    t.deadlines[i] = kNever;
    on_timer(core, t, static_cast<Timer>(i));
  }
  if (!t.in_use) return;
  const Nanos earliest = *std::min_element(t.deadlines.begin(), t.deadlines.end());
  if (earliest != kNever) core.wheel.arm(t.index, earliest);
}

}  // namespace penstock::dataplane::tcp
