// A stack and a hostile peer: an input is a list of steps: segments with any flags and options, near or far from what
// the stack expects; time; sends, reads and closes of the owner; ICMP errors; a network that refuses. The invariants
// are checked after each, and when the stack is gone every buffer must be home.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "dataplane/tcp/core.h"
#include "dataplane/tcp/stack.h"

namespace penstock {
namespace {

using namespace dataplane::tcp;
namespace net = dataplane::net;

constexpr auto kLocal = net::IpAddress::v4(0x0a000001);
constexpr auto kPeer = net::IpAddress::v4(0x0a000002);
constexpr size_t kStepsMax = 400;

// Buffers of exactly the size of what is in them.
class Exact final : public BufferPool {
 public:
  Buffer make(std::span<const std::byte> bytes) {
    ++out_;
    auto* memory = new std::byte[bytes.size()];
    std::memcpy(memory, bytes.data(), bytes.size());
    return Buffer(*this, {memory, bytes.size()}, bytes.size());
  }
  void release(std::span<std::byte> memory) override {
    --out_;
    delete[] memory.data();
  }
  size_t out() const { return out_; }

 private:
  size_t out_ = 0;
};

class Nowhere final : public net::IpOutput {
 public:
  bool send(const net::IpAddress&, const net::IpAddress&, std::span<const std::byte> header,
            std::span<const net::TxPiece> pieces, net::TxOwner* owner, uint64_t token,
            uint32_t segment_bytes) override {
    size_t bytes = header.size();
    for (const auto& piece : pieces) {
      bytes += piece.bytes.size();
      sum += std::to_integer<unsigned>(piece.bytes.front()) + std::to_integer<unsigned>(piece.bytes.back());
    }
    CHECK(bytes - header.size() <= tso_bytes() || segment_bytes == 0);
    CHECK((segment_bytes > 0 ? header.size() + segment_bytes : bytes) + 20 <= mtu(kPeer));
    if (owner != nullptr) owner->release(token);
    return !refuses;
  }
  size_t mtu(const net::IpAddress&) const override { return 1500; }
  size_t tso_bytes() const override { return 6000; }
  bool takes_references() const override { return true; }
  bool refers_to(std::span<const std::byte>) const override { return takes_references(); }
  void confirm(const net::IpAddress&) override {}
  bool refuses = false;
  unsigned sum = 0;
};

// The input, byte by byte; zeros behind its end.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  bool empty() const { return size_ == 0; }
  uint8_t byte() {
    if (size_ == 0) return 0;
    --size_;
    return *data_++;
  }
  uint32_t number() {
    const uint32_t high = byte();
    return high << 8 | byte();
  }
  // Mostly small, sometimes anything.
  uint32_t distance() {
    const uint8_t kind = byte();
    if (kind < 128) return kind % 4;
    if (kind < 250) return number() - 32768;
    return number() << 16 | number();
  }

 private:
  const uint8_t* data_;
  size_t size_;
};

class Fuzz {
 public:
  Fuzz(const uint8_t* data, size_t size)
      : in_(data, size), stack_(std::make_unique<Stack>(options(), network_, counters_)) {}

  void run() {
    stack_->poll(now_);
    stack_->listen({}, 9092);
    if (in_.byte() % 2 == 0) {
      stream_ = stack_->connect({.local = kLocal, .remote = kPeer, .remote_port = 5000, .local_port = 9092});
    }
    for (size_t steps = 0; !in_.empty() && steps < kStepsMax; ++steps) {
      step();
      while (const auto event = stack_->next()) take(*event);
    }
    if (stream_ != nullptr) stream_->close();
  }

  ~Fuzz() {
    stack_.reset();
    CHECK(memory_.out() == 0);
  }

 private:
  StackOptions options() {
    StackOptions options;
    const uint8_t bits = in_.byte();
    options.window_scaling = bits & 1;
    options.sack = bits & 2;
    options.timestamps = bits & 4;
    options.nagle = bits & 8;
    options.receive_buffer_bytes = bits & 16 ? 2000 : 65536;
    options.half_open_max = bits & 32 ? 0 : 8;
    options.keepalive_idle = bits & 64 ? kSecond : 0;
    options.connections_max = 8;
    options.time_wait_max = 2;
    options.send_memory_bytes = 64 * kKiB;
    options.shared_regions_max = options.frames_flying_max = 16;
    options.send_buffer_bytes = 32 * kKiB;
    options.secret = {7, 8};
    return options;
  }

  // The owner's connection, or one that opens: a peer may send SYNs for ports whose last connection is not taken home.
  const Tcb* tcb() const {
    const Tcb* found = nullptr;
    for (const auto& t : stack_->core().tcbs) {
      if (!t->in_use || t->flow.remote_port != 5000) continue;
      if (&t->stream == stream_) return t.get();
      if (found == nullptr) found = t.get();
    }
    return found;
  }

  void take(const TcpEvent& event) {
    if (event.kind == EventKind::kAccepted && stream_ == nullptr) stream_ = event.stream;
    if (event.kind == EventKind::kAccepted && stream_ != event.stream) event.stream->abort();
    if (event.kind == EventKind::kBroken && stream_ == event.stream) {
      stream_->close();
      stream_ = nullptr;
    }
  }

  void step() {
    switch (in_.byte() % 12) {
      case 0: advance(in_.number() * 100 * kMicrosecond); break;
      case 1: advance(in_.number() * kMillisecond * 10); break;
      case 2: send(in_.number() % 5000, false); break;
      case 3: send(in_.number() % 5000, true); break;
      case 4:
        if (stream_ != nullptr) stream_->consume(std::min<size_t>(stream_->received().size(), in_.number()));
        break;
      case 5: own_end(in_.byte()); break;
      case 6: network_.refuses = in_.byte() % 2; break;
      case 7: icmp(); break;
      default: segment(); break;
    }
    stack_->poll(now_);
  }

  void advance(Nanos by) {
    const Nanos until = now_ + by;
    for (int i = 0; i < 64 && stack_->next_deadline() < until; ++i) {
      now_ = std::max(now_ + 1, stack_->next_deadline());
      stack_->poll(now_);
    }
    now_ = std::max(now_, until);
  }

  void send(size_t n, bool more) {
    if (stream_ == nullptr) return;
    const std::vector<std::byte> bytes(n, std::byte{1});
    const std::span<const std::byte> whole = bytes;
    stream_->send(std::span(&whole, 1), more);
  }

  void own_end(uint8_t how) {
    if (stream_ == nullptr) return;
    switch (how % 8) {
      case 0: stream_->close(); break;
      case 1: stream_->abort(); break;
      case 2: return stream_->shutdown_send();
      case 3: return stream_->pause(true);
      case 4: return stream_->pause(false);
      case 5:
        if (tcb()->want == 0) stream_->want(in_.number() * 16);
        return;
      case 6: return stack_->receive_pressure(true);
      default: return stack_->receive_pressure(false);
    }
    stream_ = nullptr;
  }

  void icmp() {
    const Tcb* t = tcb();
    stack_->on_icmp({.kind = static_cast<net::IcmpError::Kind>(in_.byte() % 4),
                     .source = kLocal,
                     .destination = kPeer,
                     .source_port = 9092,
                     .destination_port = 5000,
                     .sequence = (t != nullptr ? t->snd_una.value() : 0) + in_.distance(),
                     .mtu = in_.number()});
  }

  void segment() {
    const Tcb* t = tcb();
    TcpSegment s;
    s.source_port = 5000;
    s.destination_port = 9092;
    s.flags = in_.byte() & 0x3f;
    if (in_.byte() % 2 == 0) s.flags |= kAck;
    s.seq = SeqNumber{(t != nullptr ? t->rcv_nxt.value() : 0) + in_.distance()};
    s.ack = SeqNumber{(t != nullptr ? t->snd_nxt.value() : 0) - in_.distance()};
    s.window = static_cast<uint16_t>(in_.number());
    const uint8_t with = in_.byte();
    if (with & 1) s.mss = static_cast<uint16_t>(in_.number());
    if (with & 2) s.window_scale = in_.byte();
    s.sack_permitted = with & 4;
    if (with & 8) {
      const uint32_t recent = t != nullptr ? t->ts_recent : 0;
      const uint32_t own = static_cast<uint32_t>(now_ / kMillisecond) + (t != nullptr ? t->ts_offset : 0);
      s.timestamps = Timestamps{recent + in_.distance(), own - in_.distance()};
    }
    if ((with & 0x17) == 0x10) {
      s.sack_count = static_cast<uint8_t>(1 + in_.byte() % 3);
      for (size_t i = 0; i < s.sack_count; ++i) {
        const SeqNumber una = t != nullptr ? t->snd_una : SeqNumber{};
        s.sacks[i].begin = una + in_.distance();
        s.sacks[i].end = s.sacks[i].begin + in_.distance();
      }
    }
    std::array<std::byte, kHeaderBytesMax> header;
    const size_t n = write_header(s, header);
    std::vector<std::byte> bytes(header.begin(), header.begin() + static_cast<std::ptrdiff_t>(n));
    bytes.resize(bytes.size() + (with & 32 ? in_.number() % 1461 : with & 64 ? in_.byte() : 0));
    stack_->on_packet(
        {.source = kPeer, .destination = kLocal, .segment = memory_.make(bytes), .at = now_, .checksum_good = true});
  }

  Input in_;
  Exact memory_;
  Nowhere network_;
  TcpCounters counters_;
  std::unique_ptr<Stack> stack_;
  Nanos now_ = 1000 * kSecond;
  TcpStream* stream_ = nullptr;
};

}  // namespace
}  // namespace penstock

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  penstock::Fuzz fuzz(data, size);
  fuzz.run();
  return 0;
}
