// Whatever bytes a client sends, in whatever pieces: connection, handlers and Store answer, wait or close, and when the
// client has gone nothing of it is left. The first byte of an input picks how the rest arrives.
#include <cstdlib>
#include <memory>

#include "bench/memory_disk.h"
#include "dataplane/kafka/clients.h"
#include "tests/sim/sim_clock.h"
#include "tests/sim/sim_stream.h"

namespace penstock {
namespace {

using storage::LogId;

constexpr size_t kRingBytes = 8 * kMiB;
constexpr int kTurnsMax = 2000;

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
    request.allocate = [this](size_t bytes) { return std::span(memory_, bytes); };
    auto opened = storage::Store::open(std::move(request));
    CHECK(opened.has_value());
    store_.add(0, *std::move(opened), {});
    disk_.forget_writes();
  }

  // Turns until the client has gone.
  void serve(sim::SimStream& stream) {
    dataplane::Broker broker{
        .store = store_, .options = options_, .counters = counters_, .events = events_, .control_doorbell = nullptr};
    dataplane::Clients<sim::SimStream> clients(broker);
    publish(clients);
    clients.add(0, stream, 0);
    for (int turn = 0; clients.count() > 0; ++turn) {
      CHECK(turn < kTurnsMax);
      broker.now = clock_.monotonic();
      arrive(clients, stream);
      CHECK(stream.received().size() < 2 * dataplane::Connection<sim::SimStream>::kHeldBytesMax);
      be_control(clients);
      store_.submit();
      clients.wake(store_.poll());
      clock_.advance(kMillisecond);
    }
    CHECK(broker.slow_bytes == 0);
    CHECK(broker.answer_bytes == 0);
    CHECK(broker.wakeups.next_deadline() == std::numeric_limits<Nanos>::max());
    store_.drop_log(LogId{1});
    store_.drop_log(LogId{2});
  }

 private:
  void publish(dataplane::Clients<sim::SimStream>& clients) {
    auto topic = std::make_shared<dataplane::TopicRoute>();
    topic->name = "t";
    topic->id.bytes[0] = 9;
    for (const LogId log : {LogId{1}, LogId{2}}) {
      store_.open_log(0, log);
      topic->partitions.push_back({.log = log, .lcore = 0, .leader_epoch = LeaderEpoch{3}});
    }
    auto image = std::make_shared<dataplane::RoutingImage>();
    image->insert(std::move(topic));
    clients.publish(std::move(image));
  }
  static void arrive(dataplane::Clients<sim::SimStream>& clients, sim::SimStream& stream) {
    switch (stream.step()) {
      case sim::SimStream::Event::kNone: break;
      case sim::SimStream::Event::kReceived: clients.received(0); break;
      case sim::SimStream::Event::kWritable: clients.writable(0); break;
      case sim::SimStream::Event::kEnded: clients.ended(0); break;
    }
  }
  void be_control(dataplane::Clients<sim::SimStream>& clients) {
    while (auto event = events_.try_pop()) {
      const auto& slow = std::get<dataplane::SlowRequest>(*event);
      clients.answer({slow.connection, slow.frame});  // any bytes will do
    }
  }

  bench::MemoryDisk disk_;
  sim::SimClock clock_;
  Prng prng_{1};
  storage::StorageCounters storage_counters_;
  dataplane::DataplaneCounters counters_;
  dataplane::DataplaneOptions options_;
  SpscRing<dataplane::Event> events_{16};
  std::byte* memory_;  // for the life of the process
  storage::StoreSet store_;
};

}  // namespace
}  // namespace penstock

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto* const lcore = [] {
    penstock::set_log_sink([](penstock::LogLevel, std::string_view) {});
    return new penstock::Lcore;
  }();
  if (size == 0) return 0;
  penstock::sim::SimStream stream(data[0]);
  stream.peer_sends(std::as_bytes(std::span(data + 1, size - 1)));
  stream.peer_ends();
  lcore->serve(stream);
  return 0;
}
