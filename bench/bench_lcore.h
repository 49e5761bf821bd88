// An lcore's Kafka side with neither network nor drive: its client is memory, and so is its disk. For benchmarks of
// what the CPU pays for a request; several of them over a Mesh on one thread show what a part of a request costs that
// another lcore does.
#pragma once

#include <cstdlib>
#include <memory>
#include <optional>
#include <span>

#include "base/system_clock.h"
#include "bench/memory_disk.h"
#include "dataplane/kafka/clients.h"
#include "dataplane/kafka/postman.h"
#include "tests/kafka_requests.h"

namespace penstock::bench {

inline constexpr size_t kRingBytes = 64 * kMiB;
inline constexpr size_t kRefillBytes = 32 * kMiB;  // the log begins anew before the ring is full

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
  void arrive(testing::Bytes& frame) { chain_.append(Buffer(nowhere_, frame, frame.size())); }

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

// Owns log 1 + index, which is partition index of topic "t". One client.
class BenchLcore {
 public:
  explicit BenchLcore(uint16_t index = 0, std::shared_ptr<dataplane::Mesh> mesh = nullptr)
      : memory_(static_cast<std::byte*>(std::aligned_alloc(4096, kRingBytes))), log_(storage::LogId{index + 1u}) {
    storage::StoreRequest request{.folder = "memory",
                                  .ring_index = index,
                                  .disk = &disk_,
                                  .clock = &clock_,
                                  .prng = &prng_,
                                  .counters = &storage_counters_,
                                  .live_logs = {},
                                  .next_log_id = storage::LogId{1}};
    request.options.ring_bytes = kRingBytes;
    request.allocate = [this](size_t bytes) { return std::span(memory_.get(), bytes); };
    auto opened = storage::Store::open(std::move(request));
    CHECK(opened.has_value());
    store = std::make_unique<storage::StoreSet>();
    store->add(index, *std::move(opened), {});
    disk_.forget_writes();
    broker = std::make_unique<dataplane::Broker>(dataplane::Broker{.store = *store,
                                                                   .options = options_,
                                                                   .counters = counters_,
                                                                   .events = events_,
                                                                   .control_doorbell = nullptr,
                                                                   .lcore = index});
    clients = std::make_unique<dataplane::Clients<MemoryStream>>(*broker);
    host_.emplace(*broker);
    if (mesh != nullptr) {
      mesh->set_doorbell(index, doorbell_);
      mail_.emplace(std::move(mesh), index, counters_);
      broker->mail = &*mail_;
    }
    store->open_log(index, log_);
    clients->add(0, stream, 0);
  }
  ~BenchLcore() { clients->close_all(); }

  // Of so many lcores.
  void publish(uint16_t lcores) {
    auto image = std::make_shared<dataplane::RoutingImage>();
    auto topic = std::make_shared<dataplane::TopicRoute>();
    topic->name = "t";
    for (uint16_t i = 0; i < lcores; ++i)
      topic->partitions.push_back({.log = storage::LogId{i + 1u}, .lcore = i, .leader_epoch = LeaderEpoch{0}});
    image->insert(std::move(topic));
    clients->publish(std::move(image));
  }
  void turn() {
    clients->received(0);
    if (mail_) {
      deliver(*mail_, *host_, *clients, [](uint16_t, const dataplane::Letter&) {});
      mail_->flush();
    }
    store->submit();
    const size_t completed = store->poll();
    host_->settle(completed);
    clients->wake(completed);
    if (mail_) mail_->flush();
  }
  void empty_log() {
    store->drop_log(log_);
    for (int i = 0; i < 4; ++i) turn();
    store->open_log(broker->lcore, log_);
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
  Doorbell doorbell_;
  std::optional<dataplane::Mail> mail_;
  std::optional<dataplane::Host> host_;
  const storage::LogId log_;
};

}  // namespace penstock::bench
