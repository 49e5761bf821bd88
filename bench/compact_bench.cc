// What a cleaning costs the CPU: a log of one segment, read into the map and rewritten, on a drive that is memory.
// Bytes are those of the segment, once: a pass reads them twice. Arguments: bytes of a value; records of a key; the
// codec.
//
//   build/release/bench/compact_bench
#include <benchmark/benchmark.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/prng.h"
#include "base/system_clock.h"
#include "bench/memory_disk.h"
#include "protocol/compression/batches.h"
#include "storage/compact/cleaner.h"

namespace penstock::storage {
namespace {

constexpr size_t kSegmentBytes = 32 * kMiB;
constexpr size_t kBatchBytes = 16 * kKiB;

struct Made {
  std::vector<std::byte> bytes;
  int64_t end = 0;
};

// Words, so that a codec finds something: values of random bytes would measure nothing but its worst case.
std::string words(Prng& prng, size_t bytes) {
  constexpr std::array kWords{"penstock", "turbine", "reservoir", "sluice", "river", "weir", "dam", "channel"};
  std::string text;
  while (text.size() < bytes) text += std::string(kWords[prng.below(kWords.size())]) + ' ';
  text.resize(bytes);
  return text;
}

Made make(size_t value_bytes, uint64_t records_a_key, protocol::Compression codec) {
  Made made;
  Prng prng(1);
  const uint64_t records = kSegmentBytes / (value_bytes + 20);
  const uint64_t keys = std::max<uint64_t>(records / records_a_key, 1);
  while (made.bytes.size() < kSegmentBytes) {
    protocol::BatchBuilder builder({.base_offset = Offset{made.end}});
    while (builder.size() < kBatchBytes) {
      const std::string key = "key-" + std::to_string(prng.below(keys));
      const std::string value = words(prng, value_bytes);
      builder.add(1'700'000'000'000 + made.end, std::as_bytes(std::span(key)), std::as_bytes(std::span(value)));
      ++made.end;
    }
    auto batch = builder.finish();
    if (codec != protocol::Compression::kNone)
      batch = protocol::recompressed(batch, codec, protocol::levels_of(codec).usual, 64 * kMiB).value();
    made.bytes.insert(made.bytes.end(), batch.begin(), batch.end());
  }
  return made;
}

struct Freer {
  void operator()(std::byte* memory) const { std::free(memory); }
};

void clean(benchmark::State& state) {
  const Made made = make(static_cast<size_t>(state.range(0)), static_cast<uint64_t>(state.range(1)),
                         static_cast<protocol::Compression>(state.range(2)));
  const size_t padded = align_up(made.bytes.size(), 4096);
  const std::unique_ptr<std::byte, Freer> memory(static_cast<std::byte*>(std::aligned_alloc(4096, padded)));
  std::ranges::copy(made.bytes, memory.get());
  bench::MemoryDisk disk;
  SystemClock clock;
  const LogId log{1};
  const FileHandle file = disk.open(segment_path("memory", log, {Offset{0}}), {.create = true}).value();
  DiskOp write{.kind = DiskOp::Kind::kWrite, .file = file, .memory = {memory.get(), padded}};
  CHECK(run_to_end(disk, write).has_value());
  Cleaner cleaner(disk, clock, {.folder = "memory", .map_bytes = 64 * kMiB});
  CompactionLink link;
  cleaner.attach(link);
  uint64_t revision = 1;
  uint64_t left = 0;
  for (auto _ : state) {
    CleaningJob job{.log = log,
                    .sources = {{.id = {Offset{0}}, .bytes = made.bytes.size(), .end = Offset{made.end}}},
                    .below = Offset{made.end},
                    .now_ms = 1'700'000'000'000,
                    .delete_retention_ms = 86'400'000,
                    .segment_bytes = uint64_t{1} << 30,
                    .first_revision = revision++,
                    .producers = {}};
    CHECK(link.asked.try_push(job));
    while (cleaner.step()) {
    }
    while (const auto news = link.told.try_pop()) {
      CHECK(news->kind != CleaningNews::Kind::kGivenUp);
      if (news->kind == CleaningNews::Kind::kSwap) {
        left = news->bytes;
        CHECK(disk.unlink(segment_path("memory", log, news->made)).has_value());
      }
    }
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(made.bytes.size()));
  state.counters["left_percent"] = 100.0 * static_cast<double>(left) / static_cast<double>(made.bytes.size());
  state.counters["records_per_second"] = benchmark::Counter(
      static_cast<double>(made.end) * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}
BENCHMARK(clean)
    ->ArgNames({"value", "records_a_key", "codec"})
    ->Args({100, 10, 0})
    ->Args({100, 2, 0})
    ->Args({1'000, 10, 0})
    ->Args({1'000, 2, 0})
    ->Args({1'000, 2, 3})
    ->Args({1'000, 2, 4})
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace penstock::storage
