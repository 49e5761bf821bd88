// Requests by want(), from a peer that sends as Linux does, but never probes: whatever the share, the segments, the
// window scale and the requests' lengths are, all of them come to their end.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <deque>
#include <string>
#include <vector>

#include "base/prng.h"
#include "dataplane/tcp/core.h"
#include "dataplane/tcp/stack.h"

namespace penstock::dataplane::tcp {
namespace {

constexpr auto kServer = net::IpAddress::v4(0x0a000001);
constexpr auto kClient = net::IpAddress::v4(0x0a000002);

class Wire final : public net::IpOutput {
 public:
  explicit Wire(size_t mtu_bytes) : mtu_(mtu_bytes) {}
  bool send(const net::IpAddress&, const net::IpAddress&, std::span<const std::byte> header,
            std::span<const net::TxPiece>, net::TxOwner* owner, uint64_t token, uint32_t) override {
    if (owner != nullptr) owner->release(token);
    sent.push_back(*parse(header));
    return true;
  }
  size_t mtu(const net::IpAddress&) const override { return mtu_; }
  bool takes_references() const override { return false; }
  bool refers_to(std::span<const std::byte>) const override { return takes_references(); }
  void confirm(const net::IpAddress&) override {}
  std::deque<TcpSegment> sent;

 private:
  const size_t mtu_;
};

struct Case {
  uint32_t segment;  // of the peer
  bool scaling;
  StackOptions options;
  std::vector<size_t> requests;
  bool pipelined;  // all of them are there to be sent from the beginning
};

Case draw(Prng& prng) {
  static constexpr std::array<uint32_t, 5> kSegments = {536, 1448, 1460, 8948, 65483};
  static constexpr std::array<size_t, 5> kShares = {4096, 16 * kKiB, 65535, 64 * kKiB, 256 * kKiB};
  Case c;
  c.segment = prng.one_in(3) ? static_cast<uint32_t>(prng.between(100, 65483)) : kSegments[prng.below(5)];
  c.scaling = prng.one_in(2);
  const size_t share = prng.one_in(3) ? prng.between(4096, 256 * kKiB) : kShares[prng.below(5)];
  c.options.receive_buffer_bytes = share;
  c.options.request_bytes_max = size_t{1} << prng.between(20, 27);
  c.options.receive_pool_bytes = c.options.request_bytes_max + kPromiseBeyondMax;
  c.options.send_memory_bytes = 4096;
  c.options.window_scaling = c.scaling;
  c.pipelined = prng.one_in(2);
  for (uint64_t i = prng.between(2, 8); i > 0; --i) {
    // Near the share, near where it ends to be enough, small, or large.
    const size_t less = std::array<size_t, 4>{0, c.segment, 2 * c.segment, share / 8}[prng.below(4)];
    const size_t near = share - std::min(less, share - 8) + prng.below(64);
    const size_t other = size_t{4} + prng.below(size_t{1} << prng.between(3, 19));
    c.requests.push_back(prng.one_in(2) ? std::max<size_t>(near - std::min<size_t>(near, 32), 4) : other);
  }
  return c;
}

class Requests {
 public:
  Requests(const Case& wanted, Prng& prng)
      : case_(wanted), prng_(prng), wire_(wanted.segment + 40), stack_(wanted.options, wire_, counters_) {}
  // What is wrong, or nothing.
  std::string run();

 private:
  void open();
  void deliver(TcpSegment s, size_t payload);
  void hear();
  size_t sendable() const;
  bool send_one();
  bool own_turn();

  const Case& case_;
  Prng& prng_;
  TcpCounters counters_;
  HeapBuffers heap_;
  Wire wire_;
  Stack stack_;
  TcpStream* stream_ = nullptr;
  Nanos now_ = kSecond;
  // The peer; places count from its first byte.
  SeqNumber server_next_;
  size_t sent_ = 0;
  size_t edge_ = 0;
  size_t window_max_ = 0;
  uint8_t scale_ = 0;
  // The owner.
  size_t done_ = 0;      // requests
  size_t consumed_ = 0;  // bytes
};

void Requests::deliver(TcpSegment s, size_t payload) {
  s.source_port = 40000;
  s.destination_port = 9092;
  s.window = 65535;
  std::array<std::byte, kHeaderBytesMax> header;
  const size_t n = write_header(s, header);
  std::vector<std::byte> bytes(n + payload);
  std::copy_n(header.begin(), n, bytes.begin());
  stack_.on_packet(
      {.source = kClient, .destination = kServer, .segment = heap_.copy_of(bytes), .at = now_, .checksum_good = true});
}

void Requests::hear() {
  for (; !wire_.sent.empty(); wire_.sent.pop_front()) {
    const TcpSegment& s = wire_.sent.front();
    const size_t window = static_cast<size_t>(s.window) << (s.has(kSyn) ? 0 : scale_);
    window_max_ = std::max(window_max_, window);
    edge_ = std::max(edge_, s.ack.value() - 1 + window);
    server_next_ = s.end();
    if (s.has(kSyn)) scale_ = s.window_scale.value_or(0);
  }
}

void Requests::open() {
  stack_.poll(now_);
  CHECK(stack_.listen({}, 9092));
  TcpSegment syn{.seq = SeqNumber{0}, .flags = kSyn, .mss = static_cast<uint16_t>(case_.segment)};
  if (case_.scaling) syn.window_scale = 7;
  deliver(syn, 0);
  hear();
  deliver({.seq = SeqNumber{1}, .ack = server_next_, .flags = kAck}, 0);
  stream_ = stack_.next()->stream;
}

// A whole segment, or the last one of what there is; nothing less (tcp_bound_to_half_wnd bounds what a segment is).
size_t Requests::sendable() const {
  size_t written = 0;
  for (size_t i = 0; i < case_.requests.size() && (case_.pipelined || i <= done_); ++i) written += case_.requests[i];
  const size_t half = window_max_ > 536 ? window_max_ / 2 : window_max_;
  const size_t n = std::min(std::min<size_t>(case_.segment, half), written - sent_);
  return sent_ + n <= edge_ ? n : 0;
}

bool Requests::send_one() {
  const size_t n = sendable();
  if (n == 0) return false;
  deliver({.seq = SeqNumber{static_cast<uint32_t>(1 + sent_)}, .ack = server_next_, .flags = kAck}, n);
  sent_ += n;
  return true;
}

bool Requests::own_turn() {
  bool did = false;
  while (done_ < case_.requests.size()) {
    const size_t n = case_.requests[done_];
    const size_t there = stream_->received().size();
    if (there < n) {
      if (there >= 4) stream_->want(n);
      break;
    }
    stream_->consume(n);
    consumed_ += n;
    ++done_;
    did = true;
  }
  return did;
}

std::string Requests::run() {
  open();
  while (done_ < case_.requests.size()) {
    bool did = false;
    for (uint64_t burst = prng_.between(0, 20); burst > 0 && send_one(); --burst) did = true;
    while (stack_.next()) {
    }
    if (prng_.one_in(2)) did |= own_turn();
    stack_.poll(now_);
    hear();
    if (did || sendable() > 0) continue;
    // Nothing happens any more by itself: the owner does what it can, and then time passes.
    did = own_turn();
    stack_.poll(now_);
    hear();
    if (did || sendable() > 0) continue;
    const Nanos next = stack_.next_deadline();
    if (next == kNever) {
      return "stuck: request " + std::to_string(done_) + " of " + std::to_string(case_.requests[done_]) + ", sent " +
             std::to_string(sent_ - consumed_) + " of it, edge " + std::to_string(edge_ - consumed_) + ", segment " +
             std::to_string(case_.segment) + ", scale " + std::to_string(scale_) + ", share " +
             std::to_string(case_.options.receive_buffer_bytes);
    }
    now_ = std::max(now_ + 1, next);
  }
  return "";
}

TEST(Requests, ComeToTheirEndWithoutAProbe) {
  const char* given = std::getenv("PENSTOCK_SEED");
  const uint64_t first = given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
  const uint64_t last = given != nullptr ? first : 400;
  for (uint64_t seed = first; seed <= last; ++seed) {
    Prng prng(seed);
    const Case drawn = draw(prng);
    ASSERT_EQ(Requests(drawn, prng).run(), "") << "replay with PENSTOCK_SEED=" << seed;
  }
}

}  // namespace
}  // namespace penstock::dataplane::tcp
