// The pass that every record's bytes make once: copy and CRC-32C. The ways to do it against plain memcpy, for aligned
// and for odd addresses (a batch starts anywhere in a network buffer and lands anywhere in a chunk).
//
//   build/release/bench/crc32c_bench --benchmark_repetitions=9 --benchmark_report_aggregates_only=true
//
// Arguments: bytes a call / bytes walked over (those of 64 MiB come from memory, the others from a cache) / odd.
// docs/adr/0004-fused-copy-crc.md has the figures behind the choice.
#include <benchmark/benchmark.h>

#include <cstring>
#include <vector>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/crc32c_copy.h"
#include "base/prng.h"
#include "base/units.h"

namespace penstock {
namespace {

constexpr size_t kMost = 64 * kMiB;
constexpr size_t kOddSource = 13, kOddTarget = 27;

// From a cache line on; filled once, then used by every run.
std::byte* memory(bool target) {
  static std::vector<std::byte> both[2];
  std::vector<std::byte>& one = both[target ? 1 : 0];
  if (one.empty()) {
    one.resize(kMost + 128);
    Prng prng(1);
    for (size_t at = 0; at + 8 <= one.size(); at += 8) store_le(one.data() + at, prng.next());
  }
  return one.data() + (-reinterpret_cast<uintptr_t>(one.data()) % 64);
}

template <class Way>
void run(benchmark::State& state, Way way) {
  const auto n = static_cast<size_t>(state.range(0)), total = static_cast<size_t>(state.range(1));
  const bool odd = state.range(2) != 0;
  const std::byte* from = memory(false) + (odd ? kOddSource : 0);
  std::byte* to = memory(true) + (odd ? kOddTarget : 0);
  size_t at = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(way(to + at, std::span(from + at, n)));
    benchmark::ClobberMemory();
    at = at + 2 * n <= total ? at + n : 0;
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * n));
}

void memcpy_alone(benchmark::State& state) {
  run(state, [](std::byte* to, std::span<const std::byte> from) {
    std::memcpy(to, from.data(), from.size());
    return 0u;
  });
}
void two_passes(benchmark::State& state) {
  run(state, [](std::byte* to, std::span<const std::byte> from) {
    std::memcpy(to, from.data(), from.size());
    return crc32c(0, {to, from.size()});
  });
}
template <size_t kBlock>
void blockwise(benchmark::State& state) {
  run(state,
      [](std::byte* to, std::span<const std::byte> from) { return copy_with_crc32c_blockwise(0, to, from, kBlock); });
}
void folding(benchmark::State& state) {
  if (!folding_supported()) return state.SkipWithError("this CPU has no AVX-512F with VPCLMULQDQ");
  run(state, [](std::byte* to, std::span<const std::byte> from) { return copy_with_crc32c_folding(0, to, from); });
}
void chosen(benchmark::State& state) {
  run(state,
      [](std::byte* to, std::span<const std::byte> from) { return copy_with_crc32c(0, {to, from.size()}, from); });
}

void sizes(benchmark::internal::Benchmark* bench) {
  for (const int64_t odd : {0, 1}) {
    for (const int64_t n : {128, 1024, 16 * 1024, 1024 * 1024}) bench->Args({n, n, odd});
    for (const int64_t n : {1024, 16 * 1024, 1024 * 1024}) bench->Args({n, kMost, odd});
  }
}

BENCHMARK(memcpy_alone)->Apply(sizes);
BENCHMARK(two_passes)->Apply(sizes);
BENCHMARK(blockwise<1 * kKiB>)->Apply(sizes);
BENCHMARK(blockwise<2 * kKiB>)->Apply(sizes);
BENCHMARK(blockwise<4 * kKiB>)->Apply(sizes);
BENCHMARK(blockwise<8 * kKiB>)->Apply(sizes);
BENCHMARK(blockwise<16 * kKiB>)->Apply(sizes);
BENCHMARK(folding)->Apply(sizes);
BENCHMARK(chosen)->Apply(sizes);

}  // namespace
}  // namespace penstock
