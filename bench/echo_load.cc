// echo_load: what a transport costs without a broker: our TCP over a device, or the kernel's through io_uring, as an
// lcore uses each of them. The same code on both, as a server in one process and its client in another; both poll all
// of their time, so pin each to a core. scripts/measure/nic.py alternates the transports.
//
//   echo_load echo|sink AT          serves until all that came have gone
//   echo_load ask AT [--connections 32] [--message 128] [--rate 0] [--seconds 3]
//                                   requests that are answered alike: at a rate, open loop, or (0) one at a time on
//                                   each connection. Latency counts from the schedule, or from sending
//   echo_load idle nothing: --rate N [--seconds 3]
//                                   the same schedule without any request: how late this machine lets a thread be that
//                                   does nothing but look at the clock
//   echo_load stream AT [--connections 1] [--seconds 3]
//                                   bytes for a sink, as many as go
//
// AT is kernel:PORT on the loopback, or a device with its addresses, as a listener has them behind "dpdk:", then
// connect=ADDRESS of the server; port= is the server's on both sides. The last line is JSON.
#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/cpu_time.h"
#include "base/histogram.h"
#include "base/prng.h"
#include "base/system_clock.h"
#include "control/cli/load/schedule.h"
#include "dataplane/api/devices.h"
#include "dataplane/link/link.h"
#include "dataplane/net/address.h"
#include "dataplane/sockets/uring_sockets.h"

namespace {

using namespace penstock;
using namespace penstock::dataplane;

constexpr size_t kPiecesMax = 32;
constexpr size_t kChunk = 64 * kKiB;
constexpr Nanos kHousekeeping = 100 * kMillisecond;
constexpr Nanos kPatience = 10 * kSecond;
constexpr Nanos kStillness = 300 * kMillisecond;
constexpr size_t kOwedMax = 1'000'000;  // due and not sent: beyond that the transport is hopelessly behind

[[noreturn]] void die(const std::string& what) {
  fmt::print(stderr, "echo_load: {}\n", what);
  std::exit(1);
}

struct Place {
  bool kernel = false;
  uint16_t port = 7;
  std::string connect;
  DeviceSettings device;
};

struct Options {
  std::string role;
  Place place;
  size_t connections = 1;
  size_t message = 128;
  uint64_t rate = 0;
  Nanos duration = 3 * kSecond;
  bool is_client() const { return role == "ask" || role == "stream"; }
};

enum class Happened : uint8_t { kOpened, kReceived, kWritable, kEnded, kBroken };

// Both transports: turn() tells what happened to whom; a client's connections open inside of connect().
class KernelSide {
 public:
  using Stream = UringStream;

  explicit KernelSide(const Options& options) : port_(options.place.port) {
    const size_t whole = std::max(options.message, kChunk);
    auto made = UringSockets::make({.receive_pool_bytes = 64 * kMiB,
                                    .request_bytes_max = 2 * whole,
                                    .request_head_bytes = options.role == "sink" ? whole : options.message,
                                    .connections_max = 10'000,
                                    .backlog = 1024},
                                   counters_);
    if (!made) die(made.error());
    sockets_ = *std::move(made);
    if (options.is_client()) return;
    if (const auto bound = sockets_->listen("127.0.0.1", port_); !bound) die(bound.error());
  }
  void start(Nanos) { sockets_->start(bell_); }

  Stream* connect() {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port_);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) die("cannot connect");
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return sockets_->adopt(fd, 0);
  }

  template <class Take>
  void turn(Nanos now, Take take) {
    sockets_->enter();
    while (const auto event = sockets_->next()) {
      switch (event->kind) {
        case SocketEvent::Kind::kArrived: {
          Stream* const stream = sockets_->adopt(event->fd, event->listener);
          if (stream != nullptr) take(Happened::kOpened, *stream);
          break;
        }
        case SocketEvent::Kind::kReceived: take(Happened::kReceived, *event->stream); break;
        case SocketEvent::Kind::kWritable: take(Happened::kWritable, *event->stream); break;
        case SocketEvent::Kind::kEnded: take(Happened::kEnded, *event->stream); break;
        case SocketEvent::Kind::kBroken: take(Happened::kBroken, *event->stream); break;
      }
    }
    if (now - ticked_at_ < kHousekeeping) return;
    ticked_at_ = now;
    sockets_->tick(now);
  }
  void finish(Nanos) {}
  bool drained() const { return true; }  // the kernel sees to it

 private:
  const uint16_t port_;
  DataplaneCounters counters_;
  Doorbell bell_;
  std::unique_ptr<UringSockets> sockets_;
  Nanos ticked_at_ = 0;
};

class DeviceSide {
 public:
  using Stream = tcp::TcpStream;

  explicit DeviceSide(const Options& options) : place_(options.place), client_(options.is_client()) {
    auto made = Devices::open({.devices = {place_.device},
                               .lcores = 1,
                               .options = {},
                               .fill_random = [prng = Prng(static_cast<uint64_t>(SystemClock().monotonic()))](
                                                  std::span<std::byte> out) mutable { prng.fill(out); }});
    if (!made) die(made.error());
    devices_ = *std::move(made);
    devices_->enter_lcore();
    link_.emplace(*devices_->all()[0], uint16_t{0}, nullptr);
  }
  ~DeviceSide() {
    link_->stop();
    devices_->leave_lcore();
  }
  DeviceSide(const DeviceSide&) = delete;
  DeviceSide& operator=(const DeviceSide&) = delete;

  void start(Nanos now) {
    std::vector<Link::Port> ports;
    if (!client_) ports.push_back({.port = place_.port, .listener = 0});
    link_->start({}, ports, static_cast<uint64_t>(now), now);
  }

  Stream* connect() {
    SystemClock clock;
    const auto peer = net::parse_address(place_.connect);
    if (!peer) die("connect= is no address");
    Stream* const stream = link_->stack().connect(
        {.local = link_->device().config().v4->address, .remote = *peer, .remote_port = place_.port});
    CHECK(stream != nullptr);
    bool open = false;
    for (const Nanos end = clock.monotonic() + kPatience; !open;) {
      const Nanos now = clock.monotonic();
      if (now > end) die("nobody answers");
      turn(now, [&](Happened, Stream& of) { open = open || &of == stream; });
      finish(now);
    }
    return stream;
  }

  template <class Take>
  void turn(Nanos now, Take take) {
    link_->receive(now);
    while (const auto event = link_->next()) {
      switch (event->kind) {
        case tcp::EventKind::kAccepted:
        case tcp::EventKind::kConnected: take(Happened::kOpened, *event->stream); break;
        case tcp::EventKind::kReceived: take(Happened::kReceived, *event->stream); break;
        case tcp::EventKind::kWritable: take(Happened::kWritable, *event->stream); break;
        case tcp::EventKind::kEnded: take(Happened::kEnded, *event->stream); break;
        case tcp::EventKind::kBroken: take(Happened::kBroken, *event->stream); break;
      }
    }
  }
  void finish(Nanos now) {
    link_->finish(now);
    if (now - house_kept_at_ < kHousekeeping) return;
    house_kept_at_ = now;
    link_->keep_house(now);
  }
  bool drained() const { return link_->drained(); }

 private:
  const Place place_;
  const bool client_;
  std::unique_ptr<Devices> devices_;
  std::optional<Link> link_;
  Nanos house_kept_at_ = 0;
};

template <class Side>
class Server {
 public:
  explicit Server(const Options& options) : side_(options), echoes_(options.role == "echo") {}

  void run() {
    side_.start(clock_.monotonic());
    fmt::print("ready\n");
    std::fflush(stdout);
    const double cpu_before = cpu_seconds();
    for (bool came = false; !came || open_ > 0; came = came || open_ > 0) {
      const Nanos now = clock_.monotonic();
      side_.turn(now, [&](Happened what, typename Side::Stream& stream) { take(what, stream, now); });
      side_.finish(now);
      if (last_ > 0 && now - last_ > kPatience) die("nothing comes any more");
    }
    const double seconds = static_cast<double>(last_ - first_) / kSecond;
    fmt::print("{{\"bytes\": {}, \"seconds\": {:.6f}, \"cpu_seconds\": {:.6f}}}\n", bytes_, seconds,
               cpu_seconds() - cpu_before);
    std::fflush(stdout);
  }

 private:
  void take(Happened what, typename Side::Stream& stream, Nanos now) {
    if (what == Happened::kOpened) ++open_;
    if (what == Happened::kEnded || what == Happened::kBroken) {
      --open_;
      return stream.close();
    }
    BufferChain& chain = stream.received();
    if (chain.empty()) return;
    if (first_ == 0) first_ = now;
    last_ = now;
    if (!echoes_) {
      bytes_ += chain.size();
      return stream.consume(chain.size());
    }
    while (!chain.empty()) {
      std::array<std::span<const std::byte>, kPiecesMax> pieces;
      const size_t count = std::min(chain.buffer_count(), kPiecesMax);
      size_t offered = 0;
      for (size_t i = 0; i < count; ++i) offered += (pieces[i] = chain.piece(i)).size();
      const size_t taken = stream.send(std::span(pieces).first(count));
      bytes_ += taken;
      stream.consume(taken);
      if (taken < offered) return;
    }
  }

  SystemClock clock_;
  Side side_;
  const bool echoes_;
  size_t open_ = 0;
  uint64_t bytes_ = 0;
  Nanos first_ = 0;
  Nanos last_ = 0;
};

template <class Side>
class Client {
 public:
  explicit Client(const Options& options) : side_(options), options_(options), message_(options.message) {
    side_.start(clock_.monotonic());
    for (size_t i = 0; i < options.connections; ++i) {
      Peer& peer = peers_.emplace_back();
      peer.stream = side_.connect();
      const size_t slot = peer.stream->slot();
      if (slot >= by_slot_.size()) by_slot_.resize(slot + 1);
      by_slot_[slot] = &peer;
    }
  }

  void run() {
    start_ = clock_.monotonic();
    end_ = start_ + options_.duration;
    cpu_before_ = cpu_seconds();
    const bool asks = options_.role == "ask";
    if (options_.rate > 0) schedule_.emplace(start_, 1, options_.rate);
    if (asks && !schedule_) {
      for (Peer& peer : peers_) ask(peer, clock_.monotonic());
    }
    for (Nanos now = start_; now < end_ || (asks && waiting_ > 0); now = clock_.monotonic()) {
      if (now > end_ + kPatience) die("answers are missing");
      side_.turn(now, [&](Happened what, typename Side::Stream& stream) { take(what, stream); });
      if (schedule_) offer(now);
      if (!asks && now < end_) {
        for (Peer& peer : peers_) push(peer);
      }
      side_.finish(now);
    }
    report();
  }

 private:
  struct Peer {
    typename Side::Stream* stream = nullptr;
    std::deque<Nanos> asked;  // when each was due
    size_t received = 0;      // of the answer to the first
    size_t unsent = 0;        // bytes of requests
    bool blocked = false;
  };

  void take(Happened what, typename Side::Stream& stream) {
    if (what == Happened::kEnded || what == Happened::kBroken) die("the other side is gone");
    Peer& peer = *by_slot_[stream.slot()];
    if (what == Happened::kWritable) {
      peer.blocked = false;
      send(peer);
    }
    const size_t n = stream.received().size();
    if (n == 0) return;
    stream.consume(n);
    peer.received += n;
    const Nanos now = clock_.monotonic();
    for (; peer.received >= options_.message && !peer.asked.empty(); peer.received -= options_.message) {
      latency_.record(static_cast<uint64_t>(std::max<Nanos>(now - peer.asked.front(), 0)));
      peer.asked.pop_front();
      --waiting_;
      if (!schedule_ && now < end_) ask(peer, now);
    }
  }

  void offer(Nanos now) {
    for (const uint64_t due = schedule_->due_by(std::min(now, end_ - 1)); asked_ < due; ++asked_) {
      if (waiting_ >= kOwedMax) die("the transport is behind by a million requests");
      ask(peers_[asked_ % peers_.size()], schedule_->due(asked_));
    }
  }

  void ask(Peer& peer, Nanos due) {
    peer.asked.push_back(due);
    ++waiting_;
    peer.unsent += options_.message;
    if (!peer.blocked) send(peer);
  }

  void send(Peer& peer) {
    while (peer.unsent > 0) {
      const size_t part = (peer.unsent - 1) % options_.message + 1;
      const auto piece = std::span<const std::byte>(message_).last(part);
      const size_t taken = peer.stream->send(std::span(&piece, 1));
      sent_ += taken;
      peer.unsent -= taken;
      peer.blocked = taken < part;
      if (peer.blocked) return;
    }
  }

  void push(Peer& peer) {
    if (peer.blocked) return;
    const std::span<const std::byte> piece = chunk_;
    const size_t taken = peer.stream->send(std::span(&piece, 1));
    sent_ += taken;
    peer.blocked = taken < piece.size();
  }

  void report() {
    const double seconds = static_cast<double>(clock_.monotonic() - start_) / kSecond;
    const auto us = [&](double percent) { return static_cast<double>(latency_.percentile(percent)) / 1e3; };
    fmt::print(
        "{{\"requests\": {}, \"bytes\": {}, \"seconds\": {:.6f}, \"cpu_seconds\": {:.6f}, \"p50_us\": {:.1f}, "
        "\"p99_us\": {:.1f}, \"p999_us\": {:.1f}}}\n",
        latency_.count(), sent_, seconds, cpu_seconds() - cpu_before_, us(50), us(99), us(99.9));
    for (Peer& peer : peers_) peer.stream->close();
    for (const Nanos end = clock_.monotonic() + kPatience; !side_.drained() && clock_.monotonic() < end;) {
      const Nanos now = clock_.monotonic();
      side_.turn(now, [](Happened, typename Side::Stream&) {});
      side_.finish(now);
    }
    // Who polls net_memif while the other side goes may fault (docs/adr/0012-dpdk.md).
    // So the server is gone before this side closes, and this one does not poll meanwhile.
    const timespec stillness{0, kStillness};
    nanosleep(&stillness, nullptr);
  }

  SystemClock clock_;
  Side side_;
  const Options options_;
  const std::vector<std::byte> message_;
  const std::vector<std::byte> chunk_ = std::vector<std::byte>(kChunk);
  std::deque<Peer> peers_;
  std::vector<Peer*> by_slot_;
  std::optional<cli::Schedule> schedule_;
  Nanos start_ = 0;
  Nanos end_ = 0;
  double cpu_before_ = 0;
  uint64_t asked_ = 0;
  uint64_t waiting_ = 0;
  uint64_t sent_ = 0;
  Histogram latency_;
};

// Each moment of the schedule counts when it is seen.
void idle(const Options& options) {
  SystemClock clock;
  Histogram late;
  const Nanos start = clock.monotonic();
  const cli::Schedule schedule(start, 1, options.rate);
  const uint64_t total = schedule.due_by(start + options.duration - 1);
  for (uint64_t seen = 0; seen < total;) {
    const Nanos now = clock.monotonic();
    for (const uint64_t due = std::min(total, schedule.due_by(now)); seen < due; ++seen) {
      late.record(static_cast<uint64_t>(now - schedule.due(seen)));
    }
  }
  const auto us = [&](double percent) { return static_cast<double>(late.percentile(percent)) / 1e3; };
  fmt::print("{{\"requests\": {}, \"p50_us\": {:.1f}, \"p99_us\": {:.1f}, \"p999_us\": {:.1f}}}\n", late.count(),
             us(50), us(99), us(99.9));
}

uint64_t number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) die("'" + std::string(text) + "' is no number");
  return value;
}

Place parse_place(std::string_view text) {
  Place place;
  if (text == "nothing:") return place;
  if (text.starts_with("kernel:")) {
    place.kernel = true;
    place.port = static_cast<uint16_t>(number(text.substr(7)));
    return place;
  }
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(','));
    text.remove_prefix(std::min(part.size() + 1, text.size()));
    const auto value = part.substr(std::min(part.find('=') + 1, part.size()));
    if (part.starts_with("address=")) {
      place.device.addresses.emplace_back(value);
    } else if (part.starts_with("connect=")) {
      place.connect = value;
    } else if (part.starts_with("port=")) {
      place.port = static_cast<uint16_t>(number(value));
    } else if (part.starts_with("mtu=")) {
      place.device.mtu = static_cast<uint16_t>(number(value));
    } else {
      place.device.device += (place.device.device.empty() ? "" : ",") + std::string(part);
    }
  }
  return place;
}

Options parse(std::span<char*> words) {
  if (words.size() < 3) die("echo_load echo|sink|ask|stream AT ...: its source says more");
  Options options{.role = words[1], .place = parse_place(words[2])};
  for (size_t i = 3; i + 1 < words.size(); i += 2) {
    const std::string_view name = words[i];
    const uint64_t value = number(words[i + 1]);
    if (name == "--connections") {
      options.connections = value;
    } else if (name == "--message") {
      options.message = value;
    } else if (name == "--rate") {
      options.rate = value;
    } else if (name == "--seconds") {
      options.duration = static_cast<Nanos>(value) * kSecond;
    } else {
      die("there is no " + std::string(name));
    }
  }
  if (options.message == 0 || options.connections == 0) die("0 is too few");
  if (options.role == "idle" && options.rate == 0) die("idle needs a --rate");
  return options;
}

template <class Side>
void run(const Options& options) {
  if (options.is_client()) {
    Client<Side>(options).run();
  } else {
    Server<Side>(options).run();
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // vhost-user's other side may end first
  const Options options = parse({argv, static_cast<size_t>(argc)});
  if (options.role == "idle") {
    idle(options);
  } else if (options.place.kernel) {
    run<KernelSide>(options);
  } else {
    run<DeviceSide>(options);
  }
}
