// Opening: segments for no connection, in SYN-SENT, and in TIME-WAIT.
#include <algorithm>

#include "dataplane/tcp/cookie.h"
#include "dataplane/tcp/input.h"
#include "dataplane/tcp/output.h"

namespace penstock::dataplane::tcp {
namespace {

// RFC 9293 3.10.7.2: behind this a sequence number is newer than all that the old connection has used.
constexpr uint32_t kNewerBy = 64000;

Listener* find_listener(Core& core, const Flow& flow) {
  for (Listener& listener : core.listeners) {
    if (listener.open && listener.port == flow.local_port &&
        (listener.address.is_unspecified() || listener.address == flow.local)) {
      return &listener;
    }
  }
  return nullptr;
}

// RFC 9293 3.7.1: without the option; IPv6 allows more.
uint16_t default_mss(const net::IpAddress& remote) { return remote.is_v4() ? 536 : 1220; }

// What both sides of the SYNs have said.
void agree(Core& core, Tcb& t, const TcpSegment& syn) {
  t.irs = syn.seq;
  t.rcv_nxt = t.rcv_consumed = t.last_ack_sent = syn.seq + 1;
  // The SYN's own window, never scaled (RFC 7323 2.2).
  t.rcv_adv = t.rcv_nxt + static_cast<uint32_t>(std::min<size_t>(t.receive_limit, 65535));
  t.scaling = core.options.window_scaling && syn.window_scale;
  t.snd_scale = t.scaling ? *syn.window_scale : 0;
  if (!t.scaling) t.rcv_scale = 0;
  t.sack = core.options.sack && syn.sack_permitted;
  t.timestamps = core.options.timestamps && syn.timestamps;
  if (t.timestamps) {
    t.ts_recent = syn.timestamps->value;
    t.ts_recent_at = core.now;
  }
  t.peer_mss = syn.mss != 0 ? syn.mss : default_mss(t.flow.remote);
  settle_mss(core, t);
  t.cubic.start(t.snd_mss);
  t.snd_wnd = t.max_snd_wnd = syn.window;
  t.snd_wl1 = syn.seq;
  t.snd_wl2 = t.iss;
}

void begin_sending(Tcb& t, SeqNumber iss) {
  t.iss = t.snd_una = iss;
  t.snd_nxt = iss + 1;
  t.recovery.point = t.recovery.loss_una = t.recovery.rack_end = t.recovery.rack_fack = iss;
}

void send_cookie(Core& core, const Arrival& arrival) {
  const TcpSegment& s = arrival.segment;
  const uint16_t mss = s.mss != 0 ? s.mss : default_mss(arrival.flow.remote);
  TcpSegment h;
  h.seq = make_cookie(core.options.secret, arrival.flow, s.seq, mss, core.now);
  h.ack = s.seq + 1;
  h.flags = kSyn | kAck;
  h.window = static_cast<uint16_t>(std::min<size_t>(core.options.receive_buffer_bytes, 65535));
  h.mss = announced_mss(core, arrival.flow.remote);
  if (core.options.timestamps && s.timestamps) {
    const uint32_t ts_now = timestamp_now(core, timestamp_offset(core, arrival.flow));
    h.timestamps = Timestamps{cookie_timestamp(ts_now, s), s.timestamps->value};
    if (core.options.window_scaling && s.window_scale) h.window_scale = receive_scale(core.options);
    h.sack_permitted = core.options.sack && s.sack_permitted;
  }
  core.cookies_until = core.now + 2 * kCookieSlot;
  core.counters.add(Metric::tcp_cookies_sent);
  send_bare(core, arrival.flow, h);
}

// A SYN for a listener (RFC 9293 3.10.7.2, third). newer_than: what an old connection of this flow has used.
void syn_for_listener(Core& core, Listener& listener, const Arrival& arrival, std::optional<SeqNumber> newer_than) {
  const auto number = static_cast<uint16_t>(&listener - core.listeners.data());
  if (listener.waiting >= core.options.accept_queue_max) {
    core.counters.add(Metric::tcp_syns_dropped);  // not refused: there may be room when it comes again
    return;
  }
  Tcb* t = take_tcb(core, arrival.flow, true);
  if (t == nullptr) {
    send_cookie(core, arrival);
    return;
  }
  t->passive = true;
  t->listener = number;
  t->holds_accept_place = true;
  ++listener.waiting;
  SeqNumber iss = initial_sequence(core, arrival.flow);
  if (newer_than && iss <= *newer_than + kNewerBy) iss = *newer_than + kNewerBy;
  begin_sending(*t, iss);
  t->become(State::kSynReceived);
  agree(core, *t, arrival.segment);
  t->syn_sent_at = core.now;
  send_syn(core, *t);
  arm(core, *t, Timer::kRto, core.now + t->rtt.rto());
}

// The last ACK of a handshake of which we have kept nothing. True: it is dealt with. While cookies are out, one that
// fits none is not refused: it may be the second segment of a peer whose first was lost, and that will come again.
bool accept_cookie(Core& core, Listener& listener, const Arrival& arrival) {
  const TcpSegment& s = arrival.segment;
  if (core.now >= core.cookies_until) return false;
  const auto mss = check_cookie(core.options.secret, arrival.flow, s.seq - 1, s.ack - 1, core.now);
  if (!mss) {
    core.counters.add(Metric::tcp_cookies_bad);
    return true;
  }
  Tcb* t = listener.waiting < core.options.accept_queue_max ? take_tcb(core, arrival.flow, false) : nullptr;
  if (t == nullptr) {
    core.counters.add(Metric::tcp_syns_dropped);
    return true;  // it may come again with its data
  }
  t->passive = true;
  t->listener = static_cast<uint16_t>(&listener - core.listeners.data());
  t->holds_accept_place = true;
  ++listener.waiting;
  const CookieOptions said = options_of(*mss, s.timestamps);
  TcpSegment syn = s;
  syn.seq = s.seq - 1;
  syn.mss = said.mss;
  syn.window_scale = said.window_scale;
  syn.sack_permitted = said.sack;
  begin_sending(*t, s.ack - 1);
  t->become(State::kSynReceived);
  agree(core, *t, syn);
  core.counters.add(Metric::tcp_cookies_accepted);
  Arrival again{arrival.flow, s, core.heap.copy_of(arrival.payload.bytes()), arrival.at};
  segment_arrives(core, *t, std::move(again));
  return true;
}

}  // namespace

bool answers_cookie(const Core& core, const Arrival& arrival) {
  const TcpSegment& s = arrival.segment;
  return core.now < core.cookies_until &&
         check_cookie(core.options.secret, arrival.flow, s.seq - 1, s.ack - 1, core.now).has_value();
}

void segment_for_nobody(Core& core, const Arrival& arrival) {
  const TcpSegment& s = arrival.segment;
  if (s.has(kRst)) return;
  Listener* listener = find_listener(core, arrival.flow);
  if (listener != nullptr) {
    if (s.has(kAck)) {
      if (!s.has(kSyn) && accept_cookie(core, *listener, arrival)) return;
    } else if (s.has(kSyn)) {
      return syn_for_listener(core, *listener, arrival, std::nullopt);
    } else {
      return;  // neither: old, or nonsense (3.10.7.2, fourth)
    }
  }
  core.counters.add(Metric::tcp_drops_no_connection);
  refuse(core, arrival.flow, s);
}

void segment_in_syn_sent(Core& core, Tcb& t, const Arrival& arrival) {
  const TcpSegment& s = arrival.segment;
  if (s.has(kAck) && (s.ack <= t.iss || s.ack > t.snd_nxt)) return refuse(core, t.flow, s);
  if (s.has(kRst)) {
    if (s.has(kAck)) break_connection(core, t, Broken::kRefused);
    return;
  }
  if (!s.has(kSyn)) return;
  agree(core, t, s);
  if (s.has(kAck)) {
    t.become(State::kSynReceived);  // for as long as this function runs: both SYNs are done
    establish(core, t, arrival);
    t.ack_now = true;
    make_dirty(core, t);
    return;
  }
  // Simultaneous open: the SYNs have crossed.
  t.become(State::kSynReceived);
  send_syn(core, t);
  arm(core, t, Timer::kRto, core.now + t.rtt.rto());
}

void establish(Core& core, Tcb& t, const Arrival& arrival) {
  const TcpSegment& s = arrival.segment;
  t.become(State::kEstablished);
  t.snd_una = t.iss + 1;
  t.disarm(Timer::kRto);
  t.unanswered_since = kNever;
  // RFC 6298 3: not of a SYN that was sent twice. Then the path is lossy, too (RFC 5681 3.1), and slow perhaps (RFC
  // 6298 5.7).
  t.rtt.reset_backoff();
  if (t.syn_retries > 0) {
    t.cubic.set_cwnd(t.snd_mss);
    t.rtt.start_slow();
  } else if (t.syn_sent_at != 0) {
    t.rtt.sample(arrival.at - t.syn_sent_at, arrival.at);
  }
  // The window of a SYN is not scaled, that of the ACK is.
  t.snd_wnd = static_cast<uint32_t>(s.window) << (s.has(kSyn) ? 0 : t.snd_scale);
  t.max_snd_wnd = std::max(t.max_snd_wnd, t.snd_wnd);
  t.snd_wl1 = s.seq;
  t.snd_wl2 = s.ack;
  arm_keepalive(core, t);
  if (t.snd_fin) t.become(State::kFinWait1);  // closed while it was being opened
  if (t.passive) {
    core.counters.add(Metric::tcp_connections_accepted);
    tell(core, t, EventKind::kAccepted);
  } else {
    core.counters.add(Metric::tcp_connections_opened);
    if (t.owned) tell(core, t, EventKind::kConnected);
  }
}

bool segment_in_time_wait(Core& core, TimeWait& wait, const Arrival& arrival) {
  const TcpSegment& s = arrival.segment;
  if (s.has(kRst)) {
    // RFC 9293 3.10.7.4, second; only the exact number (RFC 5961), which RFC 1337's old duplicates do not have.
    if (s.seq == wait.rcv_nxt) core.time_waits.remove(wait);
    return false;
  }
  const bool newer =
      wait.timestamps && s.timestamps ? ts_before(wait.ts_recent, s.timestamps->value) : s.seq > wait.rcv_nxt;
  if (s.has(kSyn) && !s.has(kAck) && newer) {
    // RFC 6191 2, RFC 9293 3.6.1: the peer begins anew.
    Listener* listener = find_listener(core, arrival.flow);
    const SeqNumber used = wait.snd_nxt;
    core.time_waits.remove(wait);
    if (listener == nullptr) return true;
    syn_for_listener(core, *listener, arrival, used);
    return false;
  }
  if (s.length() == 0) {
    if (core.now - wait.last_reply_at < kSecond / 2 || s.seq == wait.rcv_nxt) return false;
    wait.last_reply_at = core.now;
  }
  TcpSegment h;
  h.seq = wait.snd_nxt;
  h.ack = wait.rcv_nxt;
  h.flags = kAck;
  h.window = wait.window;
  if (wait.timestamps) h.timestamps = Timestamps{timestamp_now(core, wait.ts_offset), wait.ts_recent};
  send_bare(core, wait.flow, h);
  if (s.has(kFin)) core.time_waits.restart(wait, core.now);
  return false;
}

}  // namespace penstock::dataplane::tcp
