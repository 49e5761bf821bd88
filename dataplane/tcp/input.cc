#include "dataplane/tcp/input.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "dataplane/tcp/output.h"

namespace penstock::dataplane::tcp {
namespace {

// RFC 7323 5.5: after so long without a segment the peer's clock may have wrapped.
constexpr Nanos kTimestampValid = Nanos{24} * 24 * 3600 * kSecond;

enum class Step : bool { kDrop, kGoOn };

// RFC 9293 3.4. A segment without data may also stand at the right edge: a peer that has filled the window has no other
// number, and its ACK must not be lost with it. Data at rcv_nxt into a closed window is trimmed, its ACK counts.
bool acceptable(const Tcb& t, const TcpSegment& s) {
  if (s.length() == 0) return t.rcv_nxt <= s.seq && s.seq <= t.rcv_adv;
  if (s.seq == t.rcv_nxt) return true;
  return s.seq < t.rcv_adv && s.end() > t.rcv_nxt;
}

// RFC 7323 5.3, rule R1.
bool is_old(const Core& core, const Tcb& t, const TcpSegment& s) {
  return t.timestamps && s.timestamps && !s.has(kRst) && ts_before(s.timestamps->value, t.ts_recent) &&
         core.now - t.ts_recent_at < kTimestampValid;
}

Step step_1_sequence(Core& core, Tcb& t, const TcpSegment& s) {
  if (is_old(core, t, s)) {
    core.counters.add(Metric::tcp_drops_old_timestamp);
    reply_ack(core, t, s.length() > 0);
    return Step::kDrop;
  }
  if (!acceptable(t, s)) {
    if (s.has(kRst)) return Step::kDrop;
    core.counters.add(Metric::tcp_drops_out_of_window);
    // RFC 2883 4.1: it is told which bytes came twice.
    if (t.sack && s.payload_bytes > 0 && s.end() <= t.rcv_nxt) t.dsack = SackBlock{s.seq, s.seq + s.payload_bytes};
    reply_ack(core, t, s.length() > 0);
    return Step::kDrop;
  }
  if (t.timestamps && !s.timestamps && !s.has(kRst)) core.counters.add(Metric::tcp_missing_timestamps);
  // RFC 7323 4.3: of the segment that the next ACK answers.
  if (t.timestamps && s.timestamps && s.seq <= t.last_ack_sent && !ts_before(s.timestamps->value, t.ts_recent)) {
    t.ts_recent = s.timestamps->value;
    t.ts_recent_at = core.now;
  }
  return Step::kGoOn;
}

// RFC 5961 3.2.
Step step_2_reset(Core& core, Tcb& t, const TcpSegment& s) {
  if (!s.has(kRst)) return Step::kGoOn;
  if (s.seq != t.rcv_nxt) {
    challenge_ack(core, t);
    return Step::kDrop;
  }
  if (t.state == State::kSynReceived && t.passive) {
    detach(core, t);  // back to LISTEN: nobody was told of it
  } else {
    break_connection(core, t, t.state == State::kSynReceived ? Broken::kRefused : Broken::kReset);
  }
  return Step::kDrop;
}

// Step 3 is about security compartments, which IP has no more.

// RFC 5961 4.2.
Step step_4_syn(Core& core, Tcb& t, const TcpSegment& s) {
  if (!s.has(kSyn)) return Step::kGoOn;
  challenge_ack(core, t);
  return Step::kDrop;
}

// RFC 9293 3.10.7.4, fifth, SYN-RECEIVED.
Step acknowledge_syn(Core& core, Tcb& t, const Arrival& arrival) {
  const TcpSegment& s = arrival.segment;
  if (!s.has(kAck)) return Step::kDrop;
  if (s.ack <= t.snd_una || s.ack > t.snd_nxt) {
    if (!t.passive || core.now >= core.cookies_until) {
      refuse(core, t.flow, s);
      return Step::kDrop;
    }
    // While cookies are out, the SYN may have come twice and the first one been answered so. The cookie can be told
    // only from the first segment behind the SYN: a later one is no reason to refuse, since that one comes again.
    if (!answers_cookie(core, arrival)) {
      core.counters.add(Metric::tcp_cookies_bad);
      return Step::kDrop;
    }
    // The peer has settled for the cookie.
    detach(core, t);
    segment_for_nobody(core, arrival);
    return Step::kDrop;
  }
  if (t.half_open && core.connections >= core.options.connections_max) {
    core.counters.add(Metric::tcp_syns_dropped);  // the peer sends its data again
    return Step::kDrop;
  }
  no_longer_half_open(core, t);
  establish(core, t, arrival);
  return Step::kGoOn;
}

// The payload's part that is new and fits; what was there already is reported.
void trim(Tcb& t, SeqNumber& seq, Buffer& payload) {
  const SeqNumber end = seq + static_cast<uint32_t>(payload.size());
  if (seq < t.rcv_nxt) {
    const uint32_t twice = std::min(seq_bytes(seq, t.rcv_nxt), static_cast<uint32_t>(payload.size()));
    if (t.sack && twice > 0) t.dsack = SackBlock{seq, seq + twice};
    t.ack_now = true;
    payload.drop_front(twice);
    seq += twice;
  }
  const SeqNumber edge = t.rcv_fin ? seq_min(t.rcv_adv, *t.rcv_fin) : t.rcv_adv;
  if (end > edge) {
    payload.drop_back(std::min<size_t>(seq_bytes(seq_max(edge, seq), end), payload.size()));
    t.ack_now = true;  // the sender learns the window
  }
}

void take_ahead(Core& core, Tcb& t, SeqNumber seq, Buffer payload) {
  core.counters.add(Metric::tcp_out_of_order);
  t.ack_now = true;  // RFC 5681 4.2
  if (core.receive_memory_low) {
    core.counters.add(Metric::tcp_out_of_order_evicted, payload.size());
    return;
  }
  const auto inserted = t.reassembly.insert(seq, std::move(payload), core.heap);
  core.counters.add(Metric::tcp_bytes_copied_in, inserted.copied);
  if (inserted.duplicate) {
    core.counters.add(Metric::tcp_duplicates);
    if (t.sack) t.dsack = inserted.twice;
  }
  core.counters.add(Metric::tcp_out_of_order_evicted, inserted.evicted);
}

void take_in_order(Core& core, Tcb& t, Buffer payload, bool pushed) {
  const SeqNumber before = t.rcv_nxt;
  t.rcv_nxt += static_cast<uint32_t>(payload.size());
  t.rcv_mss = static_cast<uint16_t>(std::clamp<size_t>(payload.size(), t.rcv_mss, 65535));
  if (!top_up(t.chain, payload.bytes())) {
    if (core.receive_memory_low) {
      core.counters.add(Metric::tcp_bytes_copied_in, payload.size());
      payload = core.heap.copy_of(payload.bytes());
    }
    t.chain.append(std::move(payload));
  }
  if (!t.reassembly.empty()) {
    t.rcv_nxt = t.reassembly.take(t.rcv_nxt, t.chain);
    t.ack_now = true;  // RFC 5681 4.2: a hole was filled, or a part of it
  }
  const uint32_t taken = seq_bytes(before, t.rcv_nxt);
  core.counters.add(Metric::tcp_bytes_received, taken);
  t.progress.moved(taken);
  t.ack_pending += taken;
  // RFC 9293 3.8.6.3: each second full segment. And the end of what the peer had to say: it may wait for us now.
  if (pushed || t.ack_pending >= 2u * t.rcv_mss) t.ack_now = true;
  if (t.owned) tell(core, t, EventKind::kReceived);
}

// While the peer has not acknowledged all that we had to say, a reset could destroy it (RFC 1122 4.2.2.13): so long,
// and no longer than this, what comes behind our close() is acknowledged. It is at most what was promised before: the
// window opens no more.
constexpr Nanos kThrowAwayFor = 2 * kSecond;

bool throws_away(const Core& core, const Tcb& t) { return !t.fin_acked() && core.now - t.closed_at < kThrowAwayFor; }

// Only in order: what is ahead of a hole comes again.
void throw_away(Core& core, Tcb& t, SeqNumber seq, size_t bytes) {
  t.ack_now = true;
  if (seq != t.rcv_nxt) return;
  t.rcv_nxt += static_cast<uint32_t>(bytes);
  t.rcv_consumed = t.rcv_nxt;
  core.counters.add(Metric::tcp_bytes_received, bytes);
}

// Urgent data is data (step 6 does nothing): RFC 6093 advises applications against its use, and no stream offers it.
Step step_7_text(Core& core, Tcb& t, Arrival& arrival) {
  if (arrival.payload.size() == 0 || !receives(t.state)) return Step::kGoOn;
  SeqNumber seq = arrival.segment.seq;
  if (t.closed && arrival.segment.end() > t.rcv_nxt && !throws_away(core, t)) {
    // Nobody will read it (RFC 9293 3.10.4, RFC 1122 4.2.2.13).
    send_reset(core, t);
    core.counters.add(Metric::tcp_connections_aborted);
    detach(core, t);
    return Step::kDrop;
  }
  trim(t, seq, arrival.payload);
  if (arrival.payload.size() == 0) {
    core.counters.add(Metric::tcp_duplicates);
    return Step::kGoOn;
  }
  if (t.closed) {
    throw_away(core, t, seq, arrival.payload.size());
  } else if (seq == t.rcv_nxt) {
    take_in_order(core, t, std::move(arrival.payload), arrival.segment.has(kPsh));
  } else {
    take_ahead(core, t, seq, std::move(arrival.payload));
  }
  return Step::kGoOn;
}

// The peer's FIN is a sequence number: it is remembered where it stands, and counts when everything before it is there.
void remember_fin(Tcb& t, const TcpSegment& s) {
  if (!s.has(kFin) || t.rcv_fin || !receives(t.state)) return;
  const SeqNumber fin = s.seq + s.payload_bytes;
  if (fin < t.rcv_nxt || fin > t.rcv_adv) return;
  if (fin == t.rcv_adv && fin != t.rcv_nxt) return;  // its data was cut: FIN comes again with it
  t.rcv_fin = fin;
  // What claims to lie behind the end is from no sane peer.
  const size_t ranges = t.reassembly.range_count();
  if (ranges > 0 && t.reassembly.range(ranges - 1).end > fin) t.reassembly.drop_all();
}

void step_8_fin(Core& core, Tcb& t, const TcpSegment& s) {
  remember_fin(t, s);
  if (s.has(kFin)) t.ack_now = true;
  if (!t.rcv_fin || t.rcv_nxt != *t.rcv_fin || !receives(t.state)) return;
  t.rcv_nxt += 1;
  t.rcv_adv = seq_max(t.rcv_adv, t.rcv_nxt);
  t.ack_now = true;
  if (t.owned) tell(core, t, EventKind::kEnded);
  switch (t.state) {
    case State::kEstablished: t.become(State::kCloseWait); break;
    case State::kFinWait1: t.become(State::kClosing); break;  // step 5 has seen that our FIN is not acknowledged
    case State::kFinWait2:
      send_ack(core, t);
      enter_time_wait(core, t);
      break;
    default: break;
  }
}

// A SYN that comes again, or the peer's SYN-ACK of a simultaneous open.
Step repeated_syn(Core& core, Tcb& t, Arrival& arrival) {
  TcpSegment& s = arrival.segment;
  if (t.state != State::kSynReceived || !s.has(kSyn) || s.seq != t.irs || s.has(kRst)) return Step::kGoOn;
  if (!s.has(kAck)) {
    send_syn(core, t);
    return Step::kDrop;
  }
  s.flags &= static_cast<uint8_t>(~kSyn);
  s.seq += 1;
  return Step::kGoOn;
}

}  // namespace

void segment_arrives(Core& core, Tcb& t, Arrival arrival) {
  t.last_heard_at = core.now;
  t.keepalives_out = 0;
  if (t.state == State::kSynSent) return segment_in_syn_sent(core, t, arrival);
  if (repeated_syn(core, t, arrival) == Step::kDrop) return;
  const TcpSegment& s = arrival.segment;
  if (step_1_sequence(core, t, s) == Step::kDrop) return;
  if (step_2_reset(core, t, s) == Step::kDrop) return;
  if (step_4_syn(core, t, s) == Step::kDrop) return;
  if (t.state == State::kSynReceived && acknowledge_syn(core, t, arrival) == Step::kDrop) return;
  if (!step_5_ack(core, t, arrival)) return;
  if (step_7_text(core, t, arrival) == Step::kDrop) return;
  step_8_fin(core, t, s);
  make_dirty(core, t);
}

}  // namespace penstock::dataplane::tcp
