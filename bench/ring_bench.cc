// What it costs to hand an item to another thread: one after the other in one thread (the instructions), streaming
// between two threads (the cache lines), and there and back (the latency of a request for another lcore's partition).
//
//   build/release/bench/ring_bench
#include <benchmark/benchmark.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <thread>

#include "base/ring.h"

namespace penstock {
namespace {

// The size of a command between two lcores.
struct Item {
  uint64_t number = 0;
  std::array<uint64_t, 7> rest{};
};

void push_and_pop(benchmark::State& state) {
  SpscRing<Item> ring(1024);
  Item item;
  for (auto _ : state) {
    benchmark::DoNotOptimize(ring.try_push(item));
    benchmark::DoNotOptimize(ring.try_pop());
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()));
}

// Moves items from one ring to another until told to stop. Yields when idle: with fewer CPUs than threads the other
// side could not run.
class Echo {
 public:
  Echo(SpscRing<Item>& in, SpscRing<Item>& out) : thread_([this, &in, &out] { run(in, out); }) {}
  ~Echo() {
    stop_ = true;
    thread_.join();
  }

 private:
  void run(SpscRing<Item>& in, SpscRing<Item>& out) {
    while (!stop_) {
      std::optional<Item> item = in.try_pop();
      if (!item) {
        std::this_thread::yield();
        continue;
      }
      while (!out.try_push(*item) && !stop_) std::this_thread::yield();
    }
  }
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

void there_and_back(benchmark::State& state) {
  SpscRing<Item> there(1024), back(1024);
  Echo echo(there, back);
  for (auto _ : state) {
    Item item;
    while (!there.try_push(item)) std::this_thread::yield();
    while (!back.try_pop()) std::this_thread::yield();
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()));
}

void streaming(benchmark::State& state) {
  SpscRing<Item> there(static_cast<size_t>(state.range(0))), back(static_cast<size_t>(state.range(0)));
  Echo echo(there, back);
  uint64_t sent = 0, received = 0;
  for (auto _ : state) {
    Item item{.number = sent};
    while (!there.try_push(item)) {
      while (back.try_pop()) ++received;
      std::this_thread::yield();
    }
    ++sent;
    while (back.try_pop()) ++received;
  }
  state.SetItemsProcessed(static_cast<int64_t>(sent));
}

BENCHMARK(push_and_pop);
BENCHMARK(there_and_back)->UseRealTime();
BENCHMARK(streaming)->Arg(64)->Arg(1024)->UseRealTime();

}  // namespace
}  // namespace penstock
