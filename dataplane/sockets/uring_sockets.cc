// Listeners, the table of connections, the line for reserved memory, and the dispatch of completions.
#include "dataplane/sockets/uring_sockets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

#include "base/assert.h"
#include "base/log.h"

namespace penstock::dataplane {
namespace {

constexpr Nanos kTick = kSecond;
constexpr Nanos kNever = std::numeric_limits<Nanos>::max();

union SocketAddress {
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;
};

std::optional<socklen_t> parse_address(const std::string& host, uint16_t port, SocketAddress& address) {
  address = {};
  if (inet_pton(AF_INET, host.c_str(), &address.v4.sin_addr) == 1) {
    address.v4.sin_family = AF_INET;
    address.v4.sin_port = htons(port);
    return sizeof address.v4;
  }
  if (inet_pton(AF_INET6, host.c_str(), &address.v6.sin6_addr) == 1) {
    address.v6.sin6_family = AF_INET6;
    address.v6.sin6_port = htons(port);
    return sizeof address.v6;
  }
  return std::nullopt;
}

ListenFailure listen_failure(const std::string& host, uint16_t port, int error) {
  const std::string cannot = "cannot listen on " + host + ":" + std::to_string(port) + ": ";
  switch (error) {
    case EADDRINUSE: return {Errc::kLocked, cannot + "the port is in use; stop the other process or choose another"};
    case EACCES: return {Errc::kNoPermission, cannot + "no permission; choose a port above 1023"};
    case EADDRNOTAVAIL: return {Errc::kInvalid, cannot + "this machine does not have that address"};
    default: return {Errc::kInvalid, cannot + std::strerror(error)};
  }
}

// A socket that is bound and does not listen yet.
std::expected<int, ListenFailure> bound_socket(const std::string& host, uint16_t port) {
  SocketAddress address;
  const auto length = parse_address(host, port, address);
  if (!length) {
    return std::unexpected(
        ListenFailure{Errc::kInvalid, "cannot listen on " + host + ": not a numeric IPv4 or IPv6 address"});
  }
  const int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return std::unexpected(listen_failure(host, port, errno));
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (address.any.sa_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (bind(fd, &address.any, *length) == 0) return fd;
  const int error = errno;
  ::close(fd);
  return std::unexpected(listen_failure(host, port, error));
}

}  // namespace

UringSockets::UringSockets(const SocketOptions& options, DataplaneCounters& counters)
    : options_(options), counters_(counters), pool_(options.receive_pool_bytes, options.request_bytes_max) {}

std::expected<std::unique_ptr<UringSockets>, std::string> UringSockets::make(const SocketOptions& options,
                                                                             DataplaneCounters& counters) {
  std::unique_ptr<UringSockets> sockets(new UringSockets(options, counters));
  if (!sockets->pool_.has_memory()) {
    return std::unexpected("no memory for the " + std::to_string(options.receive_pool_bytes / kMiB) +
                           " MiB of penstock.receive.pool.bytes; free some, or choose a smaller one");
  }
  if (!sockets->pool_.fits()) {
    return std::unexpected(
        "penstock.receive.pool.bytes is too small: it must be a quarter more than"
        " socket.request.max.bytes (" +
        std::to_string(options.request_bytes_max) + ") at least");
  }
  auto uring = Uring::make(sockets->pool_);
  if (!uring) return std::unexpected(uring.error());
  sockets->uring_ = *std::move(uring);
  return sockets;
}

UringSockets::~UringSockets() {
  for (const Listener& listener : listeners_) {
    if (listener.fd >= 0) ::close(listener.fd);
  }
  uring_.reset();  // the kernel forgets what was armed before the memory goes
  for (const auto& stream : slots_) {
    if (stream->fd_ >= 0) ::close(stream->fd_);
    stream->give_back_reservation();
  }
  slots_.clear();
}

std::expected<void, ListenFailure> UringSockets::try_listen(const std::string& host, uint16_t port) {
  const auto fd = bound_socket(host, port);
  if (!fd) return std::unexpected(fd.error());
  ::close(*fd);
  return {};
}

std::expected<uint16_t, std::string> UringSockets::listen(const std::string& host, uint16_t port) {
  const auto fd = bound_socket(host, port);
  if (!fd) return std::unexpected(fd.error().what);
  SocketAddress address;
  socklen_t length = sizeof address;
  if (::listen(*fd, options_.backlog) < 0 || getsockname(*fd, &address.any, &length) < 0) {
    const int error = errno;
    ::close(*fd);
    return std::unexpected(listen_failure(host, port, error).what);
  }
  listeners_.push_back({.fd = *fd});
  return ntohs(address.any.sa_family == AF_INET ? address.v4.sin_port : address.v6.sin6_port);
}

void UringSockets::start(const Doorbell& doorbell) {
  owner_.check();
  uring_->start();
  doorbell_ = &doorbell;
  uring_->poll(doorbell.fd(), POLLIN, true, {SocketOp::kDoorbell, 0, 0});
  arm_listeners();
}

void UringSockets::stop_listening() {
  owner_.check();
  stopped_ = true;
  for (uint32_t i = 0; i < listeners_.size(); ++i) {
    if (listeners_[i].accepting) uring_->cancel({SocketOp::kAccept, i, 0}, {SocketOp::kCancel, kNoSlot, 0});
    ::close(std::exchange(listeners_[i].fd, -1));
  }
}

void UringSockets::arm_listeners() {
  for (uint32_t i = 0; i < listeners_.size(); ++i) {
    if (listeners_[i].fd < 0 || listeners_[i].accepting) continue;
    listeners_[i].accepting = true;
    uring_->accept(listeners_[i].fd, {SocketOp::kAccept, i, 0});
  }
}

// ---- the turn

void UringSockets::settle() {
  uring_->post_buffers();
  serve_line();
  // By index: what settles may touch others.
  for (size_t i = 0; i < touched_.size(); ++i) touched_[i]->settle();
  touched_.clear();
}

void UringSockets::enter() {
  owner_.check();
  look_at_quiet();
  settle();
  uring_->enter();
}

void UringSockets::wait(Nanos timeout) {
  owner_.check();
  settle();
  uring_->wait(std::clamp<Nanos>(timeout, 0, 3600 * kSecond));
}

std::optional<SocketEvent> UringSockets::next() {
  owner_.check();
  while (!news_.empty()) {
    const News news = news_.back();
    news_.pop_back();
    UringStream* stream = news.of.stream;
    if (is_there(news.of)) return SocketEvent{news.kind, stream, stream->listener_};
  }
  while (const auto completion = uring_->next()) {
    if (auto event = on_completion(*completion)) return event;
  }
  return std::nullopt;
}

std::optional<SocketEvent> UringSockets::on_completion(const SocketCompletion& completion) {
  const SocketTag tag = completion.tag;
  if (tag.op == SocketOp::kDoorbell) {
    doorbell_->clear();
    if (completion.last) uring_->poll(doorbell_->fd(), POLLIN, true, tag);
    return std::nullopt;
  }
  if (tag.op == SocketOp::kAccept) return on_accept(completion);
  if (tag.slot == kNoSlot) return std::nullopt;
  CHECK(tag.slot < slots_.size());
  UringStream& stream = *slots_[tag.slot];
  CHECK(stream.generation_ == tag.generation);  // a slot waits for its last completion
  std::optional<SocketEvent> event;
  switch (tag.op) {
    case SocketOp::kReceive: event = on_receive(stream, completion); break;
    case SocketOp::kReadable: event = on_readable(stream); break;
    case SocketOp::kWritable:
      stream.watches_ = false;
      if (stream.open()) event = SocketEvent{SocketEvent::Kind::kWritable, &stream, stream.listener_};
      break;
    case SocketOp::kCancel: stream.on_cancelled(completion.result); break;
    case SocketOp::kAccept:
    case SocketOp::kDoorbell: break;
  }
  if (completion.last) operation_ended(stream);
  return event;
}

std::optional<SocketEvent> UringSockets::on_accept(const SocketCompletion& completion) {
  Listener& listener = listeners_[completion.tag.slot];
  if (completion.last) {
    listener.accepting = false;
    // Out of descriptors, it begins again with the next tick, when others may have closed.
    if (completion.result >= 0) {
      arm_listeners();
    } else if (listener.fd >= 0) {
      LOG_WARN("accept: %s; clients wait", std::strerror(-completion.result));
    }
  }
  if (completion.result < 0) return std::nullopt;
  return SocketEvent{.kind = SocketEvent::Kind::kArrived,
                     .stream = nullptr,
                     .listener = static_cast<uint16_t>(completion.tag.slot),
                     .fd = completion.result};
}

void UringSockets::refuse(int fd, Metric why) {
  counters_.add(why);  // before the peer can tell
  ::close(fd);
}

UringStream* UringSockets::adopt(int fd, uint16_t listener) {
  owner_.check();
  if (open_ >= options_.connections_max || stopped_) {
    refuse(fd);
    return nullptr;
  }
  UringStream& stream = take_slot();
  stream.start(fd, listener);
  counters_.add(Metric::connections_accepted);
  counters_.add(Metric::connections_open);
  ++open_;
  return &stream;
}

// life: 1
std::optional<SocketEvent> UringSockets::on_receive(UringStream& stream, const SocketCompletion& completion) {
  const int result = completion.result;
  std::optional<Buffer> buffer;
  if (completion.buffer_id) {
    buffer = uring_->take_buffer(*completion.buffer_id, static_cast<size_t>(std::max(result, 0)));
  }
  if (completion.last) stream.receive_ = UringStream::Receive::kOff;
  if (!stream.open()) return std::nullopt;
  stream.touch();
  if (result > 0) {
    CHECK(buffer.has_value());
    using Heard = UringStream::Heard;
    if (std::exchange(stream.heard_, Heard::kThisTick) == Heard::kNothing) heard_.push_back(ref_of(stream));
    stream.land(*std::move(buffer));
    return SocketEvent{SocketEvent::Kind::kReceived, &stream, stream.listener_};
  }
  if (result == -ENOBUFS) {
    stream.starved_ = true;
    counters_.add(Metric::receive_buffers_empty);
    return std::nullopt;
  }
  if (result == -ECANCELED || result == -EINTR || result == -EAGAIN) return std::nullopt;
  stream.ended_ = true;
  const auto kind = result == 0 ? SocketEvent::Kind::kEnded : SocketEvent::Kind::kBroken;
  return SocketEvent{kind, &stream, stream.listener_};
}

std::optional<SocketEvent> UringSockets::on_readable(UringStream& stream) {
  stream.receive_ = UringStream::Receive::kOff;
  if (!stream.open()) return std::nullopt;
  stream.touch();
  if (stream.wanted_receive() != UringStream::Receive::kPolling) return std::nullopt;
  auto kind = SocketEvent::Kind::kReceived;
  switch (stream.read_directly()) {
    case UringStream::Read::kNothing: return std::nullopt;
    case UringStream::Read::kBytes: break;
    case UringStream::Read::kEnd:
      stream.ended_ = true;
      kind = SocketEvent::Kind::kEnded;
      break;
    case UringStream::Read::kBroken:
      stream.ended_ = true;
      kind = SocketEvent::Kind::kBroken;
      break;
  }
  return SocketEvent{kind, &stream, stream.listener_};
}

// ---- slots

UringStream& UringSockets::take_slot() {
  if (!free_slots_.empty()) {
    UringStream& stream = *slots_[free_slots_.back()];
    free_slots_.pop_back();
    return stream;
  }
  slots_.push_back(std::make_unique<UringStream>(*this, static_cast<uint32_t>(slots_.size())));
  return *slots_.back();
}

void UringSockets::operation_ended(UringStream& stream) {
  CHECK(stream.operations_ > 0);
  --stream.operations_;
  if (stream.closing_ && stream.operations_ == 0) free_slot(stream);
}

void UringSockets::free_slot(UringStream& stream) {
  ::close(std::exchange(stream.fd_, -1));
  ++stream.generation_;
  free_slots_.push_back(stream.slot_);
  counters_.add(Metric::connections_closed);
  counters_.add(Metric::connections_open, uint64_t{0} - 1);  // a gauge: other transports count theirs into it
  --open_;
}

// ---- memory for requests, first come first served

bool UringSockets::short_of_buffers() const {
  const size_t limit = pool_.post_limit();
  const size_t available = uring_->posted() + limit - std::min(limit, pool_.landing_used());
  return available < std::min<size_t>(8, pool_.landing_limit() / 8);
}

// A request that stood in line before, and went on with landing memory meanwhile, gets its old place.
void UringSockets::reserve(UringStream& stream, size_t buffers) {
  CHECK(buffers > 0 && buffers <= pool_.reserve_limit());
  stream.asked_ = buffers;
  stream.waits_in_line_ = true;
  if (stream.ticket_ == 0) stream.ticket_ = ++last_ticket_;
  if (buffers == 1) ++short_in_line_;
  line_.emplace(stream.ticket_, &stream);
  serve_line();
}

void UringSockets::serve_line() {
  while (!line_.empty()) {
    UringStream& stream = *line_.begin()->second;
    const size_t asked = stream.asked_;
    if (!pool_.try_reserve(asked)) break;
    leave_line(stream);
    stream.promised_ = asked;
    stream.progress_.begin_anew();
    stream.touch();
  }
  let_land();
}

// Whoever waits in line has bytes to read, so landing memory that is free again is for them: in their order, as many as
// there are buffers, each on its own feet from there on. The line is not held up by its front, and those who only began
// a request and are silent since are found to be so together, not one after the other.
void UringSockets::let_land() {
  size_t used = pool_.landing_used();
  for (auto at = line_.begin(); at != line_.end();) {
    if (used >= (short_in_line_ > 0 ? pool_.landing_limit() : pool_.read_limit())) return;
    UringStream& stream = *(at++)->second;
    if (stream.asked_ > 1 && used >= pool_.read_limit()) continue;
    ++used;
    leave_line(stream);
    stream.touch();
  }
}

void UringSockets::leave_line(UringStream& stream) {
  line_.erase(stream.ticket_);
  if (stream.asked_ == 1) --short_in_line_;
  stream.waits_in_line_ = false;
  stream.asked_ = 0;
}

void UringSockets::tick(Nanos now) {
  owner_.check();
  // Less if it comes late, or after a sleep through which nobody waited.
  const Nanos since_last = std::min(now - std::exchange(ticked_at_, now), kTick);
  arm_listeners();
  watch_stalled(now, since_last);
  note_quiet();
  look_at_quiet();
}

Nanos UringSockets::next_deadline() const {
  if (!news_.empty() || !quiet_.empty()) return ticked_at_;  // there is work: no sleep
  const bool accepting = std::ranges::all_of(listeners_, [](const Listener& l) { return l.accepting || l.fd < 0; });
  const bool content = accepting && line_.empty() && heard_.empty() && !short_of_buffers();
  return content ? kNever : ticked_at_ + kTick;
}

void UringSockets::watch_stalled(Nanos now, Nanos since_last) {
  for (const auto& [ticket, stream] : line_) {
    stream->waited_ += since_last;
    stream->progress_.put_off(since_last);
  }
  if (line_.empty() && !short_of_buffers()) {
    short_since_ = 0;
    return;
  }
  if (short_since_ == 0) short_since_ = now;
  for (const auto& slot : slots_) {
    UringStream& stream = *slot;
    const bool holds = stream.promised_ > 0 || stream.holds_large_buffer_;
    // Its request is not all there, or cannot begin: the answers before it are not read.
    const bool stands = stream.want_ > 0 && (stream.lacks() > 0 || stream.watches_);
    if (!stream.open() || !stands || !holds || stream.waits_in_line_ || !stalls(stream, now)) continue;
    counters_.add(Metric::connections_closed_stalled);
    tell(stream, SocketEvent::Kind::kBroken);
  }
}

// It had all the time of its wait to go on as soon as it may: Progress::kTurn.
bool UringSockets::stalls(UringStream& stream, Nanos now) const {
  if (stream.progress_.moved_since_look()) stream.waited_ = 0;
  const bool has_its_turn = stream.promised_ > 0 && stream.waited_ >= Progress::kTime && !line_.empty();
  if (has_its_turn && stream.progress_.silent(now)) return true;
  return stream.progress_.too_slow(now, short_since_, stream.want_);
}

// ---- who is told what

UringSockets::StreamRef UringSockets::ref_of(UringStream& stream) { return {&stream, stream.generation_}; }

bool UringSockets::is_there(const StreamRef& ref) {
  return ref.stream->generation_ == ref.generation && ref.stream->open();
}

void UringSockets::tell(UringStream& stream, SocketEvent::Kind kind) { news_.push_back({ref_of(stream), kind}); }

}  // namespace penstock::dataplane
