// A request through connection, handlers and Store with neither network nor drive: what the lcore's CPU pays for a
// Produce (framing, header check, the one touch, answer) and for a Fetch (plan, lay out, hand over).
#include <benchmark/benchmark.h>

#include "bench/bench_lcore.h"

namespace penstock::bench {
namespace {

using testing::Bytes;

// Arguments: bytes of a batch's one record; requests a turn.
void produce(benchmark::State& state) {
  BenchLcore lcore;
  lcore.publish(1);
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
  BenchLcore lcore;
  lcore.publish(1);
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
  BenchLcore lcore;
  lcore.publish(1);
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
