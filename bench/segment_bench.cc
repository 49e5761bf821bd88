// What a segment costs beside its bytes' own way to the drive: building the index while destage copies, finding an
// offset or a time, checking what a cold read brings, scanning and walking. Batches of 1 KiB and of 64 KiB.
//
//   build/release/bench/segment_bench
#include <benchmark/benchmark.h>

#include <cstdint>
#include <vector>

#include "base/crc32c.h"
#include "base/prng.h"
#include "protocol/record_batch.h"
#include "storage/segment/segment_index.h"
#include "storage/segment/segment_scan.h"
#include "storage/segment/sidecar.h"

namespace penstock::storage {
namespace {

constexpr size_t kSegmentBytes = 8 * kMiB;

struct Made {
  std::vector<std::byte> bytes;
  std::vector<BatchPlace> batches;
};

// One record a batch; whole batches, about kSegmentBytes.
Made make(size_t batch_bytes) {
  Made made;
  Prng prng(1);
  std::vector<std::byte> value(batch_bytes - 70);
  prng.fill(value);
  for (int64_t offset = 0; made.bytes.size() < kSegmentBytes; ++offset) {
    protocol::BatchBuilder builder({.base_offset = Offset{offset}});
    builder.add(1'700'000'000'000 + offset, std::nullopt, value);
    const std::vector<std::byte> batch = builder.finish();
    made.batches.push_back(
        {made.bytes.size(), static_cast<uint32_t>(batch.size()), Offset{offset}, Offset{offset + 1}});
    made.bytes.insert(made.bytes.end(), batch.begin(), batch.end());
  }
  return made;
}

void count_bytes(benchmark::State& state, const Made& made) {
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * made.bytes.size()));
}

// As destage does: each batch copied to the aligned staging buffer. Staging is 1 MiB, used again and again.
void copy_into_index(benchmark::State& state) {
  const Made made = make(static_cast<size_t>(state.range(0)));
  std::vector<std::byte> staging(kMiB);
  for (auto _ : state) {
    SegmentIndex index(Offset{0});
    size_t at = 0;
    for (const BatchPlace& batch : made.batches) {
      if (at + batch.bytes > staging.size()) at = 0;
      index.add_batch(batch.position, batch.base, batch.base.value());
      index.copy_into(std::span(staging).subspan(at), std::span(made.bytes).subspan(batch.position, batch.bytes));
      at += batch.bytes;
    }
    benchmark::DoNotOptimize(index.running_crc());
  }
  count_bytes(state, made);
}

// The floor of that: the same copies with a checksum and no index.
void copy_alone(benchmark::State& state) {
  const Made made = make(static_cast<size_t>(state.range(0)));
  std::vector<std::byte> staging(kMiB);
  for (auto _ : state) {
    size_t at = 0;
    uint32_t crc = 0;
    for (const BatchPlace& batch : made.batches) {
      if (at + batch.bytes > staging.size()) at = 0;
      crc = copy_with_crc32c(crc, std::span(staging).subspan(at),
                             std::span(made.bytes).subspan(batch.position, batch.bytes));
      at += batch.bytes;
    }
    benchmark::DoNotOptimize(crc);
  }
  count_bytes(state, made);
}

void add_bytes(benchmark::State& state) {
  const Made made = make(static_cast<size_t>(state.range(0)));
  for (auto _ : state) {
    SegmentIndex index(Offset{0});
    index.add_bytes(made.bytes);
    for (const BatchPlace& batch : made.batches) index.add_batch(batch.position, batch.base, batch.base.value());
    benchmark::DoNotOptimize(index.running_crc());
  }
  count_bytes(state, made);
}

void scan(benchmark::State& state) {
  const Made made = make(static_cast<size_t>(state.range(0)));
  for (auto _ : state) {
    SegmentScan segment({.base = Offset{0}, .next = Offset{0}});
    segment.feed(made.bytes);
    benchmark::DoNotOptimize(segment.finish());
  }
  count_bytes(state, made);
}

void verify_interval(benchmark::State& state) {
  const Made made = make(1024);
  SegmentIndex index(Offset{0});
  index.add_bytes(made.bytes);
  const auto piece = std::span(made.bytes).first(static_cast<size_t>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(index.verify(0, piece));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * piece.size()));
}

void walk_headers(benchmark::State& state) {
  const Made made = make(static_cast<size_t>(state.range(0)));
  const Offset end = made.batches.back().next;
  for (auto _ : state) benchmark::DoNotOptimize(walk(made.bytes, 0, end));
  count_bytes(state, made);
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * made.batches.size()));
}

// The index of a segment of 1 GiB, in memory.
SegmentIndex index_of_1_gib() {
  SegmentIndex index(Offset{0});
  const std::vector<std::byte> zeros(kMiB);
  for (int64_t i = 0; index.bytes() < kGiB; ++i) {
    for (int64_t k = 0; k < 64; ++k)
      index.add_batch(index.bytes() + static_cast<uint64_t>(k) * 16 * kKiB, Offset{i * 640 + k * 10}, i * 640 + k);
    index.add_bytes(zeros);
  }
  return index;
}

void floor_of_1_gib(benchmark::State& state) {
  const SegmentIndex index = index_of_1_gib();
  Prng prng(1);
  for (auto _ : state) {
    benchmark::DoNotOptimize(index.floor(Offset{static_cast<int64_t>(prng.below(640 * 1024))}));
  }
  state.counters["bytes_an_interval"] =
      static_cast<double>(index.memory_bytes()) / static_cast<double>(index.interval_count());
}

void time_of_1_gib(benchmark::State& state) {
  const SegmentIndex index = index_of_1_gib();
  Prng prng(1);
  for (auto _ : state) {
    benchmark::DoNotOptimize(index.first_interval_with_time(static_cast<int64_t>(prng.below(640 * 1024))));
  }
}

void sidecar_of_1_gib(benchmark::State& state) {
  const Sidecar sidecar{.index = index_of_1_gib(), .sealed = true};
  std::vector<std::byte> file(sidecar_bytes(sidecar, 4096));
  encode(sidecar, file);
  for (auto _ : state) {
    if (state.range(0) == 0) encode(sidecar, file);
    if (state.range(0) == 1 && !decode_sidecar(file)) state.SkipWithError("a sidecar that cannot be read");
    benchmark::ClobberMemory();
  }
  state.SetLabel(state.range(0) == 0 ? "encode" : "decode");
  state.counters["file_bytes"] = static_cast<double>(file.size());
}

constexpr int64_t kSmall = 1024, kLarge = 64 * 1024;
BENCHMARK(copy_alone)->Arg(kSmall)->Arg(kLarge);
BENCHMARK(copy_into_index)->Arg(kSmall)->Arg(kLarge);
BENCHMARK(add_bytes)->Arg(kSmall)->Arg(kLarge);
BENCHMARK(scan)->Arg(kSmall)->Arg(kLarge);
BENCHMARK(verify_interval)->Arg(SegmentIndex::kIntervalBytes)->Arg(kMiB);
BENCHMARK(walk_headers)->Arg(128)->Arg(kSmall)->Arg(kLarge);
BENCHMARK(floor_of_1_gib);
BENCHMARK(time_of_1_gib);
BENCHMARK(sidecar_of_1_gib)->Arg(0)->Arg(1);

}  // namespace
}  // namespace penstock::storage
