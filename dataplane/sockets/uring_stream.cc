// One connection's receiving and sending. What is armed is decided in settle(), once a turn, from flags that the turn's
// calls have set: so a request that is consumed and a next one that is begun do not cost a cancel and an arm each.
#include "dataplane/sockets/uring_stream.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/assert.h"
#include "dataplane/sockets/uring_sockets.h"

namespace penstock::dataplane {
namespace {

// A receive of so few bytes is moved behind the bytes before it: a slow sender cannot hold a buffer for each.
constexpr size_t kCoalesceMax = 2 * kKiB;
// So few bytes do not keep a pool's buffer: they move to memory of their own size. Where more will soon be read behind
// them, and memory is not short, moving them costs more than it saves.
constexpr size_t kLeaveBelow = 1 * kKiB;
constexpr size_t kLeaveAheadBelow = 64;
// Who lacks more of a request than this reads for itself from then on, until so many in a row were smaller.
constexpr size_t kAheadFrom = 4 * kKiB;
constexpr uint8_t kSmallInRow = 16;
// Buffers that one connection fills in a row before the others have their turn.
constexpr size_t kReadsInARow = 8;
constexpr size_t kPiecesMax = 256;

}  // namespace

std::string peer_address_of(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
  const void* at = address.ss_family == AF_INET
                       ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in&>(address).sin_addr)
                       : static_cast<const void*>(&reinterpret_cast<const sockaddr_in6&>(address).sin6_addr);
  return inet_ntop(address.ss_family, at, text.data(), text.size()) == nullptr ? std::string() : text.data();
}

void UringStream::start(int fd, uint16_t listener) {
  CHECK(fd_ < 0 && operations_ == 0 && chain_.empty());
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  // A peer that vanished without a word while its request waits (a long Fetch) shows in no other way. When the kernel
  // asks is the machine's setting (net.ipv4.tcp_keepalive_time), as under Kafka.
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  fd_ = fd;
  listener_ = listener;
  receive_ = Receive::kOff;
  heard_ = Heard::kNothing;
  starved_ = directly_ = ahead_ = exact_ = paused_ = waits_in_line_ = watches_ = ended_ = closing_ = false;
  progress_ = {};
  touch();
}

void UringStream::touch() {
  if (touched_) return;
  touched_ = true;
  sockets_.touched_.push_back(this);
}

void UringStream::consume(size_t n) {
  if (n == 0) return;
  chain_.consume(n);
  request_done(n);
}

BufferChain UringStream::take(size_t n) {
  BufferChain front = chain_.take_front(n);
  request_done(n);
  return front;
}

void UringStream::request_done(size_t n) {
  if (chain_.empty()) holds_large_buffer_ = false;
  small_in_row_ = n < kAheadFrom && ahead_ ? small_in_row_ + 1 : 0;
  if (small_in_row_ >= kSmallInRow) ahead_ = false;
  exact_ = false;
  give_back_reservation();
  touch();
}

void UringStream::want(size_t n) {
  if (!open() || want_ == n) return;
  CHECK(want_ == 0 && n <= sockets_.options_.request_bytes_max);
  leave_large_buffer();
  want_ = n;
  progress_.begin_anew();
  touch();
}

void UringStream::give_back_reservation() {
  want_ = 0;
  if (waits_in_line_) sockets_.leave_line(*this);
  ticket_ = 0;
  waited_ = 0;
  sockets_.pool_.unreserve(std::exchange(promised_, 0));
}

void UringStream::pause(bool on) {
  if (paused_ == on) return;
  paused_ = on;
  touch();
}

// life: 13
size_t UringStream::send(std::span<const std::span<const std::byte>> pieces) {
  if (!open() || watches_) return 0;
  std::array<iovec, kPiecesMax> vectors;
  msghdr message{};
  message.msg_iov = vectors.data();
  size_t offered = 0;
  for (const auto& piece : pieces.first(std::min(pieces.size(), kPiecesMax))) {
    vectors[message.msg_iovlen++] = {const_cast<std::byte*>(piece.data()), piece.size()};
    offered += piece.size();
  }
  const ssize_t sent = sendmsg(fd_, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN && errno != EINTR && errno != ENOBUFS) {
    sockets_.tell(*this, SocketEvent::Kind::kBroken);
    return 0;
  }
  const size_t taken = sent < 0 ? 0 : static_cast<size_t>(sent);
  progress_.moved(taken);
  sockets_.counters_.add(Metric::bytes_sent, taken);
  if (taken < offered) {
    watches_ = true;
    ++operations_;
    sockets_.uring_->poll(fd_, POLLOUT, false, tag(SocketOp::kWritable));
  }
  return taken;
}

void UringStream::close() {
  if (!open()) return;
  closing_ = true;
  chain_.clear();
  holds_large_buffer_ = false;
  give_back_reservation();
  // The peer sees the end at once, behind what was sent; the descriptor goes when no operation names it any more.
  shutdown(fd_, SHUT_RDWR);
  if (receive_ != Receive::kOff && receive_ != Receive::kCancelling) cancel_receive();
  if (watches_) cancel(SocketOp::kWritable);
  if (operations_ == 0) sockets_.free_slot(*this);
}

void UringStream::cancel(SocketOp of) {
  ++operations_;
  sockets_.uring_->cancel(tag(of), tag(SocketOp::kCancel));
}

// What a direct read may take: the request at the front, or the few bytes that tell how long it is; and, when memory is
// not short, what follows, as far as a connection may hold that.
size_t UringStream::bytes_to_read() const {
  const size_t known = want_ > 0 ? want_ : sockets_.options_.request_head_bytes;
  const size_t upto = reads_exactly() ? known : std::max(known, ReceivePool::kBufferBytes);
  return upto > chain_.size() ? upto - chain_.size() : 0;
}

UringStream::Receive UringStream::wanted_receive() const {
  if (closing_ || ended_ || paused_ || waits_in_line_) return Receive::kOff;
  if (!directly_) return Receive::kMultishot;
  return bytes_to_read() > 0 ? Receive::kPolling : Receive::kOff;
}

void UringStream::settle() {
  touched_ = false;
  if (!open()) return;
  if (want_ == 0) leave_large_buffer();
  if (starved_ && !sockets_.short_of_buffers()) starved_ = false;
  if (lacks() > kAheadFrom) ahead_ = true;
  // Once begun, a request is read directly to its end: a posted buffer would leave half of one unused, or be copied.
  // What comes behind one that is all there, and whose memory it must not share, lands in a posted buffer.
  const bool lands_behind = exact_ && bytes_to_read() == 0;
  directly_ = starved_ || (ahead_ && !lands_behind) || (directly_ && lacks() > 0);
  const Receive wanted = wanted_receive();
  if (wanted == receive_ || receive_ == Receive::kCancelling) return;
  if (receive_ == Receive::kOff) return arm(wanted);
  cancel_receive();
}

void UringStream::arm(Receive receive) {
  ++operations_;
  receive_ = armed_ = receive;
  if (receive == Receive::kMultishot) {
    sockets_.uring_->receive(fd_, tag(SocketOp::kReceive));
  } else {
    sockets_.uring_->poll(fd_, POLLIN, false, tag(SocketOp::kReadable));
  }
}

void UringStream::cancel_receive() {
  cancel(armed_ == Receive::kMultishot ? SocketOp::kReceive : SocketOp::kReadable);
  receive_ = Receive::kCancelling;
}

// The kernel does not find what runs at that moment, and it may stand armed again behind it. A stream that closes
// settles no more: it cancels again here, or its slot might never be free. Its own completion is to be counted yet.
void UringStream::on_cancelled(int result) {
  if (result >= 0 || receive_ != Receive::kCancelling) return;
  if (closing_) return cancel_receive();
  receive_ = armed_;
  touch();
}

// What the socket would give, without taking it. An error is told once only: who sees it must tell the owner.
UringStream::Read UringStream::look() const {
  if (ended_ || receive_ != Receive::kMultishot) return Read::kNothing;  // arming looks by itself
  std::byte one{};
  const ssize_t got = recv(fd_, &one, 1, MSG_PEEK | MSG_DONTWAIT);
  if (got < 0) return errno == EAGAIN || errno == EINTR ? Read::kNothing : Read::kBroken;
  return got == 0 ? Read::kEnd : Read::kBytes;
}

void UringStream::arm_anew() {
  if (receive_ == Receive::kMultishot) cancel_receive();
}

// life: 2
// A posted buffer has come back filled. The first two of a chain stay as they are; later and small ones fill up the
// memory behind the last byte first, so that what a chain holds is near what it says. But nothing joins a request that
// is all there: its memory may be reserved, and what comes behind it would keep that while it waits.
void UringStream::land(Buffer buffer) {
  progress_.moved(buffer.size());
  sockets_.counters_.add(Metric::bytes_received, buffer.size());
  const bool behind_request = want_ > 0 && chain_.size() == want_;
  const auto room = behind_request ? std::span<std::byte>{} : chain_.tail_room();
  const bool fits = buffer.size() <= room.size() && buffer.size() <= kCoalesceMax;
  if (!room.empty() && (fits || chain_.buffer_count() >= 2)) {
    const size_t n = std::min(room.size(), buffer.size());
    std::copy_n(buffer.bytes().begin(), n, room.begin());
    chain_.filled(n);
    buffer.drop_front(n);
    sockets_.counters_.add(Metric::bytes_coalesced, n);
  }
  if (buffer.size() == 0) return;
  chain_.append(std::move(buffer));
  holds_large_buffer_ = true;
}

UringStream::Read UringStream::read_directly() {
  Read result = Read::kNothing;
  for (size_t i = 0; i < kReadsInARow && bytes_to_read() > 0; ++i) {
    const bool many = may_read_many();
    const Read read = many ? read_many() : read_once();
    if (read == Read::kNothing) break;
    result = read;
    if (read != Read::kBytes || many) break;  // that was all there is, or all that is its turn
  }
  return result;
}

// The rest of a long request, while memory is not short.
bool UringStream::may_read_many() const {
  return want_ > 0 && !reads_exactly() && promised_ == 0 && lacks() > ReceivePool::kBufferBytes;
}

// One system call for as many buffers as one connection may fill in a row. Those that it leaves empty go home.
UringStream::Read UringStream::read_many() {
  std::array<std::optional<Buffer>, kReadsInARow> buffers;
  std::array<iovec, kReadsInARow + 1> vectors;
  msghdr message{};
  message.msg_iov = vectors.data();
  size_t left = bytes_to_read();
  const auto offer = [&](std::span<std::byte> room) {
    const size_t n = std::min(left, room.size());
    vectors[message.msg_iovlen++] = {room.data(), n};
    left -= n;
  };
  const size_t behind = std::min(left, chain_.tail_room().size());
  if (behind > 0) offer(chain_.tail_room());
  for (size_t i = 0; i < buffers.size() && left > 0; ++i) {
    const auto memory = sockets_.pool_.take_landing_for_read();
    if (memory.empty()) break;
    buffers[i].emplace(sockets_.pool_, memory, 0);
    offer(memory);
  }
  if (message.msg_iovlen == 0) return read_once();  // it knows what to do without memory
  const ssize_t got = recvmsg(fd_, &message, MSG_DONTWAIT);
  if (got <= 0) return got == 0 ? Read::kEnd : errno == EAGAIN || errno == EINTR ? Read::kNothing : Read::kBroken;
  size_t rest = static_cast<size_t>(got);
  progress_.moved(rest);
  sockets_.counters_.add(Metric::bytes_received, rest);
  if (behind > 0) chain_.filled(std::min(rest, behind));
  rest -= std::min(rest, behind);
  for (size_t i = 0; rest > 0; ++i) {
    const size_t n = std::min(rest, buffers[i]->room().size());
    buffers[i]->filled(n);
    chain_.append(*std::exchange(buffers[i], std::nullopt));
    holds_large_buffer_ = true;
    rest -= n;
  }
  return Read::kBytes;
}

UringStream::Read UringStream::read_once() {
  if (const auto room = chain_.tail_room(); !room.empty()) {
    const size_t asked = std::min(bytes_to_read(), room.size());
    const ssize_t got = recv(fd_, room.data(), asked, MSG_DONTWAIT);
    if (got <= 0) return got == 0 ? Read::kEnd : errno == EAGAIN || errno == EINTR ? Read::kNothing : Read::kBroken;
    chain_.filled(static_cast<size_t>(got));
    progress_.moved(static_cast<uint64_t>(got));
    sockets_.counters_.add(Metric::bytes_received, static_cast<uint64_t>(got));
    return Read::kBytes;
  }
  if (want_ == 0 && reads_exactly()) return read_into(sockets_.heap_.make(bytes_to_read()), bytes_to_read());
  bool promised = false;
  auto buffer = take_buffer(promised);
  if (!buffer) return Read::kNothing;
  const Read read = read_into(*std::move(buffer), bytes_to_read());
  if (read == Read::kBytes) {
    holds_large_buffer_ = true;
  } else if (promised) {
    // The buffer has gone home unused; nobody was served since, so its place is still there.
    CHECK(sockets_.pool_.try_reserve(1));
    ++promised_;
  }
  return read;
}

// Memory for bytes that are there to be read. Nothing: the pool is short, and the connection now stands in line for all
// that its request lacks; or it lacks nothing, and reads ahead no more.
std::optional<Buffer> UringStream::take_buffer(bool& promised) {
  ReceivePool& pool = sockets_.pool_;
  if (promised_ == 0) {
    const bool completes = lacks() > 0 && lacks() <= ReceivePool::kBufferBytes;
    const auto memory = completes ? pool.take_landing_for_short() : pool.take_landing_for_read();
    if (memory.empty() || pool.landing_used() > pool.read_limit()) exact_ = true;
    if (!memory.empty()) return Buffer(pool, memory, 0);
    if (lacks() > 0) sockets_.reserve(*this, ReceivePool::buffers_for(lacks()));
    if (promised_ == 0) return std::nullopt;
  }
  promised = true;  // perhaps just now: if nothing is read, its place must be taken back
  --promised_;
  return Buffer(pool, pool.take_reserved(), 0);
}

UringStream::Read UringStream::read_into(Buffer buffer, size_t n) {
  const auto room = buffer.room();
  const ssize_t got = recv(fd_, room.data(), std::min(n, room.size()), MSG_DONTWAIT);
  if (got <= 0) return got == 0 ? Read::kEnd : errno == EAGAIN || errno == EINTR ? Read::kNothing : Read::kBroken;
  buffer.filled(static_cast<size_t>(got));
  chain_.append(std::move(buffer));
  progress_.moved(static_cast<uint64_t>(got));
  sockets_.counters_.add(Metric::bytes_received, static_cast<uint64_t>(got));
  return Read::kBytes;
}

// The beginning of a request, or a few pipelined ones behind a parked one, must not hold 64 KiB each.
void UringStream::leave_large_buffer() {
  const size_t below = ahead_ && !sockets_.short_of_buffers() ? kLeaveAheadBelow : kLeaveBelow;
  if (!holds_large_buffer_ || chain_.size() >= below || chain_.empty()) return;
  const size_t n = chain_.size();
  Buffer small = sockets_.heap_.make(n);
  chain_.copy_out(0, small.room());
  small.filled(n);
  chain_.clear();
  chain_.append(std::move(small));
  holds_large_buffer_ = false;
  sockets_.counters_.add(Metric::bytes_coalesced, n);
}

}  // namespace penstock::dataplane
