// The write-ahead ring without a device: what the CPU pays to take a batch in (copy, CRC, entry, frame), and to check a
// ring at start.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <memory>

#include "base/prng.h"
#include "base/system_clock.h"
#include "bench/memory_disk.h"
#include "protocol/record_batch.h"
#include "storage/ring/recovery.h"
#include "storage/ring/ring_writer.h"

namespace penstock::storage {
namespace {

constexpr size_t kRingBytes = 64 * kMiB;

struct Freer {
  void operator()(std::byte* memory) const { std::free(memory); }
};

std::vector<std::byte> batch_of(size_t bytes) {
  Prng prng(1);
  std::vector<std::byte> value(bytes);
  prng.fill(value);
  protocol::BatchBuilder builder;
  builder.add(0, std::nullopt, value);
  return builder.finish();
}

class Ring {
 public:
  Ring() : memory_(static_cast<std::byte*>(std::aligned_alloc(4096, kRingBytes))) {
    std::fill_n(memory_.get(), kRingBytes, std::byte{0});
    disk_.forget_writes();
    writer_ = std::make_unique<RingWriter>(RingWriter::Parts{disk_, *disk_.open("ring", {.create = true}), clock_,
                                                             counters_, memory(), kSecond, kRingBytes},
                                           RingStart{.generation = 1});
  }
  RingMemory memory() const { return RingMemory({memory_.get(), kRingBytes}); }
  RingWriter& writer() { return *writer_; }
  void append(std::span<const std::byte> batch) {
    writer_->begin_entry(LogId{1}, static_cast<uint32_t>(batch.size()));
    writer_->write(batch);
    writer_->commit_entry();
  }
  void turn() {
    writer_->submit();
    DiskOp* done = nullptr;
    while (disk_.poll({&done, 1}) == 1) {
      writer_->complete(*done);
      writer_->submit();
    }
    writer_->advance_tail(Lsn{align_down(writer_->durable().value(), kChunkBytes)});
  }

 private:
  bench::MemoryDisk disk_;
  SystemClock clock_;
  StorageCounters counters_;
  std::unique_ptr<std::byte, Freer> memory_;
  std::unique_ptr<RingWriter> writer_;
};

// Bytes of a batch; a group commit takes what 256 KiB hold.
void RingAppend(benchmark::State& state) {
  Ring ring;
  const auto batch = batch_of(static_cast<size_t>(state.range(0)));
  const size_t a_commit = std::max<size_t>(1, 256 * kKiB / batch.size());
  size_t taken = 0;
  for (auto _ : state) {
    ring.append(batch);
    if (++taken % a_commit == 0) ring.turn();
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * batch.size()));
}
BENCHMARK(RingAppend)->Arg(100)->Arg(1 << 10)->Arg(16 << 10)->Arg(256 << 10)->Arg(1 << 20);

// Bytes of a batch in a full ring that is checked from end to end.
void RingScan(benchmark::State& state) {
  Ring ring;
  const auto batch = batch_of(static_cast<size_t>(state.range(0)));
  while (ring.writer().room_for(batch.size()) == RingWriter::Room::kYes &&
         ring.writer().head().value() < kRingBytes / 2) {
    for (size_t i = 0; i < std::max<size_t>(1, 64 * kKiB / batch.size()); ++i) ring.append(batch);
    ring.writer().submit();
    ring.turn();
  }
  const Lsn tail = Lsn{0};
  uint64_t bytes = 0;
  for (auto _ : state) {
    const auto result = scan_ring({ring.memory(), 4096, RingId{}, tail, 1}, [](const FoundEntry&) {});
    bytes += result.head - tail;
  }
  state.SetBytesProcessed(static_cast<int64_t>(bytes));
}
BENCHMARK(RingScan)->Arg(100)->Arg(16 << 10)->Arg(1 << 20);

}  // namespace
}  // namespace penstock::storage
