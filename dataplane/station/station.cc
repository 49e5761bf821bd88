#include "dataplane/station/station.h"

#include <sched.h>

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "base/assert.h"
#include "base/prng.h"
#include "dataplane/net/address.h"
#include "dataplane/tcp/core.h"

namespace penstock::dataplane {
namespace {

using Role = StationRequest::Role;

// The stream repeats after so many bytes: a prime, so that no segment or buffer size divides it.
constexpr size_t kPeriod = 65'521;
constexpr size_t kPiecesMax = 64;
constexpr size_t kSendMax = 32 * kKiB;
static_assert(kSendMax <= kPeriod);
constexpr Nanos kHousekeeping = 100 * kMillisecond;

// The period, and once more behind it a piece of any length that send_pattern() offers.
const std::vector<std::byte>& pattern() {
  static const std::vector<std::byte> bytes = [] {
    std::vector<std::byte> made(kPeriod + kSendMax);
    Prng(7).fill(std::span(made).first(kPeriod));
    std::copy_n(made.begin(), kSendMax, made.begin() + kPeriod);
    return made;
  }();
  return bytes;
}

std::span<const std::byte> pattern_at(uint64_t at, size_t n) {
  return std::span(pattern()).subspan(at % kPeriod, std::min(n, kSendMax));
}

}  // namespace

std::byte station_byte(uint64_t at) { return pattern()[at % kPeriod]; }

std::expected<void, std::string> Station::start(const DataplaneOptions& options, Nanos now) {
  std::vector<Link::Port> ports;
  if (is_client()) {
    const auto remote = net::parse_address(request_.peer);
    if (!remote) return std::unexpected("'" + request_.peer + "' is no numeric IPv4 or IPv6 address");
    const net::NetworkConfig& config = link_.device().config();
    const auto& ours = remote->is_v4() ? config.v4 : config.v6;
    if (!ours) return std::unexpected("the device has no address of the family of " + request_.peer);
    local_ = ours->address;
    remote_ = *remote;
  } else {
    ports.push_back({.port = request_.port, .listener = 0});
  }
  link_.start(options, ports, static_cast<uint64_t>(now), now);
  started_at_ = now;
  if (is_client()) {
    for (size_t i = 0; i < request_.connections; ++i) open_one();
    link_.finish(now);
  }
  return {};
}

void Station::open_one() {
  tcp::TcpStream* stream = link_.stack().connect({.local = local_, .remote = remote_, .remote_port = request_.port});
  if (stream == nullptr) {
    ++report_.broken;
    return;
  }
  if (stream->slot() >= peers_.size()) peers_.resize(stream->slot() + 1);
  peers_[stream->slot()] = {.stream = stream};
  ++open_;
}

bool Station::turn(Nanos now) {
  size_t did = link_.receive(now);
  while (const auto event = link_.next()) {
    take(*event, now);
    ++did;
  }
  link_.finish(now);
  if (now - house_kept_at_ >= kHousekeeping) {
    house_kept_at_ = now;
    link_.keep_house(now);
  }
  report_.took = now - started_at_;
  return did > 0;
}

bool Station::done() const {
  if (is_client()) return open_ == 0;
  return request_.closed_max > 0 && report_.closed + report_.broken >= request_.closed_max;
}

void Station::wind_up() {
  winding_up_ = true;
  link_.stop_listening();
  for (Peer& peer : peers_) {
    if (peer.stream != nullptr) close(peer);
  }
}

void Station::take(const tcp::TcpEvent& event, Nanos now) {
  const uint32_t slot = event.stream->slot();
  if (event.kind == tcp::EventKind::kAccepted) {
    if (winding_up_) return event.stream->abort();
    if (slot >= peers_.size()) peers_.resize(slot + 1);
    peers_[slot] = {.stream = event.stream};
    ++open_;
    ++report_.connections;
    return go_on(peers_[slot], now);
  }
  Peer& peer = peers_[slot];
  CHECK(peer.stream == event.stream);
  if (event.kind == tcp::EventKind::kBroken) {
    ++report_.broken;
    std::exchange(peer.stream, nullptr)->close();
    --open_;
    return;
  }
  if (event.kind == tcp::EventKind::kConnected) ++report_.connections;
  if (event.kind == tcp::EventKind::kEnded) peer.ended = true;
  go_on(peer, now);
}

void Station::go_on(Peer& peer, Nanos now) {
  switch (request_.role) {
    case Role::kEcho: echo(peer); break;
    case Role::kSink: {
      const size_t n = peer.stream->received().size();
      report_.received += n;
      peer.stream->consume(n);
      if (peer.ended) close(peer);
      break;
    }
    case Role::kSource:
      send_pattern(peer, request_.bytes);
      if (peer.sent == request_.bytes) close(peer);
      break;
    case Role::kStream:
      send_pattern(peer, request_.bytes);
      if (peer.sent == request_.bytes) peer.stream->shutdown_send();
      read_pattern(peer);
      if (!peer.ended) break;
      report_.wrong += request_.bytes - std::min(peer.received, request_.bytes);  // what never came back
      close(peer);
      break;
    case Role::kAsk: ask(peer, now); break;
  }
}

void Station::echo(Peer& peer) {
  BufferChain& chain = peer.stream->received();
  while (!chain.empty()) {
    std::array<std::span<const std::byte>, kPiecesMax> pieces;
    const size_t count = std::min(chain.buffer_count(), kPiecesMax);
    size_t offered = 0;
    for (size_t i = 0; i < count; ++i) offered += (pieces[i] = chain.piece(i)).size();
    const size_t taken = peer.stream->send(std::span(pieces).first(count));
    report_.sent += taken;
    report_.received += taken;
    peer.stream->consume(taken);
    if (taken < offered) return;
  }
  if (peer.ended) close(peer);
}

void Station::send_pattern(Peer& peer, uint64_t upto) {
  while (peer.sent < upto) {
    const auto piece = pattern_at(peer.sent, static_cast<size_t>(std::min<uint64_t>(upto - peer.sent, kSendMax)));
    const size_t taken = peer.stream->send(std::span(&piece, 1));
    peer.sent += taken;
    report_.sent += taken;
    if (taken < piece.size()) return;
  }
}

void Station::read_pattern(Peer& peer) {
  BufferChain& chain = peer.stream->received();
  const size_t n = chain.size();
  chain.for_each_piece(0, n, [&](std::span<const std::byte> piece) {
    while (!piece.empty()) {
      const auto expected = pattern_at(peer.received, piece.size());
      if (!std::ranges::equal(piece.first(expected.size()), expected)) {
        for (size_t i = 0; i < expected.size(); ++i) report_.wrong += piece[i] != expected[i] ? 1 : 0;
      }
      peer.received += expected.size();
      piece = piece.subspan(expected.size());
    }
  });
  report_.received += n;
  peer.stream->consume(n);
}

void Station::ask(Peer& peer, Nanos now) {
  read_pattern(peer);
  if (peer.ended) return close(peer);
  if (peer.received < peer.sent) return send_pattern(peer, peer.sent);
  if (peer.asked_at > 0) report_.round_trips.record(static_cast<uint64_t>(now - peer.asked_at));
  if (now - started_at_ >= request_.duration) return close(peer);
  peer.asked_at = now;
  send_pattern(peer, peer.sent + request_.message);
}

void Station::close(Peer& peer) {
  std::exchange(peer.stream, nullptr)->close();
  ++report_.closed;
  --open_;
}

bool Station::at_rest() {
  const tcp::Core& core = link_.stack().core();
  report_.connections_left = core.connections + core.half_open;
  report_.send_memory_left = core.send_memory.regions_used() + core.send_memory.frames_flying();
  report_.receive_memory_left = core.heap.bytes() + core.receive_pool_used;
  return report_.connections_left + report_.send_memory_left + report_.receive_memory_left == 0;
}

std::expected<StationReport, std::string> run_station(SharedDevice& device, const DataplaneOptions& options,
                                                      const StationRequest& request, Clock& clock,
                                                      const std::function<bool()>& stop,
                                                      const std::function<void()>& ready) {
  constexpr Nanos kDrainingMax = 5 * kSecond;
  constexpr Nanos kRestMax = kSecond;  // for those who close behind us; who is half open does not
  constexpr int kTurnsBetweenLooks = 256;
  Station station(device, request);
  if (auto started = station.start(options, clock.monotonic()); !started) return std::unexpected(started.error());
  ready();
  for (bool stopped = false; !stopped && !station.done(); stopped = stop()) {
    for (int i = 0; i < kTurnsBetweenLooks && !station.done(); ++i) {
      if (!station.turn(clock.monotonic())) sched_yield();
    }
  }
  StationReport report = station.report();
  station.wind_up();
  const auto go_on = [&](Nanos at_most, auto until) {
    for (const Nanos end = clock.monotonic() + at_most; !until() && clock.monotonic() < end;) {
      if (!station.turn(clock.monotonic())) sched_yield();
    }
  };
  go_on(kDrainingMax, [&] { return station.drained(); });
  go_on(kRestMax, [&] { return station.at_rest(); });
  report.broken = station.report().broken;
  report.connections_left = station.report().connections_left;
  report.send_memory_left = station.report().send_memory_left;
  report.receive_memory_left = station.report().receive_memory_left;
  station.stop();
  return report;
}

}  // namespace penstock::dataplane
