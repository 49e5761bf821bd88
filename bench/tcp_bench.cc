// What our TCP costs: two stacks joined by a queue of segments, no device, no checksum (a device's work), virtual time.
//
//   bulk          MSS segments one way, acknowledgements back: cycles a data segment, sender and receiver together
//   request       128 bytes there and 128 back on one connection: cycles a request, both sides together
//   input         the receiver's half of bulk alone: on_packet, next, consume, poll
//   handshake     connect, accept, close both ways, TIME-WAIT
//
//   build/release/bench/tcp_bench
#include <benchmark/benchmark.h>
#include <time.h>
#include <x86intrin.h>

#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include "dataplane/tcp/stack.h"

namespace penstock {
namespace {

using namespace dataplane::tcp;
namespace net = dataplane::net;

constexpr auto kClient = net::IpAddress::v4(0x0a000001);
constexpr auto kServer = net::IpAddress::v4(0x0a000002);
constexpr size_t kFrameBytes = 2048;

// Receive buffers of a fixed size from a list, as a device has them.
class Frames final : public BufferPool {
 public:
  std::span<std::byte> take() {
    if (free_.empty()) {
      all_.push_back(std::make_unique<std::byte[]>(kFrameBytes));
      return {all_.back().get(), kFrameBytes};
    }
    const auto memory = free_.back();
    free_.pop_back();
    return memory;
  }
  void release(std::span<std::byte> memory) override { free_.push_back(memory); }

 private:
  std::vector<std::unique_ptr<std::byte[]>> all_;
  std::vector<std::span<std::byte>> free_;
};

// Segments on their way; the copy stands for the device's.
class Wire final : public net::IpOutput {
 public:
  bool send(const net::IpAddress& source, const net::IpAddress& destination, std::span<const std::byte> header,
            std::span<const net::TxPiece> pieces, net::TxOwner* owner, uint64_t token, uint32_t) override {
    const auto memory = frames_.take();
    size_t n = header.size();
    std::memcpy(memory.data(), header.data(), n);
    for (const auto& piece : pieces) {
      std::memcpy(memory.data() + n, piece.bytes.data(), piece.bytes.size());
      n += piece.bytes.size();
    }
    if (owner != nullptr) owner->release(token);
    ++segments_;
    out_.push_back({source, destination, Buffer(frames_, memory, n), 0, true});
    return true;
  }
  size_t mtu(const net::IpAddress&) const override { return 1500; }
  bool takes_references() const override { return true; }
  bool refers_to(std::span<const std::byte>) const override { return takes_references(); }
  void confirm(const net::IpAddress&) override {}

  void deliver(Stack& to, Nanos now) {
    for (net::TcpPacket& packet : out_) {
      packet.at = now;
      to.on_packet(std::move(packet));
    }
    out_.clear();
  }
  size_t waiting() const { return out_.size(); }
  uint64_t segments() const { return segments_; }

 private:
  Frames frames_;
  std::vector<net::TcpPacket> out_;
  uint64_t segments_ = 0;
};

class Pair {
 public:
  Pair() {
    options_.secret = {1, 2};
    options_.receive_buffer_bytes = kMiB;
    options_.msl = kMicrosecond;  // or the ports would run out
    to_server_ = std::make_unique<Wire>();
    to_client_ = std::make_unique<Wire>();
    client_ = std::make_unique<Stack>(options_, *to_server_, client_counters_);
    server_ = std::make_unique<Stack>(options_, *to_client_, server_counters_);
    tick();
    server_->listen({}, 9092);
  }
  void open() {
    here_ = client_->connect({.local = kClient, .remote = kServer, .remote_port = 9092});
    for (int i = 0; i < 4; ++i) turn();
  }
  // One turn of both loops, a microsecond later. The server echoes if it is told to.
  void turn() {
    tick();
    to_server_->deliver(*server_, now_);
    serve();
    server_->poll(now_);
    to_client_->deliver(*client_, now_);
    while (const auto event = client_->next()) {
      if (event->kind == EventKind::kReceived) {
        answered_ += here_->received().size();
        here_->consume(here_->received().size());
      }
    }
    client_->poll(now_);
  }
  void serve() {
    while (const auto event = server_->next()) {
      if (event->kind == EventKind::kAccepted) there_ = event->stream;
      if (event->kind == EventKind::kReceived) {
        const size_t n = event->stream->received().size();
        event->stream->consume(n);
        if (echo_) event->stream->send(std::span(&message_, 1));
      }
      if (event->kind == EventKind::kEnded) event->stream->close();
    }
  }
  void tick() {
    now_ += kMicrosecond;
    client_->poll(now_);
    server_->poll(now_);
  }

  StackOptions options_;
  TcpCounters client_counters_, server_counters_;
  std::unique_ptr<Wire> to_server_, to_client_;
  std::unique_ptr<Stack> client_, server_;
  Nanos now_ = kSecond;
  TcpStream* here_ = nullptr;
  TcpStream* there_ = nullptr;
  bool echo_ = false;
  uint64_t answered_ = 0;
  std::array<std::byte, 128> request_{};
  std::span<const std::byte> message_ = request_;
};

// Cycles of the time stamp counter for each nanosecond.
double cycles_per_ns() {
  static const double ratio = [] {
    timespec begin, now;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    const uint64_t first = __rdtsc();
    int64_t ns = 0;
    while (ns < 20'000'000) {
      clock_gettime(CLOCK_MONOTONIC, &now);
      ns = (now.tv_sec - begin.tv_sec) * 1'000'000'000 + now.tv_nsec - begin.tv_nsec;
    }
    return static_cast<double>(__rdtsc() - first) / static_cast<double>(ns);
  }();
  return ratio;
}

// What this thread has used: a machine that does something else meanwhile does not count.
uint64_t cpu_cycles() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<uint64_t>(static_cast<double>(now.tv_sec * 1'000'000'000 + now.tv_nsec) * cycles_per_ns());
}

void report(benchmark::State& state, uint64_t cycles, uint64_t things, const char* name) {
  state.counters[name] = benchmark::Counter(static_cast<double>(cycles) / static_cast<double>(things));
  state.SetItemsProcessed(static_cast<int64_t>(things));
}

void bulk(benchmark::State& state) {
  Pair pair;
  pair.open();
  std::vector<std::byte> block(64 * kKiB);
  const std::span<const std::byte> piece = block;
  const uint64_t before = pair.to_server_->segments();
  const uint64_t begin = cpu_cycles();
  for (auto _ : state) {
    if (pair.here_->unacknowledged() < kMiB) pair.here_->send(std::span(&piece, 1));
    pair.turn();
  }
  report(state, cpu_cycles() - begin, pair.to_server_->segments() - before, "cycles/segment");
}
BENCHMARK(bulk);

void bulk_shared(benchmark::State& state) {
  class Lender final : public net::TxOwner {
   public:
    void release(uint64_t) override {}
  } lender;
  Pair pair;
  pair.open();
  std::vector<std::byte> block(64 * kKiB);
  const dataplane::SharedPiece piece{block, &lender, 0};
  const uint64_t before = pair.to_server_->segments();
  const uint64_t begin = cpu_cycles();
  for (auto _ : state) {
    if (pair.here_->unacknowledged() < kMiB) pair.here_->send_shared(std::span(&piece, 1));
    pair.turn();
  }
  report(state, cpu_cycles() - begin, pair.to_server_->segments() - before, "cycles/segment");
  pair.here_->abort();
}
BENCHMARK(bulk_shared);

void request(benchmark::State& state) {
  Pair pair;
  pair.open();
  pair.echo_ = true;
  const uint64_t before = pair.answered_;
  const uint64_t begin = cpu_cycles();
  for (auto _ : state) {
    pair.here_->send(std::span(&pair.message_, 1));
    pair.client_->poll(pair.now_);
    pair.turn();
  }
  report(state, cpu_cycles() - begin, (pair.answered_ - before) / pair.message_.size(), "cycles/request");
}
BENCHMARK(request);

void input(benchmark::State& state) {
  Pair pair;
  pair.open();
  std::vector<std::byte> block(64 * kKiB);
  const std::span<const std::byte> piece = block;
  uint64_t cycles = 0;
  uint64_t segments = 0;
  for (auto _ : state) {
    if (pair.here_->unacknowledged() < kMiB) pair.here_->send(std::span(&piece, 1));
    pair.tick();
    segments += pair.to_server_->waiting();
    const uint64_t begin = cpu_cycles();
    pair.to_server_->deliver(*pair.server_, pair.now_);
    pair.serve();
    pair.server_->poll(pair.now_);
    cycles += cpu_cycles() - begin;
    pair.to_client_->deliver(*pair.client_, pair.now_);
    while (pair.client_->next()) {
    }
    pair.client_->poll(pair.now_);
  }
  report(state, cycles, segments, "cycles/segment");
}
BENCHMARK(input);

void handshake(benchmark::State& state) {
  Pair pair;
  const uint64_t begin = cpu_cycles();
  for (auto _ : state) {
    pair.open();
    if (pair.here_ != nullptr) pair.here_->close();
    for (int i = 0; i < 3; ++i) pair.turn();
  }
  report(state, cpu_cycles() - begin, static_cast<uint64_t>(state.iterations()), "cycles/connection");
}
BENCHMARK(handshake);

}  // namespace
}  // namespace penstock
