#include "tests/sim/tcp_sim.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "dataplane/tcp/core.h"

namespace penstock::sim {

using namespace dataplane::tcp;

namespace {

constexpr Nanos kLongest = 8 * 3600 * kSecond;
constexpr uint16_t kPort = 9092;
constexpr std::array kAddress = {net::IpAddress::v4(0x0a000001), net::IpAddress::v4(0x0a000002)};

std::byte pattern(uint64_t stream, uint64_t at) {
  uint64_t x = (stream << 40) ^ at;
  x *= 0x9e3779b97f4a7c15;
  return static_cast<std::byte>(x >> 56);
}

}  // namespace

std::span<const std::byte> LentMemory::lend(Bytes bytes, uint64_t& token) {
  token = next_++;
  return lent_.emplace(token, std::move(bytes)).first->second;
}

void LentMemory::release(uint64_t token) {
  const auto found = lent_.find(token);
  CHECK(found != lent_.end());  // twice, or never lent
  std::fill(found->second.begin(), found->second.end(), std::byte{0xdb});
  lent_.erase(found);
}

struct TcpSim::App {
  Host* host = nullptr;
  TcpStream* stream = nullptr;
  uint64_t sends = 0;  // which pattern
  uint64_t receives = 0;
  size_t to_send = 0;
  size_t sent = 0;
  size_t received = 0;
  size_t peer_sends = 0;  // what must have come at the end
  Nanos acts_at = 0;
  Nanos abort_at = kNever;
  bool open = false;  // accepted or connected
  bool shut = false;
  bool ended = false;  // the peer's FIN was told
  bool broken = false;
  bool done = false;
  bool shared = false;  // sends by reference
  bool slow = false;
  size_t chunk = 1;
  size_t request_max = 0;  // takes whole requests of 1 to so many bytes; 0: bytes as they come
  size_t request = 0;      // the length of the one that it waits for
};

struct TcpSim::Host {
  Host(const StackOptions& options, const LinkOptions& link, uint64_t seed, uint64_t stream, size_t rx_buffers)
      : out(link, seed, stream), rx(rx_buffers), stack(options, out, counters) {}
  LentMemory lent;
  TcpCounters counters;
  TcpLink out;  // away from here
  RxMemory rx;
  Stack stack;
  TcpWire wire;
  std::map<uint32_t, App*> by_slot;
  std::vector<App*> waiting;  // for their kAccepted, by the peer's port
};

TcpSim::TcpSim(uint64_t seed) : seed_(seed), prng_(seed, 1) {
  may_abort_ = prng_.one_in(4);
  draw_link();
  draw_hosts();
  open_connections();
}

TcpSim::~TcpSim() {
  for (auto& host : hosts_) host->out.drop_all();  // what devices hold goes home while there is one
}

void TcpSim::draw_link() {
  static constexpr std::array<Nanos, 8> kDelays = {5 * kMicrosecond,   20 * kMicrosecond, 100 * kMicrosecond,
                                                   500 * kMicrosecond, 2 * kMillisecond,  10 * kMillisecond,
                                                   50 * kMillisecond,  200 * kMillisecond};
  link_.delay = kDelays[prng_.below(kDelays.size())];
  if (prng_.one_in(2))
    link_.loss_permille = static_cast<unsigned>(prng_.one_in(3) ? prng_.below(200) : prng_.below(20));
  if (prng_.one_in(4)) link_.burst_permille = static_cast<unsigned>(prng_.below(10));
  if (prng_.one_in(3)) link_.duplicate_permille = static_cast<unsigned>(prng_.below(150));
  if (prng_.one_in(3)) link_.corrupt_permille = static_cast<unsigned>(prng_.below(20));
  if (prng_.one_in(4)) link_.refuse_permille = static_cast<unsigned>(prng_.below(200));
  if (prng_.one_in(3)) link_.jitter = static_cast<Nanos>(prng_.below(static_cast<uint64_t>(4 * link_.delay) + 1));
  if (prng_.one_in(4)) {
    link_.bytes_per_second = prng_.between(200, 20'000) * 1000;
    link_.queue_bytes = prng_.between(8, 128) * kKiB;
  }
  if (prng_.one_in(3)) link_.mtu = prng_.one_in(2) ? prng_.between(300, 1500) : 9000;
  link_.references = prng_.one_in(2);
  link_.tso_bytes = prng_.one_in(2) ? 0 : prng_.between(1, 64'000);
  link_.device_delay = static_cast<Nanos>(prng_.below(200)) * kMicrosecond;
}

void TcpSim::draw_hosts() {
  for (size_t i = 0; i < 2; ++i) {
    StackOptions options;
    options.secret = {prng_.next(), prng_.next()};
    options.seed = prng_.next();
    options.connections_max = 64;
    options.half_open_max = prng_.one_in(3) ? 1 : 32;
    options.time_wait_max = prng_.one_in(3) ? 2 : 64;
    options.send_memory_bytes = prng_.one_in(4) ? 16 * kKiB : kMiB;
    options.shared_regions_max = prng_.one_in(4) ? 4 : 256;
    options.frames_flying_max = prng_.one_in(4) ? 4 : 1024;
    options.send_buffer_bytes = size_t{1} << prng_.between(9, 18);
    options.receive_buffer_bytes = size_t{1} << prng_.between(8, 18);
    options.window_scaling = !prng_.one_in(4);
    options.sack = !prng_.one_in(4);
    options.timestamps = !prng_.one_in(4);
    options.nagle = prng_.one_in(4);
    options.msl = 30 * kSecond;
    // Given up is nothing here: whatever is lost comes through in the end.
    options.user_timeout = options.connect_timeout = kLongest;
    options.syn_ack_retries = 1000;
    // A reset may be lost: who only waits learns of it by asking.
    if (may_abort_ || prng_.one_in(4)) options.keepalive_idle = 7 * kSecond, options.keepalive_probes = 1000;
    const size_t rx_buffers = prng_.one_in(4) ? prng_.between(40, 100) : 4096;
    hosts_[i] = std::make_unique<Host>(options, link_, seed_, 100 + i, rx_buffers);
    Host& host = *hosts_[i];
    host.out.set_now(now_);
    host.out.set_watch([this, &host](Nanos, const TcpLink::Packet& packet) {
      if (wire_error_.empty()) wire_error_ = host.wire.sent(packet);
    });
    host.stack.poll(now_);
    CHECK(host.stack.listen({}, kPort));
  }
}

void TcpSim::open_connections() {
  const size_t connections = prng_.between(1, 6);
  for (size_t c = 0; c < connections; ++c) {
    const size_t opener = prng_.below(2);
    std::array<App*, 2> pair{};
    for (size_t side = 0; side < 2; ++side) {
      App& app = *apps_.emplace_back(std::make_unique<App>());
      app.host = hosts_[side].get();
      app.sends = 2 * c + side;
      app.receives = 2 * c + 1 - side;
      app.to_send = prng_.one_in(4) ? 0 : prng_.below(size_t{1} << prng_.between(1, 18));
      app.shared = prng_.one_in(2);
      app.slow = prng_.one_in(3);
      app.chunk = size_t{1} << prng_.between(0, 15);
      if (prng_.one_in(2)) app.request_max = size_t{1} << prng_.between(4, 18);
      if (app.chunk < 32) app.to_send = std::min<size_t>(app.to_send, 4096);
      if (may_abort_ && prng_.one_in(4)) app.abort_at = now_ + static_cast<Nanos>(prng_.below(20 * kSecond));
      pair[side] = &app;
    }
    for (size_t side = 0; side < 2; ++side) pair[side]->peer_sends = pair[1 - side]->to_send;
    Host& host = *hosts_[opener];
    const auto port = static_cast<uint16_t>(20000 + c);
    pair[opener]->stream = host.stack.connect(
        {.local = kAddress[opener], .remote = kAddress[1 - opener], .remote_port = kPort, .local_port = port});
    CHECK(pair[opener]->stream != nullptr);
    host.by_slot[pair[opener]->stream->slot()] = pair[opener];
    hosts_[1 - opener]->waiting.push_back(pair[1 - opener]);
    pair[1 - opener]->acts_at = port;  // until it is accepted: whose it is
  }
}

std::string TcpSim::run() {
  size_t steps = 0;
  while (true) {
    if (std::string wrong = step(); !wrong.empty()) return wrong;
    if (!wire_error_.empty()) return wire_error_;
    const Nanos at = next();
    if (at == kNever) break;
    if (now_ > kLongest) return "not done after eight hours";
    if (++steps > 20'000'000) return "not done after 20 million steps";
    now_ = std::max(now_, at);
    if (at > now_) now_ = at;
  }
  for (const auto& app : apps_) {
    // One that was aborted before it was accepted was never here.
    if (!app->done && (app->open || !may_abort_)) {
      return "a connection is stuck: nothing is on its way and no timer runs; " + describe();
    }
  }
  return account();
}

Nanos TcpSim::next() const {
  Nanos at = kNever;
  for (const auto& host : hosts_) {
    at = std::min(at, host->out.next());
    const Nanos deadline = host->stack.next_deadline();
    // A deadline that lies between ticks is served at the next one.
    if (deadline != kNever) at = std::min(at, std::max(deadline, now_ + kMicrosecond));
  }
  for (const auto& app : apps_) {
    if (app->open && !app->done) at = std::min(at, std::min(app->acts_at, app->abort_at));
  }
  return at;
}

std::string TcpSim::step() {
  for (auto& host : hosts_) {
    host->out.set_now(now_);
    host->out.turn();
  }
  for (size_t i = 0; i < 2; ++i) {
    if (std::string wrong = deliver(i); !wrong.empty()) return wrong;
  }
  for (size_t i = 0; i < 2; ++i) {
    if (std::string wrong = serve(i); !wrong.empty()) return wrong;
  }
  return "";
}

std::string TcpSim::deliver(size_t to) {
  Host& host = *hosts_[to];
  while (auto packet = hosts_[1 - to]->out.take()) {
    if (!packet->corrupted) host.wire.heard(*packet);
    note(packet->bytes.size() * 31 + static_cast<uint64_t>(now_));
    auto buffer = host.rx.take(packet->bytes);
    host.stack.receive_pressure(host.rx.low());
    if (!buffer) continue;
    host.stack.on_packet({.source = packet->source,
                          .destination = packet->destination,
                          .segment = std::move(*buffer),
                          .at = now_,
                          .checksum_good = false});
  }
  return "";
}

std::string TcpSim::serve(size_t number) {
  Host& host = *hosts_[number];
  while (const auto event = host.stack.next()) {
    if (std::string wrong = on_event(host, *event); !wrong.empty()) return wrong;
  }
  for (const auto& app : apps_) {
    if (app->host != &host || !app->open || app->done) continue;
    if (app->abort_at <= now_) {
      app->stream->abort();
      finish(*app);
    } else if (app->acts_at <= now_) {
      if (std::string wrong = act(*app); !wrong.empty()) return wrong;
    }
  }
  host.stack.poll(now_);
  return "";
}

std::string TcpSim::on_event(Host& host, const TcpEvent& event) {
  note(static_cast<uint64_t>(event.kind) + 1);
  if (event.kind == EventKind::kAccepted) {
    const auto found = std::find_if(host.waiting.begin(), host.waiting.end(), [&](App* app) {
      return static_cast<uint16_t>(app->acts_at) == event.stream->flow().remote_port;
    });
    if (found == host.waiting.end()) {
      // The last ACK of a cookie's handshake, come twice, when the connection had ended (docs/internals/tcp.md).
      if (host.counters.get(Metric::tcp_cookies_accepted) == 0) return "accepted twice";
      event.stream->abort();
      return "";
    }
    (*found)->stream = event.stream;
    (*found)->open = true;
    (*found)->acts_at = now_;
    host.by_slot[event.stream->slot()] = *found;
    host.waiting.erase(found);
    return "";
  }
  const auto found = host.by_slot.find(event.stream->slot());
  if (found == host.by_slot.end()) return "an event of a closed connection";
  App& app = *found->second;
  switch (event.kind) {
    case EventKind::kConnected: app.open = true; break;
    case EventKind::kEnded:
      if (app.ended) return "ended twice";
      app.ended = true;
      break;
    case EventKind::kBroken:
      if (app.broken) return "broken twice";
      app.broken = true;
      app.open = true;
      ++broken_;
      break;
    default: break;
  }
  app.acts_at = std::min(app.acts_at, now_ + (app.slow ? static_cast<Nanos>(prng_.below(kSecond)) : 0));
  return "";
}

// One thing that an application does, and when it looks again.
std::string TcpSim::act(App& app) {
  if (app.broken) {
    // A TIME-WAIT that had to go early answers the peer's last FIN with a reset.
    if (!may_abort_ && count(Metric::tcp_time_waits_evicted) == 0) {
      return "broken, and nobody aborts here; " + describe();
    }
    app.stream->close();
    finish(app);
    return "";
  }
  app.acts_at = kNever;
  if (std::string wrong = read(app); !wrong.empty()) return wrong;
  write(app);
  if (app.sent == app.to_send && !app.shut) {
    app.stream->shutdown_send();
    app.shut = true;
  }
  if (app.shut && app.ended && app.stream->received().empty()) {
    if (app.received != app.peer_sends) return "the stream ended early";
    app.stream->close();
    finish(app);
    return "";
  }
  // It looks again by itself when it has left something, or is in the mood; otherwise events wake it.
  const bool leaves = !app.stream->received().empty() && app.request == 0;
  const bool more = leaves || (app.sent < app.to_send && prng_.one_in(4));
  // Who takes a few bytes at a time and is slow as well would need more than the eight hours that a run may take.
  const bool sips = app.request_max > 0 && app.request_max < 256;
  const Nanos mood = app.slow && !sips ? 2 * kSecond : 200 * kMicrosecond;
  if (more && app.acts_at == kNever) app.acts_at = now_ + kMicrosecond + static_cast<Nanos>(prng_.below(mood));
  return "";
}

// The next request's length once it is all there, as the Kafka code takes them: until then its reader only waits.
size_t TcpSim::whole_request(App& app) {
  const size_t rest = app.peer_sends - std::min(app.peer_sends, app.received);
  if (rest == 0) return app.stream->received().size();
  if (app.request == 0) app.request = prng_.between(1, std::min(rest, app.request_max));
  if (app.stream->received().size() >= app.request) return std::exchange(app.request, 0);
  app.stream->want(app.request);
  return 0;
}

std::string TcpSim::read(App& app) {
  BufferChain& chain = app.stream->received();
  size_t n = chain.size();
  if (app.request_max > 0) {
    n = whole_request(app);
  } else if (app.slow && n > 0) {
    n = prng_.between(1, n);
  }
  size_t at = app.received;
  std::string wrong;
  chain.for_each_piece(0, n, [&](std::span<const std::byte> piece) {
    for (const std::byte b : piece) {
      if (b != pattern(app.receives, at++) && wrong.empty()) wrong = "byte " + std::to_string(at - 1) + " is wrong";
    }
  });
  if (!wrong.empty()) return wrong;
  app.received += n;
  delivered_ += n;
  if (app.received > app.peer_sends) return "more came than was sent";
  app.stream->consume(n);
  return "";
}

void TcpSim::write(App& app) {
  for (int turns = 0; turns < 4 && app.sent < app.to_send; ++turns) {
    const size_t n = std::min(app.to_send - app.sent, static_cast<size_t>(prng_.between(1, app.chunk)));
    const size_t taken = offer(app, n);
    app.sent += taken;
    if (taken < n) return;  // kWritable comes
  }
  if (app.sent < app.to_send) app.acts_at = now_ + 1000;
}

size_t TcpSim::offer(App& app, size_t n) {
  Bytes bytes(n);
  for (size_t i = 0; i < n; ++i) bytes[i] = pattern(app.sends, app.sent + i);
  if (app.shared && prng_.one_in(2)) {
    uint64_t token = 0;
    const auto lent = app.host->lent.lend(std::move(bytes), token);
    const dataplane::SharedPiece piece{lent, &app.host->lent, token};
    if (app.stream->send_shared(std::span(&piece, 1)) == 1) return n;
    app.host->lent.release(token);
    return 0;
  }
  const std::span<const std::byte> whole = bytes;
  const size_t cut = prng_.below(n + 1);
  const std::array<std::span<const std::byte>, 2> pieces = {whole.first(cut), whole.subspan(cut)};
  return app.stream->send(pieces, prng_.one_in(8));
}

void TcpSim::finish(App& app) {
  app.done = true;
  app.host->by_slot.erase(app.stream->slot());
}

// Everything is home (invariant 8), and no connection is left behind.
std::string TcpSim::account() {
  for (const auto& host : hosts_) {
    const Core& core = host->stack.core();
    if (core.connections + core.half_open != 0) return "connections are left";
    if (core.time_waits.size() != 0) return "TIME-WAITs are left";
    if (host->rx.out() != 0) return "receive buffers are missing";
    if (core.heap.bytes() != 0) return "heap buffers are missing";
    if (host->lent.out() != 0) return "lent memory is missing";
    if (core.send_memory.blocks_free() != core.send_memory.blocks()) return "send blocks are missing";
    if (core.send_memory.regions_used() != 0 || core.send_memory.frames_flying() != 0) return "regions are missing";
    if (core.receive_pool_used != 0) return "receive memory is still reserved";
    if (core.free_tcbs.size() != core.tcbs.size()) return "connection slots are missing";
  }
  return "";
}

void TcpSim::note(uint64_t what) { trace_ = (trace_ ^ what) * 0x100000001b3; }

uint64_t TcpSim::frames_cut() const { return hosts_[0]->out.cut() + hosts_[1]->out.cut(); }

uint64_t TcpSim::count(Metric metric) const {
  return hosts_[0]->counters.get(metric) + hosts_[1]->counters.get(metric);
}

std::string TcpSim::describe() const {
  std::string text = "at " + std::to_string(now_ / kMillisecond) + " ms, delay " + std::to_string(link_.delay / 1000) +
                     " us, loss " + std::to_string(link_.loss_permille) + ":";
  for (const auto& app : apps_) {
    text += "\n  " + std::to_string(app->sends) + ": sent " + std::to_string(app->sent) + "/" +
            std::to_string(app->to_send) + " received " + std::to_string(app->received) + "/" +
            std::to_string(app->peer_sends) + (app->open ? " open" : "") + (app->shut ? " shut" : "") +
            (app->ended ? " ended" : "") + (app->broken ? " broken" : "") + (app->done ? " done" : "");
  }
  for (const auto& host : hosts_) {
    for (const auto& t : host->stack.core().tcbs) {
      if (!t->in_use) continue;
      text += "\n  " + std::string(to_string(t->state)) + " una+" + std::to_string(t->snd_una - t->iss) + " nxt+" +
              std::to_string(t->snd_nxt - t->iss) + " wnd " + std::to_string(t->snd_wnd) + " queue " +
              std::to_string(t->queue.bytes()) + " pipe " + std::to_string(t->board.pipe()) + " cwnd " +
              std::to_string(t->cubic.cwnd()) + " rcv_wnd " + std::to_string(t->rcv_wnd()) + " rcv_nxt+" +
              std::to_string(t->rcv_nxt - t->irs) + " consumed+" + std::to_string(t->rcv_consumed - t->irs) +
              " chain " + std::to_string(t->chain.size()) + " ranges " + std::to_string(t->reassembly.range_count()) +
              " scale " + std::to_string(t->rcv_scale);
    }
  }
  return text;
}

}  // namespace penstock::sim
