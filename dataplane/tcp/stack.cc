#include "dataplane/tcp/stack.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "dataplane/net/checksum.h"
#include "dataplane/tcp/core.h"
#include "dataplane/tcp/expiry.h"
#include "dataplane/tcp/input.h"
#include "dataplane/tcp/invariants.h"
#include "dataplane/tcp/output.h"

namespace penstock::dataplane::tcp {
namespace {

constexpr uint16_t kEphemeralFirst = 49152;  // RFC 6335 6
constexpr uint32_t kEphemeralCount = 65536 - kEphemeralFirst;

bool checksum_holds(const net::TcpPacket& packet) {
  if (packet.checksum_good) return true;
  net::ChecksumSum sum = net::pseudo_header_sum(packet.source, packet.destination, packet.segment.size());
  sum.add(packet.segment.bytes());
  return sum.finish() == 0;
}

bool flow_in_use(Core& core, const Flow& flow) {
  const uint64_t hash = table_hash(core, flow);
  return find_tcb(core, hash, flow) != nullptr || core.time_waits.find(hash, flow) != nullptr;
}

// RFC 6056 3.3.3: a keyed hash of the rest of the flow, and a counter.
bool choose_port(Core& core, Flow& flow) {
  const auto offset = static_cast<uint32_t>(hash_flow(core.options.secret, HashFor::kPort, flow));
  for (uint32_t tries = 0; tries < kEphemeralCount; ++tries) {
    flow.local_port = static_cast<uint16_t>(kEphemeralFirst + (offset + core.port_cursor++) % kEphemeralCount);
    if (!flow_in_use(core, flow)) return true;
  }
  return false;
}

// Who finds some of what it waits for: a few each, or all would be woken for the first one that is free.
void wake(Core& core, Fifo<uint32_t>& waiters, bool TcbVariables::* waits, size_t free) {
  size_t to_give = (free + 3) / 4;
  while (!waiters.empty() && to_give > 0) {
    Tcb& t = *core.tcbs[waiters.front()];
    waiters.pop_front();
    t.*waits = false;
    settle_lists(core, t);
    if (!t.in_use || !t.owned) continue;
    t.send_short = false;
    tell(core, t, EventKind::kWritable);
    --to_give;
  }
}

}  // namespace

Stack::Stack(const StackOptions& options, net::IpOutput& ip, TcpCounters& counters)
    : core_(std::make_unique<Core>(options, ip, counters)) {}

Stack::~Stack() = default;

std::optional<uint16_t> Stack::listen(const net::IpAddress& address, uint16_t port) {
  core_->owner.check();
  for (const Listener& listener : core_->listeners) {
    const bool overlaps = listener.address.is_unspecified() || address.is_unspecified() || listener.address == address;
    if (listener.open && listener.port == port && overlaps) return std::nullopt;
  }
  core_->listeners.push_back({.address = address, .port = port, .open = true});
  return static_cast<uint16_t>(core_->listeners.size() - 1);
}

void Stack::stop_listening() {
  core_->owner.check();
  for (Listener& listener : core_->listeners) listener.open = false;
}

TcpStream* Stack::connect(const ConnectRequest& request) {
  Core& core = *core_;
  core.owner.check();
  Flow flow{.local = request.local,
            .remote = request.remote,
            .local_port = request.local_port,
            .remote_port = request.remote_port};
  if (flow.local_port == 0 ? !choose_port(core, flow) : flow_in_use(core, flow)) return nullptr;
  Tcb* t = take_tcb(core, flow, false);
  if (t == nullptr) return nullptr;
  t->owned = true;
  t->iss = t->snd_una = initial_sequence(core, flow);
  t->snd_nxt = t->iss + 1;
  t->recovery.point = t->recovery.loss_una = t->recovery.rack_end = t->recovery.rack_fack = t->iss;
  t->syn_sent_at = core.now;
  t->become(State::kSynSent);
  send_syn(core, *t);
  arm(core, *t, Timer::kRto, core.now + t->rtt.rto());
  check_invariants(core, *t);
  return &t->stream;
}

void Stack::on_packet(net::TcpPacket packet) {
  Core& core = *core_;
  core.owner.check();
  core.now = std::max(core.now, packet.at);
  core.counters.add(Metric::tcp_segments_received);
  const auto segment = parse(packet.segment.bytes());
  if (!segment) return core.counters.add(Metric::tcp_drops_malformed);
  if (!checksum_holds(packet)) return core.counters.add(Metric::tcp_drops_checksum);
  Arrival arrival{.flow = {.local = packet.destination,
                           .remote = packet.source,
                           .local_port = segment->destination_port,
                           .remote_port = segment->source_port},
                  .segment = *segment,
                  .payload = std::move(packet.segment),
                  .at = packet.at};
  arrival.payload.drop_front(segment->header_bytes);
  const uint64_t hash = table_hash(core, arrival.flow);
  if (Tcb* t = find_tcb(core, hash, arrival.flow)) {
    segment_arrives(core, *t, std::move(arrival));
    check_invariants(core, *t);
    return;
  }
  if (TimeWait* wait = core.time_waits.find(hash, arrival.flow)) {
    if (!segment_in_time_wait(core, *wait, arrival)) return;
  }
  segment_for_nobody(core, arrival);
}

void Stack::poll(Nanos now) {
  Core& core = *core_;
  core.owner.check();
  core.now = std::max(core.now, now);
  while (const auto node = core.wheel.expire(core.now)) {
    Tcb& t = *core.tcbs[*node];
    if (t.in_use) on_timers(core, t);
  }
  core.time_waits.expire(core.now);
  core.counters.set(Metric::tcp_time_waits, core.time_waits.size());
  wake(core, core.block_waiters, &TcbVariables::waits_for_block, core.send_memory.blocks_free());
  wake(core, core.region_waiters, &TcbVariables::waits_for_region, core.send_memory.shared_free());
  watch_line(core);
  for (size_t i = 0; i < core.dirty.size(); ++i) {  // output may add to it
    Tcb& t = *core.tcbs[core.dirty[i]];
    t.dirty = false;
    if (t.in_use) {
      output(core, t);
      check_invariants_after_output(core, t);
    }
    settle_lists(core, t);
  }
  core.dirty.clear();
}

bool Stack::drained() const {
  return std::ranges::none_of(core_->tcbs, [](const auto& t) {
    return t->in_use && t->state != State::kClosed && (t->queue.bytes() > 0 || (t->snd_fin && !t->fin_acked()));
  });
}

Nanos Stack::next_deadline() const {
  if (!core_->dirty.empty() || !core_->events.empty()) return core_->now;
  if (!core_->block_waiters.empty() && core_->send_memory.blocks_free() > 0) return core_->now;
  if (!core_->region_waiters.empty() && core_->send_memory.shared_free() > 0) return core_->now;
  const Nanos watch = core_->line.empty() ? kNever : core_->line_watched_at + kLineWatchInterval;
  return std::min({core_->wheel.next(), core_->time_waits.next(), watch});
}

std::optional<TcpEvent> Stack::next() {
  Core& core = *core_;
  core.owner.check();
  while (!core.events.empty()) {
    Tcb& t = *core.tcbs[core.events.front()];
    if (!t.in_use || t.events == 0) {
      core.events.pop_front();
      t.event_queued = false;
      settle_lists(core, t);
      continue;
    }
    const auto kind = static_cast<EventKind>(std::countr_zero(t.events));
    t.events &= static_cast<uint8_t>(t.events - 1);
    if (kind == EventKind::kAccepted) {
      t.owned = true;
      t.holds_accept_place = false;
      --core.listeners[t.listener].waiting;
      // What came before the owner knew of it.
      if (!t.chain.empty()) tell(core, t, EventKind::kReceived);
      if (t.rcv_fin && t.rcv_nxt > *t.rcv_fin) tell(core, t, EventKind::kEnded);
    }
    if (t.events == 0) {
      core.events.pop_front();
      t.event_queued = false;
    }
    return TcpEvent{.kind = kind, .stream = &t.stream, .listener = t.listener, .why = t.broken};
  }
  return std::nullopt;
}

size_t Stack::copy_out(const net::TxOwner& owner, const std::function<bool(uint64_t token)>& wanted) {
  core_->owner.check();
  size_t copied = 0;
  for (const auto& t : core_->tcbs) copied += t->queue.copy_out(core_->send_memory, owner, wanted);
  core_->counters.add(Metric::tcp_bytes_copied_back, copied);
  return copied;
}

void Stack::receive_pressure(bool low) { tcp::receive_pressure(*core_, low); }

}  // namespace penstock::dataplane::tcp
