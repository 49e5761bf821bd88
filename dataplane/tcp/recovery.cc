#include "dataplane/tcp/recovery.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "dataplane/tcp/output.h"
#include "dataplane/tcp/rack.h"

namespace penstock::dataplane::tcp {
namespace {

constexpr uint32_t kDupThresh = 3;  // RFC 5681 3.2

// Segments below the new SND.UNA leave the scoreboard, their bytes the queue.
void take_acknowledged(Core& core, Tcb& t, AckEvent& event) {
  const SeqNumber ack = event.segment.ack;
  const uint32_t out_before = t.board.outstanding();
  const uint32_t sacked_before = t.board.sacked_bytes();
  SentSegment gone;
  while (t.board.drop_acked(ack, gone)) {
    event.acked_resent |= gone.ever_resent;
    if (!gone.ever_resent) event.rtt = event.at - gone.sent_at;
    if (!gone.sacked) rack_arrived(t, gone, event);
  }
  event.acked = out_before - t.board.outstanding();
  event.delivered += event.acked - (sacked_before - t.board.sacked_bytes());
  event.advanced = true;
  const SeqNumber begin = t.queue_begin();
  const uint32_t data = seq_bytes(begin, seq_min(ack, t.queue_end()));
  t.snd_una = ack;
  t.queue.drop_front(core.send_memory, data);
  t.progress.moved(data);
}

// RFC 2018 5; blocks that lie outside of what is out say nothing (RFC 6675 3).
void take_sack_blocks(Tcb& t, AckEvent& event) {
  const TcpSegment& segment = event.segment;
  for (size_t b = 0; b < segment.sack_count; ++b) {
    const SackBlock block = segment.sacks[b];
    if (block.begin >= block.end) continue;
    // RFC 2883 4: the first block is about bytes received twice if it lies below the ACK or inside the second.
    if (b == 0 && (block.end <= segment.ack || (segment.sack_count > 1 && block.begin >= segment.sacks[1].begin &&
                                                block.end <= segment.sacks[1].end))) {
      event.dsack = true;
      continue;
    }
    if (block.begin < t.snd_una || block.end > t.snd_nxt) continue;
    for (size_t i = t.board.index_of(block.begin); i < t.board.size() && t.board[i].end() <= block.end; ++i) {
      if (t.board[i].sacked || t.board[i].seq < block.begin) continue;
      const SentSegment arrived = t.board[i];
      t.board.mark_sacked(i);
      event.delivered += arrived.bytes;
      if (!arrived.ever_resent && event.rtt == 0) event.rtt = event.at - arrived.sent_at;
      rack_arrived(t, arrived, event);
    }
  }
}

void measure(Core& core, Tcb& t, const AckEvent& event) {
  if (event.rtt > 0) {
    t.rtt.sample(event.rtt, event.at);
  } else if (event.advanced && t.timestamps && event.segment.timestamps && event.segment.timestamps->echo != 0) {
    // Timestamps tell which transmission was answered (RFC 7323 4.1), to the millisecond.
    const uint32_t ticks = timestamp_now(core, t.ts_offset) - event.segment.timestamps->echo;
    if (ticks < 0x7fff'ffff) t.rtt.sample(std::max<Nanos>(ticks, 1) * kMillisecond, event.at);
  }
  if (event.advanced) t.rtt.reset_backoff();
}

void begin_episode(Tcb& t) {
  Recovery& r = t.recovery;
  r.may_undo = true;
  r.before = t.cubic;
  r.resent_ts.reset();
  r.resent_unproved = 0;
  r.resent_any = false;
}

// What loss makes smaller: what is out; behind an earlier loss, which leaves more out than the window says, that.
uint32_t window_in_use(const Tcb& t) {
  switch (t.recovery.state) {
    case CongestionState::kOpen: return t.board.outstanding();
    case CongestionState::kRecovery: return std::min(t.cubic.ssthresh(), t.board.outstanding());  // leads to that
    case CongestionState::kLoss: return std::min(t.cubic.cwnd(), t.board.outstanding());
  }
  std::unreachable();
}

void enter_recovery(Core& core, Tcb& t, uint32_t delivered) {
  Recovery& r = t.recovery;
  begin_episode(t);
  r.state = CongestionState::kRecovery;
  r.point = t.snd_nxt;
  r.tlp_out = false;
  r.recover_fs = std::max(t.board.outstanding(), 1u);
  r.prr_delivered = delivered;
  r.prr_out = 0;
  r.reduced_at = core.now;
  t.cubic.on_congestion(t.board.outstanding());
  core.counters.add(Metric::tcp_recoveries);
}

// RFC 5681 4.3: loss in two successive windows, or of a retransmission, is congestion twice, and the window is lowered
// twice. Behind a timeout, too: slow start would answer each loss by as much again, and a policer that lets little pass
// would be sent hundreds of times what it takes.
void reduce_again(Core& core, Tcb& t, uint32_t delivered) {
  Recovery& r = t.recovery;
  const uint32_t window = window_in_use(t);
  if (r.state == CongestionState::kLoss) r.point = t.snd_nxt;
  t.cubic.set_cwnd(window);
  r.state = CongestionState::kRecovery;
  r.recover_fs = std::max(t.board.outstanding() - t.board.sacked_bytes(), 1u);
  r.prr_delivered = delivered;
  r.prr_out = 0;
  r.reduced_at = core.now;
  t.cubic.on_congestion(window);
  core.counters.add(Metric::tcp_recoveries_again);
}

// RFC 9937 6: as many bytes leave as the reduction allows for those that arrive. safe: the ACK moved SND.UNA and told
// of no loss, so that more may leave than arrives.
void reduce_proportionally(Tcb& t, uint32_t delivered, bool first, bool safe) {
  Recovery& r = t.recovery;
  if (!first) r.prr_delivered += delivered;
  const uint32_t pipe = t.flight();
  const uint32_t ssthresh = t.cubic.ssthresh();
  int64_t count;
  if (pipe > ssthresh) {
    const uint64_t due = (static_cast<uint64_t>(r.prr_delivered) * ssthresh + r.recover_fs - 1) / r.recover_fs;
    count = static_cast<int64_t>(due) - r.prr_out;
  } else {
    const int64_t owed = static_cast<int64_t>(r.prr_delivered) - r.prr_out;
    const int64_t limit = std::max<int64_t>(owed, delivered) + (safe ? t.snd_mss : 0);
    count = std::min<int64_t>(ssthresh - pipe, limit);
  }
  if (first) count = std::max<int64_t>(count, t.snd_mss);
  t.cubic.set_cwnd(pipe + static_cast<uint32_t>(std::max<int64_t>(count, 0)));
}

void undo(Core& core, Tcb& t) {
  Recovery& r = t.recovery;
  r.may_undo = false;
  r.state = CongestionState::kOpen;
  r.duplicate_acks = 0;
  t.cubic.undo(r.before);
  t.window_limited = false;  // it was the reduced one that held us back
  t.board.clear_lost();
  core.counters.add(Metric::tcp_undone);
}

// RFC 4015: the ACK of what was sent again echoes a time before that; RFC 3708: everything that was sent again came
// twice.
void undo_if_needless(Core& core, Tcb& t, const AckEvent& event) {
  Recovery& r = t.recovery;
  if (event.dsack && r.resent_unproved > 0) --r.resent_unproved;
  if (!r.may_undo || !r.resent_any) return;
  const bool echoes_earlier = event.acked_resent && event.advanced && r.resent_ts && event.segment.timestamps &&
                              event.segment.timestamps->echo != 0 &&
                              ts_before(event.segment.timestamps->echo, *r.resent_ts) &&
                              r.state != CongestionState::kOpen;
  if (echoes_earlier || (event.dsack && r.resent_unproved == 0)) undo(core, t);
}

// RFC 6582, for peers without SACK. True: the first segment was marked lost now.
bool judge_duplicates(Tcb& t, const AckEvent& event) {
  Recovery& r = t.recovery;
  if (t.sack || t.board.empty()) {
    r.duplicate_acks = 0;
    return false;
  }
  if (event.advanced) {
    const uint32_t segments = (event.acked + t.snd_mss - 1) / t.snd_mss;
    r.duplicate_acks -= std::min(r.duplicate_acks, segments);
    if (r.state == CongestionState::kOpen) r.duplicate_acks = 0;
    if (r.state != CongestionState::kRecovery || t.snd_una >= r.point) return false;
    if (t.board.front().lost) return false;  // partial: the next hole
    t.board.mark_lost(0);
    return true;
  }
  if (!event.duplicate || r.state == CongestionState::kLoss) return false;
  ++r.duplicate_acks;
  if (r.state != CongestionState::kOpen || r.duplicate_acks < kDupThresh || t.snd_una <= r.point) return false;
  t.board.mark_lost(0);
  return true;
}

// RFC 8985 7.4.2. The probe was a retransmission, and what came behind it is acknowledged without a word of a
// duplicate: it repaired a loss that nothing else has seen.
void judge_tail_probe(Tcb& t, const AckEvent& event) {
  Recovery& r = t.recovery;
  if (!r.tlp_out || event.segment.ack < r.tlp_end) return;
  if (!r.tlp_resent || event.dsack || event.duplicate) {
    r.tlp_out = false;
  } else if (event.segment.ack > r.tlp_end) {
    r.tlp_out = false;
    t.cubic.on_congestion(std::max(t.board.outstanding(), event.flight_before));
    t.cubic.set_cwnd(t.cubic.ssthresh());
  }
}

void leave_if_done(Tcb& t, const AckEvent& event) {
  Recovery& r = t.recovery;
  if (r.state == CongestionState::kOpen || t.snd_una < r.point) return;
  // PRR ends at the threshold, wherever it was when the last hole closed.
  if (r.state == CongestionState::kRecovery) t.cubic.set_cwnd(t.cubic.ssthresh());
  r.state = CongestionState::kOpen;
  r.duplicate_acks = 0;
  if (!event.dsack && r.reo_wnd_persist > 0 && --r.reo_wnd_persist == 0) r.reo_wnd_mult = 1;
}

// True: a reduction of the window begins.
bool respond(Core& core, Tcb& t, Loss loss, uint32_t delivered) {
  if (loss == Loss::kNone) return false;
  if (t.recovery.state == CongestionState::kOpen) {
    enter_recovery(core, t, delivered);
    return true;
  }
  if (loss == Loss::kFresh) reduce_again(core, t, delivered);
  return loss == Loss::kFresh;
}

void move_window(Core& core, Tcb& t, const AckEvent& event, Loss loss) {
  Recovery& r = t.recovery;
  const uint32_t delivered = event.delivered + (event.duplicate && !t.sack ? t.snd_mss : 0);
  const bool first = respond(core, t, loss, delivered);
  undo_if_needless(core, t, event);
  leave_if_done(t, event);
  if (r.state == CongestionState::kRecovery) {
    if (first || delivered > 0) reduce_proportionally(t, delivered, first, event.advanced && loss == Loss::kNone);
    return;
  }
  if (event.acked == 0) return;
  const bool limited = t.window_limited || event.flight_before + t.snd_mss > t.cubic.cwnd() ||
                       (t.cubic.slow_start() && 2 * event.flight_before > t.cubic.cwnd());
  t.cubic.on_ack(event.acked, core.now, t.rtt.srtt(), limited);
}

}  // namespace

void acknowledge(Core& core, Tcb& t, AckEvent& event) {
  event.flight_before = t.flight();
  if (event.segment.ack > t.snd_una) take_acknowledged(core, t, event);
  if (t.sack && event.segment.sack_count > 0) take_sack_blocks(t, event);
  measure(core, t, event);
  if (event.dsack) rack_saw_duplicate(t);
  Loss loss = judge_duplicates(t, event) ? Loss::kKnown : Loss::kNone;
  if (t.sack && (t.board.sacked_bytes() > 0 || t.recovery.state != CongestionState::kOpen)) {
    loss = std::max(loss, rack_detect(core, t));
  } else {
    t.disarm(Timer::kRack);
  }
  judge_tail_probe(t, event);
  move_window(core, t, event, loss);
  if (event.advanced) {
    t.unanswered_since = kNever;
    // RFC 6298 5.2, 5.3: from the last news on, or not at all.
    t.disarm(Timer::kRto);
    if (!t.board.empty()) arm(core, t, Timer::kRto, core.now + t.rtt.rto());
  }
  if (event.advanced || event.delivered > 0) schedule_tail_probe(core, t);
}

void on_retransmission_timeout(Core& core, Tcb& t) {
  DCHECK(!t.board.empty());
  Recovery& r = t.recovery;
  core.counters.add(Metric::tcp_timeouts);
  if (t.board.front().sacked) {
    // The hole before it cannot be: the peer threw away what it had (RFC 2018 8).
    core.counters.add(Metric::tcp_reneged);
    t.board.clear_sacked();
  }
  const bool again = r.state == CongestionState::kLoss && t.snd_una == r.loss_una;
  if (again) {
    t.cubic.set_cwnd(t.snd_mss);
  } else {
    if (r.state == CongestionState::kOpen) begin_episode(t);
    t.cubic.on_timeout(window_in_use(t));
  }
  r.state = CongestionState::kLoss;
  r.reduced_at = core.now;
  r.point = t.snd_nxt;
  r.loss_una = t.snd_una;
  r.duplicate_acks = 0;
  r.tlp_out = false;
  t.disarm(Timer::kTlp);
  t.disarm(Timer::kRack);
  t.board.mark_all_lost();
  t.rtt.back_off();
  arm(core, t, Timer::kRto, core.now + t.rtt.rto());
  make_dirty(core, t);
}

void on_reordering_timeout(Core& core, Tcb& t) {
  const Loss loss = t.board.empty() ? Loss::kNone : rack_detect(core, t);
  if (loss == Loss::kNone) return;
  if (respond(core, t, loss, 0)) reduce_proportionally(t, 0, true, false);
  make_dirty(core, t);
}

}  // namespace penstock::dataplane::tcp
