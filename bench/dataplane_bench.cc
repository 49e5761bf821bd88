// A request through connection, handlers and Store with neither network nor drive: what the lcore's CPU pays for a
// Produce (framing, header check, the one touch, answer) and for a Fetch (plan, lay out, hand over).
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <memory>

#include "base/system_clock.h"
#include "bench/memory_disk.h"
#include "dataplane/kafka/clients.h"
#include "tests/kafka_requests.h"

namespace penstock::bench {
namespace {

using storage::LogId;
using testing::Bytes;

constexpr size_t kRingBytes = 64 * kMiB;
constexpr size_t kRefillBytes = 32 * kMiB;  // the log begins anew before the ring is full

// The peer is memory: frames are received where they lie, answers go nowhere.
class MemoryStream {
 public:
  BufferChain& received() { return chain_; }
  void consume(size_t n) { chain_.consume(n); }
  BufferChain take(size_t n) { return chain_.take_front(n); }
  void want(size_t) {}
  void pause(bool) {}
  size_t send(std::span<const std::span<const std::byte>> pieces) {
    size_t n = 0;
    for (const auto& piece : pieces) n += piece.size();
    sent += n;
    return n;
  }
  void close() { chain_.clear(); }
  void arrive(Bytes& frame) { chain_.append(Buffer(nowhere_, frame, frame.size())); }

  uint64_t sent = 0;

 private:
  class Nowhere final : public BufferPool {
    void release(std::span<std::byte>) override {}
  };
  Nowhere nowhere_;
  BufferChain chain_;
};

struct Freer {
  void operator()(std::byte* memory) const { std::free(memory); }
};

class Lcore {
 public:
  Lcore() : memory_(static_cast<std::byte*>(std::aligned_alloc(4096, kRingBytes))) {
    storage::StoreRequest request{.folder = "memory",
                                  .disk = &disk_,
                                  .clock = &clock_,
                                  .prng = &prng_,
                                  .counters = &storage_counters_,
                                  .live_logs = {},
                                  .next_log_id = LogId{1}};
    request.options.ring_bytes = kRingBytes;
    request.allocate = [this](size_t bytes) { return std::span(memory_.get(), bytes); };
    auto opened = storage::Store::open(std::move(request));
    CHECK(opened.has_value());
    store = std::make_unique<storage::StoreSet>();
    store->add(0, *std::move(opened), {});
    disk_.forget_writes();
    broker = std::make_unique<dataplane::Broker>(dataplane::Broker{
        .store = *store, .options = options_, .counters = counters_, .events = events_, .control_doorbell = nullptr});
    clients = std::make_unique<dataplane::Clients<MemoryStream>>(*broker);
    publish();
    clients->add(0, stream, 0);
  }
  ~Lcore() { clients->close_all(); }

  void publish() {
    auto image = std::make_shared<dataplane::RoutingImage>();
    auto topic = std::make_shared<dataplane::TopicRoute>();
    topic->name = "t";
    topic->partitions.push_back({.log = LogId{1}, .lcore = 0, .leader_epoch = LeaderEpoch{0}});
    image->insert(std::move(topic));
    store->open_log(0, LogId{1});
    clients->publish(std::move(image));
  }
  void turn() {
    clients->received(0);
    store->submit();
    clients->wake(store->poll());
  }
  void empty_log() {
    store->drop_log(LogId{1});
    for (int i = 0; i < 4; ++i) turn();
    store->open_log(0, LogId{1});
  }

  std::unique_ptr<storage::StoreSet> store;
  std::unique_ptr<dataplane::Broker> broker;
  std::unique_ptr<dataplane::Clients<MemoryStream>> clients;
  MemoryStream stream;

 private:
  MemoryDisk disk_;
  SystemClock clock_;
  Prng prng_{1};
  storage::StorageCounters storage_counters_;
  dataplane::DataplaneCounters counters_;
  dataplane::DataplaneOptions options_;
  SpscRing<dataplane::Event> events_{16};
  std::unique_ptr<std::byte, Freer> memory_;
};

// Arguments: bytes of a batch's one record; requests a turn.
void produce(benchmark::State& state) {
  Lcore lcore;
  Bytes frame =
      testing::frame_of(testing::produce_of(0, testing::batch_of(1, "v", static_cast<size_t>(state.range(0)))), 9, 1);
  const int64_t requests = state.range(1);
  size_t appended = 0;
  for (auto _ : state) {
    for (int64_t i = 0; i < requests; ++i) lcore.stream.arrive(frame);
    lcore.turn();
    appended += frame.size() * static_cast<size_t>(requests);
    if (appended < kRefillBytes) continue;
    state.PauseTiming();
    while (lcore.stream.received().size() > 0) lcore.turn();
    lcore.empty_log();
    appended = 0;
    state.ResumeTiming();
  }
  CHECK(lcore.stream.sent > 0);
  state.SetItemsProcessed(state.iterations() * requests);
  state.SetBytesProcessed(state.iterations() * requests * state.range(0));
}
BENCHMARK(produce)->Args({100, 1})->Args({100, 32})->Args({1024, 32})->Args({16 * 1024, 8})->Args({256 * 1024, 2});

// Arguments: bytes of a batch's one record; bytes a fetch asks for. The log holds 8 MiB at most.
void fetch(benchmark::State& state) {
  Lcore lcore;
  Bytes batch =
      testing::frame_of(testing::produce_of(0, testing::batch_of(1, "v", static_cast<size_t>(state.range(0)))), 9, 1);
  for (size_t bytes = 0; bytes < static_cast<size_t>(state.range(1)); bytes += batch.size()) {
    lcore.stream.arrive(batch);
    lcore.turn();
  }
  lcore.turn();
  auto request = testing::fetch_of(0, 0);
  request.topics[0].partitions[0].partition_max_bytes = static_cast<int32_t>(state.range(1));
  Bytes frame = testing::frame_of(request, 12, 1);
  lcore.stream.sent = 0;
  for (auto _ : state) {
    lcore.stream.arrive(frame);
    lcore.turn();
  }
  CHECK(lcore.stream.sent > 0);
  state.SetItemsProcessed(state.iterations());
  state.SetBytesProcessed(static_cast<int64_t>(lcore.stream.sent));
}
BENCHMARK(fetch)->Args({100, 100'000})->Args({1024, 1 << 20})->Args({16 * 1024, 1 << 20})->Args({900'000, 8 << 20});

void list_offsets(benchmark::State& state) {
  Lcore lcore;
  Bytes frame = testing::frame_of(testing::list_offsets_of(0, -1), 6, 1);
  for (auto _ : state) {
    lcore.stream.arrive(frame);
    lcore.turn();
  }
  CHECK(lcore.stream.sent > 0);
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(list_offsets);

}  // namespace
}  // namespace penstock::bench
