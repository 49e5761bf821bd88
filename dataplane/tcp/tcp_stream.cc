#include "dataplane/tcp/tcp_stream.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "dataplane/net/address.h"
#include "dataplane/tcp/core.h"
#include "dataplane/tcp/invariants.h"
#include "dataplane/tcp/output.h"

namespace penstock::dataplane::tcp {

static_assert(SharingStream<TcpStream>);

namespace {

// The connection takes data to send: now, or when it is open.
bool may_send(const Tcb& t) {
  if (!t.owned || t.snd_fin) return false;
  return t.state == State::kSynSent || t.state == State::kSynReceived || t.state == State::kEstablished ||
         t.state == State::kCloseWait;
}

size_t room(const Core& core, const Tcb& t) {
  const size_t bound = core.options.send_buffer_bytes;
  return bound - std::min(bound, t.queue.bytes());
}

// The same for bytes that are lent: they may have to be copied yet.
size_t room_for_copies(const Core& core, const Tcb& t) {
  const size_t share = core.send_memory.share();
  return std::min(room(core, t), share - std::min(share, t.queue.held()));
}

// A send took less than it was offered, though the connection may have `left` more: others must give back what is
// short. Without that its own acknowledgements make room.
void wait_for_room(Tcb& t, size_t left, bool& waits, Fifo<uint32_t>& waiters) {
  t.send_short = true;
  if (left == 0 || waits) return;
  waits = true;
  waiters.push_back(t.index);
}

void queue_fin(Core& core, Tcb& t) {
  if (t.snd_fin) return;
  t.snd_fin = t.queue_end();
  if (t.state == State::kEstablished) t.become(State::kFinWait1);
  if (t.state == State::kCloseWait) t.become(State::kLastAck);
  make_dirty(core, t);
}

}  // namespace

BufferChain& TcpStream::received() { return tcb_.chain; }

void TcpStream::consume(size_t n) {
  core_.owner.check();
  if (n == 0) return;
  tcb_.chain.consume(n);
  consumed(n);
}

BufferChain TcpStream::take(size_t n) {
  core_.owner.check();
  BufferChain front = tcb_.chain.take_front(n);
  if (n > 0) consumed(n);
  return front;
}

// n bytes have left the chain: the window opens by as much.
void TcpStream::consumed(size_t n) {
  tcb_.rcv_consumed += static_cast<uint32_t>(n);
  tcb_.want = 0;
  give_back_reservation(core_, tcb_);
  if (window_update_due(tcb_)) make_dirty(core_, tcb_);
  check_invariants(core_, tcb_);
}

void TcpStream::want(size_t n) {
  core_.owner.check();
  if (!tcb_.owned || tcb_.want == n) return;
  CHECK(tcb_.want == 0 && n <= core_.options.request_bytes_max);
  tcb_.want = n;
  if (promise_for(tcb_, n) <= own_share(core_, tcb_)) {  // its own share holds it
    if (window_update_due(tcb_)) make_dirty(core_, tcb_);
    return;
  }
  if (!tcb_.waits_in_line) {
    tcb_.waits_in_line = true;
    core_.line.push_back(tcb_.index);
  }
  serve_line(core_);
}

void TcpStream::pause(bool on) {
  core_.owner.check();
  if (!tcb_.owned || tcb_.paused == on) return;
  tcb_.paused = on;
  if (!on && window_update_due(tcb_)) make_dirty(core_, tcb_);
}

size_t TcpStream::send(std::span<const std::span<const std::byte>> pieces, bool more) {
  core_.owner.check();
  if (!may_send(tcb_)) return 0;
  size_t taken = 0;
  for (const auto& piece : pieces) {
    const size_t n = std::min(piece.size(), room_for_copies(core_, tcb_));
    const size_t copied = tcb_.queue.append_copy(core_.send_memory, piece.first(n));
    taken += copied;
    if (copied < piece.size()) {
      wait_for_room(tcb_, room_for_copies(core_, tcb_), tcb_.waits_for_block, core_.block_waiters);
      break;
    }
  }
  core_.counters.add(Metric::tcp_bytes_copied_out, taken);
  tcb_.more = more;
  make_dirty(core_, tcb_);
  return taken;
}

bool TcpStream::shares(std::span<const std::byte> memory) const { return core_.ip.refers_to(memory); }

size_t TcpStream::room_to_share() const {
  return std::min(room_for_copies(core_, tcb_), core_.send_memory.blocks_free() * SendMemory::kBlockBytes);
}

size_t TcpStream::send_shared(std::span<const SharedPiece> pieces) {
  core_.owner.check();
  if (!may_send(tcb_)) return 0;
  size_t taken = 0;
  for (const SharedPiece& piece : pieces) {
    CHECK(!piece.bytes.empty());
    if (room_for_copies(core_, tcb_) == 0) break;
    const auto region = core_.send_memory.take_shared(*piece.owner, piece.token, piece.bytes.size());
    if (!region) break;
    tcb_.queue.append_shared(*region, piece.bytes);
    core_.counters.add(Metric::tcp_bytes_lent, piece.bytes.size());
    ++taken;
  }
  if (taken < pieces.size()) {
    const size_t left = room_for_copies(core_, tcb_);
    if (core_.send_memory.shared_free() == 0) {
      wait_for_room(tcb_, left, tcb_.waits_for_region, core_.region_waiters);
    } else {
      wait_for_room(tcb_, left, tcb_.waits_for_block, core_.block_waiters);
    }
  }
  tcb_.more = false;
  make_dirty(core_, tcb_);
  return taken;
}

void TcpStream::shutdown_send() {
  core_.owner.check();
  if (may_send(tcb_)) queue_fin(core_, tcb_);
}

void TcpStream::close() {
  core_.owner.check();
  if (!tcb_.owned) return;
  const bool opening = tcb_.state == State::kSynSent;
  if (may_send(tcb_)) queue_fin(core_, tcb_);
  tcb_.owned = false;
  tcb_.closed = true;
  tcb_.closed_at = core_.now;
  tcb_.paused = true;  // the window opens no more
  tcb_.events = 0;
  tcb_.send_short = false;
  tcb_.rcv_consumed += static_cast<uint32_t>(tcb_.chain.size());
  tcb_.chain.clear();
  core_.counters.add(Metric::tcp_out_of_order_evicted, tcb_.reassembly.drop_all());
  tcb_.want = 0;
  give_back_reservation(core_, tcb_);
  if (opening) return detach(core_, tcb_);  // RFC 9293 3.10.4: nothing was promised yet
  if (tcb_.state == State::kFinWait2) arm(core_, tcb_, Timer::kFinWait2, core_.now + core_.options.fin_wait_2);
  forget_if_unowned(core_, tcb_);
}

void TcpStream::abort() {
  core_.owner.check();
  if (!tcb_.owned) return;
  tcb_.owned = false;
  tcb_.closed = true;
  tcb_.chain.clear();
  if (synchronized(tcb_.state) || tcb_.state == State::kSynReceived) {
    send_reset(core_, tcb_);
    core_.counters.add(Metric::tcp_connections_aborted);
  }
  detach(core_, tcb_);
}

const Flow& TcpStream::flow() const { return tcb_.flow; }
std::string TcpStream::peer_address() const { return net::to_text(tcb_.flow.remote); }
uint32_t TcpStream::slot() const { return tcb_.index; }
size_t TcpStream::unacknowledged() const { return tcb_.queue.bytes(); }

}  // namespace penstock::dataplane::tcp
