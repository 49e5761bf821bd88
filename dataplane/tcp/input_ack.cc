// Step 5 of SEGMENT ARRIVES: what an acknowledgement says about our data, the window and the states.
#include <algorithm>

#include "dataplane/tcp/input.h"
#include "dataplane/tcp/output.h"
#include "dataplane/tcp/recovery.h"

namespace penstock::dataplane::tcp {
namespace {

// The byte of a window probe was taken after all: from here on it counts as sent.
void count_probe_as_sent(Core& core, Tcb& t) {
  t.board.sent(t.snd_nxt, 1, core.now, false);
  t.snd_nxt += 1;
  t.probe_out = false;
}

// SND.WND, from the newest segment that we have (RFC 9293 3.10.7.4: also when SEG.ACK = SND.UNA). One that acknowledges
// more is newer too, though the peer sends something again with it.
bool update_window(Tcb& t, const TcpSegment& s) {
  if (!(s.ack > t.snd_una || t.snd_wl1 < s.seq || (t.snd_wl1 == s.seq && t.snd_wl2 <= s.ack))) return false;
  const uint32_t window = static_cast<uint32_t>(s.window) << t.snd_scale;
  const bool changed = s.ack + window != t.window_end();
  t.snd_wnd = window;
  t.snd_wl1 = s.seq;
  t.snd_wl2 = s.ack;
  t.max_snd_wnd = std::max(t.max_snd_wnd, window);
  return changed;
}

// Half of what bounds it: not a few bytes for each acknowledgement.
bool has_room_again(const Core& core, const Tcb& t) {
  return t.queue.bytes() <= core.options.send_buffer_bytes / 2 && t.queue.held() <= core.send_memory.share() / 2;
}

// What follows when our FIN is acknowledged. False: the connection is done.
bool fin_is_acknowledged(Core& core, Tcb& t) {
  switch (t.state) {
    case State::kFinWait1:
      t.become(State::kFinWait2);
      if (t.closed) arm(core, t, Timer::kFinWait2, core.now + core.options.fin_wait_2);
      return true;
    case State::kClosing: enter_time_wait(core, t); return false;
    case State::kLastAck: detach(core, t); return false;
    default: return true;
  }
}

}  // namespace

bool step_5_ack(Core& core, Tcb& t, const Arrival& arrival) {
  const TcpSegment& s = arrival.segment;
  if (!s.has(kAck)) return false;
  if (t.probe_out && s.ack == t.snd_nxt + 1) count_probe_as_sent(core, t);
  if (s.ack > t.snd_nxt) {
    core.counters.add(Metric::tcp_drops_bad_ack);
    reply_ack(core, t, s.length() > 0);
    return false;
  }
  if (s.ack < t.snd_una) {
    if (s.ack + t.max_snd_wnd >= t.snd_una) return true;  // an old one: its data may be new
    core.counters.add(Metric::tcp_drops_bad_ack);         // RFC 5961 5.2
    challenge_ack(core, t);
    return false;
  }
  const bool opened = update_window(t, s);
  AckEvent event{.segment = s, .at = arrival.at};
  event.duplicate = s.ack == t.snd_una && s.length() == 0 && !opened && !t.board.empty();
  acknowledge(core, t, event);
  // It answers: RFC 9293 3.8.6.1, the connection stays open. But nobody waits for it any more behind our close(): then
  // only what it takes counts (RFC 6429).
  const bool asks_nothing = t.window_closed() || t.board.empty();
  if (asks_nothing && !t.closed) t.unanswered_since = kNever;
  if (opened) {
    t.persist_backoff = 0;
    t.disarm(Timer::kPersist);
  }
  if (event.advanced) {
    core.ip.confirm(t.flow.remote);
    if (t.send_short && has_room_again(core, t)) {
      t.send_short = false;
      if (t.owned) tell(core, t, EventKind::kWritable);
    }
  }
  return !t.fin_acked() || fin_is_acknowledged(core, t);
}

}  // namespace penstock::dataplane::tcp
