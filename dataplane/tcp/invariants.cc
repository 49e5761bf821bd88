#include "dataplane/tcp/invariants.h"

#include "base/assert.h"

#ifdef PENSTOCK_DCHECK

namespace penstock::dataplane::tcp {
namespace {

// I4: what is in flight is what a recount says.
void check_pipe(const Tcb& t) {
  CHECK(t.board.pipe() == t.board.recount());
  if (t.board.empty()) return;
  CHECK(t.board.front().seq == t.snd_una);
  CHECK(t.board.back().end() == t.snd_nxt);
}

// I6: out-of-order ranges are sorted, disjoint, ahead of a hole and inside of what was promised.
void check_ranges(const Tcb& t) {
  SeqNumber last = t.rcv_nxt;
  CHECK(t.reassembly.range_count() <= Reassembly::kRangesMax);
  for (size_t i = 0; i < t.reassembly.range_count(); ++i) {
    const SackBlock range = t.reassembly.range(i);
    CHECK(range.begin > last && range.end > range.begin && range.end <= t.rcv_adv);
    last = range.end;
  }
}

}  // namespace

void check_invariants(const Core& core, const Tcb& t) {
  if (!t.in_use || t.state == State::kClosed) return;
  CHECK(t.in_table && core.tcbs[t.index].get() == &t);
  if (!synchronized(t.state)) {
    CHECK(t.armed(Timer::kRto));  // I1 for SYN
    return;
  }
  check_pipe(t);
  // I7: the queue holds exactly [una, end), and what was sent of it is out.
  CHECK(t.queue.recount() == t.queue.bytes());
  CHECK(t.snd_nxt <= t.queue_end() + (t.snd_fin ? 1 : 0));
  CHECK(!t.snd_fin || *t.snd_fin == t.queue_end());
  // I5: what was promised stands, and is bounded by what the connection may hold.
  CHECK(t.rcv_adv >= t.rcv_nxt);
  check_ranges(t);
  // I10 and the wheel: an armed deadline has a node that fires no later than its tick.
  for (const Nanos deadline : t.deadlines) {
    if (deadline != kNever) CHECK(core.wheel.armed(t.index) || deadline <= core.now);
    if (deadline != kNever && core.wheel.armed(t.index)) CHECK(core.wheel.fires_at(t.index) < deadline + Wheel::kTick);
  }
}

void check_invariants_after_output(const Core& core, const Tcb& t) {
  check_invariants(core, t);
  if (!t.in_use || !synchronized(t.state) || t.state == State::kTimeWait) return;
  const bool retry = t.armed(Timer::kRetry);
  // I1: what is not acknowledged will be sent again.
  if (!t.board.empty()) CHECK(t.armed(Timer::kRto) || t.armed(Timer::kTlp) || t.armed(Timer::kRack));
  // I2: what is not sent, with nothing out that an answer would come to, will be tried.
  if (t.board.empty() && t.has_unsent() && transmits(t.state)) {
    CHECK(t.armed(Timer::kPersist) || t.armed(Timer::kPush) || retry);
  }
  // I3: a hole was reported, and data will be acknowledged.
  CHECK(!t.ack_now || retry);
  if (t.ack_pending > 0) CHECK(t.armed(Timer::kDelayedAck) || retry);
  // I11: the request that the owner waits for can come, also from a peer that sends whole segments only.
  const bool waits = t.want > t.chain.size() && receives(t.state) && t.rcv_nxt != t.irs + 1;
  if (waits && !t.paused && !t.waits_in_line && !retry && promise_for(t, t.want) <= t.receive_limit) {
    CHECK(t.rcv_wnd() >= t.segment_max());
  }
  // I10: what was due has been served; a tick is the wheel's own delay.
  for (const Nanos deadline : t.deadlines) CHECK(deadline > core.now - Wheel::kTick);
}

}  // namespace penstock::dataplane::tcp

#endif
