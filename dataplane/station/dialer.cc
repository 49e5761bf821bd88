// The dialer: one Link without listeners, and what became of each connection.
#include "dataplane/api/dialer.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "dataplane/link/link.h"
#include "dataplane/net/address.h"

namespace penstock::dataplane {
namespace {

constexpr Nanos kHousekeeping = 100 * kMillisecond;

Dialer::State state_of(tcp::Broken why) {
  switch (why) {
    case tcp::Broken::kRefused: return Dialer::State::kRefused;
    case tcp::Broken::kReset: return Dialer::State::kReset;
    case tcp::Broken::kTimedOut: return Dialer::State::kTimedOut;
  }
  std::unreachable();
}

}  // namespace

class Dialer::Impl {
 public:
  Impl(SharedDevice& device, const DataplaneOptions& options, Nanos now) : link_(device, 0, nullptr) {
    link_.start(options, {}, static_cast<uint64_t>(now), now);
  }
  ~Impl() { link_.stop(); }

  std::expected<Line, std::string> dial(const std::string& address, uint16_t port);
  void take(const tcp::TcpEvent& event);
  void keep_house(Nanos now);

  struct One {
    tcp::TcpStream* stream = nullptr;  // null: hung up, or broken
    State state = State::kDialing;
    bool has_room = true;
  };
  One& one(Line line) {
    CHECK(line < lines_.size());
    return lines_[line];
  }

  Link link_;
  std::vector<One> lines_;  // by slot of the stack
  Nanos house_kept_at_ = 0;
};

std::expected<Dialer::Line, std::string> Dialer::Impl::dial(const std::string& address, uint16_t port) {
  const auto remote = net::parse_address(address);
  if (!remote)
    return std::unexpected("'" + address + "' is no numeric IPv4 or IPv6 address, and a device knows no names");
  const net::NetworkConfig& config = link_.device().config();
  const auto& ours = remote->is_v4() ? config.v4 : config.v6;
  if (!ours) return std::unexpected("the device has no address of the family of " + address);
  tcp::TcpStream* stream = link_.stack().connect({.local = ours->address, .remote = *remote, .remote_port = port});
  if (stream == nullptr) return std::unexpected(std::string("the device has no room for one more connection"));
  const Line line = stream->slot();
  if (line >= lines_.size()) lines_.resize(line + 1);
  lines_[line] = {.stream = stream};
  return line;
}

void Dialer::Impl::take(const tcp::TcpEvent& event) {
  One& line = one(event.stream->slot());
  CHECK(line.stream == event.stream);
  switch (event.kind) {
    case tcp::EventKind::kAccepted: std::unreachable();  // nobody listens
    case tcp::EventKind::kConnected: line.state = State::kOpen; break;
    case tcp::EventKind::kReceived: break;
    case tcp::EventKind::kWritable: line.has_room = true; break;
    case tcp::EventKind::kEnded: line.state = State::kEnded; break;
    case tcp::EventKind::kBroken:
      line.state = state_of(event.why);
      std::exchange(line.stream, nullptr)->close();
      break;
  }
}

void Dialer::Impl::keep_house(Nanos now) {
  if (now - house_kept_at_ < kHousekeeping) return;
  house_kept_at_ = now;
  link_.keep_house(now);
}

Dialer::Dialer(SharedDevice& device, const DataplaneOptions& options, Nanos now)
    : impl_(std::make_unique<Impl>(device, options, now)) {}
Dialer::~Dialer() = default;

std::expected<Dialer::Line, std::string> Dialer::dial(const std::string& address, uint16_t port) {
  return impl_->dial(address, port);
}

Dialer::State Dialer::state(Line line) const { return impl_->one(line).state; }

size_t Dialer::send(Line line, std::span<const std::span<const std::byte>> pieces) {
  Impl::One& one = impl_->one(line);
  if (one.stream == nullptr) return 0;
  size_t offered = 0;
  for (const auto& piece : pieces) offered += piece.size();
  const size_t taken = one.stream->send(pieces);
  one.has_room = taken == offered;
  return taken;
}

size_t Dialer::receive(Line line, std::span<std::byte> room) {
  Impl::One& one = impl_->one(line);
  if (one.stream == nullptr) return 0;
  BufferChain& chain = one.stream->received();
  const size_t n = std::min(chain.size(), room.size());
  chain.copy_out(0, room.first(n));
  one.stream->consume(n);
  return n;
}

bool Dialer::has_bytes(Line line) const {
  const Impl::One& one = impl_->one(line);
  return one.stream != nullptr && !one.stream->received().empty();
}

bool Dialer::has_room(Line line) const { return impl_->one(line).has_room; }

void Dialer::hang_up(Line line) {
  Impl::One& one = impl_->one(line);
  if (one.stream != nullptr) std::exchange(one.stream, nullptr)->close();
}

size_t Dialer::receive(Nanos now) { return impl_->link_.receive(now); }

std::optional<Dialer::Line> Dialer::next_news() {
  const auto event = impl_->link_.next();
  if (!event) return std::nullopt;
  const Line line = event->stream->slot();
  impl_->take(*event);
  return line;
}

void Dialer::finish(Nanos now) {
  impl_->link_.finish(now);
  impl_->keep_house(now);
}

bool Dialer::link_up() const { return impl_->link_.up(); }
bool Dialer::drained() const { return impl_->link_.drained(); }

}  // namespace penstock::dataplane
