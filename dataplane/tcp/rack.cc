#include "dataplane/tcp/rack.h"

#include <algorithm>

namespace penstock::dataplane::tcp {
namespace {

constexpr uint32_t kReoWndMultMax = 20;

// RACK_sent_after.
bool sent_after(Nanos at1, SeqNumber end1, Nanos at2, SeqNumber end2) {
  return at1 > at2 || (at1 == at2 && end1 > end2);
}

// RACK_update_reo_wnd. Without any sign of reordering three segments' worth of SACKs settle it, as of old.
Nanos reordering_window(const Tcb& t) {
  const Recovery& r = t.recovery;
  if (!r.reordering_seen && (r.state != CongestionState::kOpen || t.board.sacked_bytes() >= 3u * t.snd_mss)) return 0;
  return std::min<Nanos>(r.reo_wnd_mult * t.rtt.min_rtt() / 4, t.rtt.srtt());
}

}  // namespace

void rack_arrived(Tcb& t, const SentSegment& segment, const AckEvent& event) {
  Recovery& r = t.recovery;
  // A clock can be coarser than a short round trip.
  const Nanos rtt = std::max(event.at - segment.sent_at, kMicrosecond);
  if (r.rack_rtt == 0 || segment.end() > r.rack_fack) {
    r.rack_fack = segment.end();
  } else if (segment.end() < r.rack_fack && !segment.ever_resent) {
    r.reordering_seen = true;
  }
  if (segment.ever_resent) {
    // Perhaps it was the first transmission that arrived.
    if (rtt < t.rtt.min_rtt()) return;
    const uint32_t sent_ts = static_cast<uint32_t>(segment.sent_at / kMillisecond) + t.ts_offset;
    if (t.timestamps && event.segment.timestamps && event.advanced &&
        ts_before(event.segment.timestamps->echo, sent_ts)) {
      return;
    }
  }
  if (r.rack_rtt == 0 || sent_after(segment.sent_at, segment.end(), r.rack_sent_at, r.rack_end)) {
    r.rack_sent_at = segment.sent_at;
    r.rack_end = segment.end();
    r.rack_rtt = rtt;
  }
}

void rack_saw_duplicate(Tcb& t) {
  Recovery& r = t.recovery;
  r.reo_wnd_persist = 16;
  if (r.dsack_round && t.snd_una < *r.dsack_round) return;
  r.dsack_round = t.snd_nxt;
  r.reo_wnd_mult = std::min(r.reo_wnd_mult + 1, kReoWndMultMax);
}

Loss rack_detect(Core& core, Tcb& t) {
  Recovery& r = t.recovery;
  t.disarm(Timer::kRack);
  if (r.rack_rtt == 0) return Loss::kNone;
  const Nanos wait = r.rack_rtt + reordering_window(t);
  Loss loss = Loss::kNone;
  Nanos latest = 0;
  for (size_t i = 0; i < t.board.size(); ++i) {
    const SentSegment& s = t.board[i];
    if (s.sacked || (s.lost && !s.resent)) continue;
    if (!sent_after(r.rack_sent_at, r.rack_end, s.sent_at, s.end())) continue;
    const Nanos deadline = s.sent_at + wait;
    if (deadline <= core.now) {
      t.board.mark_lost(i);
      loss = std::max(loss, s.sent_at >= r.reduced_at ? Loss::kFresh : Loss::kKnown);
    } else {
      latest = std::max(latest, deadline);
    }
  }
  if (latest > 0) arm(core, t, Timer::kRack, latest);
  return loss;
}

}  // namespace penstock::dataplane::tcp
