// What a hop costs: the same request for a partition of the connection's lcore and of another one, both lcores taking
// turns on one thread, so that all that either pays is counted and nothing waits. cycles: of the time stamp counter, a
// request. What the transfer of cache lines between two cores adds, the last benchmark tells by itself.
#include <benchmark/benchmark.h>
#include <x86intrin.h>

#include <atomic>
#include <thread>

#include "bench/bench_lcore.h"

namespace penstock::bench {
namespace {

using testing::Bytes;

// A connection on lcore 0, and as many lcores as are needed.
class Pair {
 public:
  explicit Pair(bool elsewhere) : mesh_(std::make_shared<dataplane::Mesh>(2)), home(0, mesh_), other(1, mesh_) {
    home.publish(2);
    other.publish(2);
    partition = elsewhere ? 1 : 0;
  }
  void turn() {
    home.turn();
    other.turn();
  }
  BenchLcore& owner() { return partition == 0 ? home : other; }

 private:
  std::shared_ptr<dataplane::Mesh> mesh_;

 public:
  BenchLcore home;
  BenchLcore other;
  int partition;
};

// Turns until all answers have left.
void answer_all(Pair& lcores) {
  do lcores.turn();
  while (lcores.home.stream.received().size() > 0 || lcores.home.broker->parts_out > 0 ||
         lcores.home.broker->answer_bytes > 0);
}

void tell_cycles(benchmark::State& state, uint64_t cycles, int64_t requests) {
  state.counters["cycles"] = static_cast<double>(cycles) / static_cast<double>(state.iterations() * requests);
  state.SetItemsProcessed(state.iterations() * requests);
}

// Arguments: 0 at home, 1 elsewhere; bytes of a batch's one record; requests that a client has in flight.
void produce(benchmark::State& state) {
  Pair lcores(state.range(0) == 1);
  Bytes frame = testing::frame_of(
      testing::produce_of(lcores.partition, testing::batch_of(1, "v", static_cast<size_t>(state.range(1)))), 9, 1);
  size_t appended = 0;
  uint64_t cycles = 0;
  for (auto _ : state) {
    const uint64_t begin = __rdtsc();
    for (int64_t i = 0; i < state.range(2); ++i) lcores.home.stream.arrive(frame);
    answer_all(lcores);
    cycles += __rdtsc() - begin;
    appended += frame.size() * static_cast<size_t>(state.range(2));
    if (appended < kRefillBytes) continue;
    state.PauseTiming();
    lcores.owner().empty_log();
    appended = 0;
    state.ResumeTiming();
  }
  tell_cycles(state, cycles, state.range(2));
}
BENCHMARK(produce)->ArgNames({"elsewhere", "bytes", "in_flight"})->ArgsProduct({{0, 1}, {100, 16 * 1024}, {1, 32}});

// Arguments: 0 at home, 1 elsewhere; bytes of a batch's one record; bytes that a fetch asks for.
void fetch(benchmark::State& state) {
  Pair lcores(state.range(0) == 1);
  Bytes batch = testing::frame_of(
      testing::produce_of(lcores.partition, testing::batch_of(1, "v", static_cast<size_t>(state.range(1)))), 9, 1);
  for (size_t bytes = 0; bytes < static_cast<size_t>(state.range(2)); bytes += batch.size()) {
    lcores.home.stream.arrive(batch);
    answer_all(lcores);
  }
  auto request = testing::fetch_of(lcores.partition, 0);
  request.topics[0].partitions[0].partition_max_bytes = static_cast<int32_t>(state.range(2));
  Bytes frame = testing::frame_of(request, 12, 1);
  uint64_t cycles = 0;
  for (auto _ : state) {
    const uint64_t begin = __rdtsc();
    lcores.home.stream.arrive(frame);
    answer_all(lcores);
    cycles += __rdtsc() - begin;
  }
  tell_cycles(state, cycles, 1);
}
BENCHMARK(fetch)
    ->ArgNames({"elsewhere", "bytes", "fetched"})
    ->ArgsProduct({{0, 1}, {100}, {1000}})
    ->ArgsProduct({{0, 1}, {16 * 1024}, {16 * 1024, 1 << 20}});

// A letter to another core and one back, both polling: what the cache lines cost.
void letter_and_back(benchmark::State& state) {
  dataplane::Mesh mesh(2);
  std::atomic<bool> stop = false;
  std::thread other([&] {
    while (!stop.load(std::memory_order_relaxed)) {
      if (auto letter = mesh.ring(0, 1).try_pop()) CHECK(mesh.ring(1, 0).try_push(*letter));
    }
  });
  const uint64_t begin = __rdtsc();
  for (auto _ : state) {
    CHECK(mesh.ring(0, 1).try_push(dataplane::Departed{.count = 1}));
    while (!mesh.ring(1, 0).try_pop()) {
    }
  }
  const uint64_t cycles = __rdtsc() - begin;
  stop = true;
  other.join();
  tell_cycles(state, cycles, 1);
}
BENCHMARK(letter_and_back)->UseRealTime();

}  // namespace
}  // namespace penstock::bench
