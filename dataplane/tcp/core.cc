#include "dataplane/tcp/core.h"

#include <algorithm>

#include "base/assert.h"
#include "dataplane/tcp/output.h"

namespace penstock::dataplane::tcp {

Core::Core(const StackOptions& wanted, net::IpOutput& output, TcpCounters& metrics)
    : options(wanted),
      ip(output),
      counters(metrics),
      prng(wanted.seed),
      send_memory({.blocks = wanted.send_memory_bytes / SendMemory::kBlockBytes,
                   .shared = wanted.shared_regions_max,
                   .frames_flying = wanted.frames_flying_max},
                  wanted.send_arena),
      flows(wanted.connections_max + wanted.half_open_max),
      time_waits(wanted.time_wait_max, 2 * wanted.msl),
      wheel(wanted.connections_max + wanted.half_open_max),
      resets_left(wanted.resets_per_second) {}

Core::~Core() {
  for (const auto& t : tcbs) t->queue.clear(send_memory);
}

uint64_t table_hash(const Core& core, const Flow& flow) {
  return hash_flow(core.options.secret, HashFor::kTable, flow);
}

Tcb* find_tcb(Core& core, uint64_t hash, const Flow& flow) {
  const auto index = core.flows.find(hash, [&](uint32_t i) { return core.tcbs[i]->flow == flow; });
  return index ? core.tcbs[*index].get() : nullptr;
}

Tcb* take_tcb(Core& core, const Flow& flow, bool half_open) {
  if (half_open ? core.half_open >= core.options.half_open_max : core.connections >= core.options.connections_max) {
    return nullptr;
  }
  if (core.free_tcbs.empty()) {
    // A closed connection whose owner has not let go of it keeps its place, and counts.
    if (core.tcbs.size() >= core.options.connections_max + core.options.half_open_max) return nullptr;
    auto fresh = std::make_unique<Tcb>(core);
    fresh->index = static_cast<uint32_t>(core.tcbs.size());
    core.free_tcbs.push_back(fresh->index);
    core.tcbs.push_back(std::move(fresh));
  }
  Tcb& t = *core.tcbs[core.free_tcbs.back()];
  core.free_tcbs.pop_back();
  t.reset();
  t.in_use = true;
  t.half_open = half_open;
  ++(half_open ? core.half_open : core.connections);
  t.flow = flow;
  t.hash = table_hash(core, flow);
  t.in_table = true;
  core.flows.insert(t.hash, t.index);
  t.receive_limit = core.options.receive_buffer_bytes;
  t.rcv_scale = receive_scale(core.options);
  t.rcv_mss_announced = announced_mss(core, flow.remote);
  t.ts_offset = timestamp_offset(core, flow);
  t.rtt.start(core.options.rto_min);
  t.last_heard_at = t.last_sent_at = core.now;
  core.counters.set(Metric::tcp_connections_open, core.connections + core.half_open);
  return &t;
}

void no_longer_half_open(Core& core, Tcb& t) {
  if (!t.half_open) return;
  t.half_open = false;
  --core.half_open;
  ++core.connections;
}

void detach(Core& core, Tcb& t) {
  if (t.in_table) {
    core.flows.erase(t.hash, t.index, [&](uint32_t i) { return core.tcbs[i]->hash; });
    t.in_table = false;
  }
  if (t.state != State::kClosed) t.become(State::kClosed);
  if (t.passive && !t.owned && t.holds_accept_place) --core.listeners[t.listener].waiting;
  t.holds_accept_place = false;
  t.deadlines.fill(kNever);
  core.wheel.disarm(t.index);
  t.queue.clear(core.send_memory);
  t.queue.release_memory();
  t.board.clear();
  core.counters.add(Metric::tcp_out_of_order_evicted, t.reassembly.drop_all());
  t.ack_now = false;
  forget_if_unowned(core, t);
}

void forget_if_unowned(Core& core, Tcb& t) {
  if (t.state != State::kClosed || t.owned || !t.in_use) return;
  // An accepted connection that its owner has not taken yet goes as if it had never come.
  t.events = 0;
  t.chain.clear();
  t.want = 0;
  give_back_reservation(core, t);
  if (t.half_open) {
    --core.half_open;
  } else {
    --core.connections;
  }
  t.in_use = false;
  ++t.generation;
  // Its places in the stack's lists find that it is not what they meant; it is taken again when they are gone.
  if (!t.listed()) core.free_tcbs.push_back(t.index);
  core.counters.set(Metric::tcp_connections_open, core.connections + core.half_open);
}

void settle_lists(Core& core, Tcb& t) {
  if (!t.in_use && !t.listed()) core.free_tcbs.push_back(t.index);
}

void break_connection(Core& core, Tcb& t, Broken why) {
  switch (why) {
    case Broken::kReset:
    case Broken::kRefused: core.counters.add(Metric::tcp_connections_reset); break;
    case Broken::kTimedOut: core.counters.add(Metric::tcp_connections_timed_out); break;
  }
  t.broken = why;
  if (t.owned || (t.events & bit(EventKind::kAccepted)) != 0) tell(core, t, EventKind::kBroken);
  detach(core, t);
}

void enter_time_wait(Core& core, Tcb& t) {
  t.become(State::kTimeWait);
  const TimeWait entry{.flow = t.flow,
                       .hash = t.hash,
                       .snd_nxt = t.snd_nxt,
                       .rcv_nxt = t.rcv_nxt,
                       .window = static_cast<uint16_t>(std::min(t.rcv_wnd() >> t.rcv_scale, 65535u)),
                       .timestamps = t.timestamps,
                       .ts_offset = t.ts_offset,
                       .ts_recent = t.ts_recent};
  if (core.time_waits.add(entry, core.now)) core.counters.add(Metric::tcp_time_waits_evicted);
  core.counters.set(Metric::tcp_time_waits, core.time_waits.size());
  detach(core, t);
}

void tell(Core& core, Tcb& t, EventKind event) {
  if (!t.in_use) return;
  t.events |= bit(event);
  if (t.event_queued) return;
  t.event_queued = true;
  core.events.push_back(t.index);
}

void make_dirty(Core& core, Tcb& t) {
  if (t.dirty || !t.in_use) return;
  t.dirty = true;
  core.dirty.push_back(t.index);
}

void arm(Core& core, Tcb& t, Timer timer, Nanos at) {
  t.deadline(timer) = at;
  core.wheel.arm(t.index, at);
}

void arm_keepalive(Core& core, Tcb& t) {
  if (core.options.keepalive_idle == 0) return;
  arm(core, t, Timer::kKeepalive, core.now + core.options.keepalive_idle);
}

SeqNumber initial_sequence(const Core& core, const Flow& flow) {
  const auto clock = static_cast<uint32_t>(core.now / (4 * kMicrosecond));
  return SeqNumber{clock + static_cast<uint32_t>(hash_flow(core.options.secret, HashFor::kSequence, flow))};
}

uint32_t timestamp_offset(const Core& core, const Flow& flow) {
  return static_cast<uint32_t>(hash_flow(core.options.secret, HashFor::kTimestamp, flow));
}

uint32_t timestamp_now(const Core& core, uint32_t offset) {
  return static_cast<uint32_t>(core.now / kMillisecond) + offset;
}

// The smallest shift that lets the largest request be offered whole; but a buffer has at least eight units, or what
// opens a little could not be said.
uint8_t receive_scale(const StackOptions& options) {
  const size_t largest = std::max(options.receive_buffer_bytes, options.request_bytes_max);
  uint8_t scale = 0;
  while (scale < kWindowScaleMax && (size_t{65535} << scale) < largest &&
         (options.receive_buffer_bytes >> (scale + 1)) >= 8) {
    ++scale;
  }
  return scale;
}

namespace {

size_t ip_header_bytes(const net::IpAddress& remote) { return remote.is_v4() ? 20 : 40; }

// RFC 6691: IP and TCP options do not count. A device with less than IP's own minimum is treated as having that.
uint32_t mss_for(size_t mtu, const net::IpAddress& remote) {
  const size_t headers = ip_header_bytes(remote) + kHeaderBytesMin;
  return static_cast<uint32_t>(std::max<size_t>(mtu, headers + kMssMin) - headers);
}

}  // namespace

uint16_t announced_mss(const Core& core, const net::IpAddress& remote) {
  return static_cast<uint16_t>(std::min<uint32_t>(mss_for(core.ip.mtu(remote), remote), core.options.mss_max));
}

void settle_mss(Core& core, Tcb& t) {
  size_t mtu = core.ip.mtu(t.flow.remote);
  if (t.path_mtu != 0) mtu = std::min(mtu, t.path_mtu);
  uint32_t mss = std::min<uint32_t>({mss_for(mtu, t.flow.remote), t.peer_mss, core.options.mss_max});
  mss = std::max<uint32_t>(mss, kMssMin);
  if (t.timestamps) mss -= kTimestampsBytes;
  t.snd_mss = static_cast<uint16_t>(mss);
  t.cubic.set_mss(mss);
}

// A request's last bytes must not lie behind an edge that does not move: a sender keeps back what would not fill a
// segment (RFC 9293 3.8.6.2.1), and a scaled field names units. So the segment in which the request ends has room too,
// and what the field cannot name. That the edge does move there is window_update_due()'s task.
size_t promise_for(const Tcb& t, size_t n) { return n + t.segment_max() + t.window_unit(); }

// Whom a large window was offered once sends segments as large as they may be: room for one stays, or a request after
// that could not begin.
size_t own_share(const Core& core, const Tcb& t) {
  const size_t share = core.options.receive_buffer_bytes;
  return t.receive_limit > share ? std::max(share, promise_for(t, 1)) : share;
}

void serve_line(Core& core) {
  while (!core.line.empty()) {
    Tcb& t = *core.tcbs[core.line.front()];
    if (t.in_use && t.want > 0) {
      const size_t share = own_share(core, t);
      const size_t promise = std::clamp(promise_for(t, t.want), share, share + core.options.receive_pool_bytes);
      const size_t lacks = promise - share;
      if (core.receive_pool_used - t.reserved + lacks > core.options.receive_pool_bytes) return;
      core.receive_pool_used += lacks - t.reserved;
      t.reserved = lacks;
      t.progress.begin_anew();
      t.receive_limit = promise;
      make_dirty(core, t);  // the window opens
    }
    core.line.pop_front();
    t.waits_in_line = false;
    settle_lists(core, t);
  }
}

namespace {

// It is the peer's turn: what it has begun is not all there, or it does not take the answers before it. A request that
// is all there may wait for the device as long as it must.
bool waits_for_peer(const Tcb& t) {
  const bool complete = t.want > 0 ? t.chain.size() >= t.want : !t.chain.empty();
  return !complete || (t.send_short && t.queue.bytes() > 0);
}

}  // namespace

void watch_line(Core& core) {
  if (core.line.empty()) {
    core.line_since = 0;
    return;
  }
  if (core.now - core.line_watched_at < kLineWatchInterval) return;
  if (core.line_since == 0) core.line_since = core.now;
  core.line_watched_at = core.now;
  for (const auto& t : core.tcbs) {
    if (!t->in_use || t->reserved == 0 || t->waits_in_line) continue;
    if (!waits_for_peer(*t)) {
      t->progress.begin_anew();
      continue;
    }
    if (!t->progress.too_slow(core.now, core.line_since, t->want)) continue;
    core.counters.add(Metric::tcp_connections_stalled);
    send_reset(core, *t);
    break_connection(core, *t, Broken::kTimedOut);
  }
}

// What the peer may still send beyond the connection's own share was promised, and stays reserved; behind a close it is
// thrown away.
void give_back_reservation(Core& core, Tcb& t) {
  t.receive_limit = own_share(core, t);
  size_t promised = 0;
  if (t.state != State::kClosed && !t.closed && t.rcv_adv > t.rcv_consumed) {
    const size_t open = seq_bytes(t.rcv_consumed, t.rcv_adv);
    promised = open - std::min(open, t.receive_limit);
  }
  const size_t keep = std::min(t.reserved, promised);
  core.receive_pool_used -= t.reserved - keep;
  t.reserved = keep;
  serve_line(core);
}

void receive_pressure(Core& core, bool low) {
  if (core.receive_memory_low == low) return;
  core.receive_memory_low = low;
  if (!low) return;
  for (const auto& t : core.tcbs) {
    if (t->in_use) core.counters.add(Metric::tcp_out_of_order_evicted, t->reassembly.drop_all());
  }
}

}  // namespace penstock::dataplane::tcp
