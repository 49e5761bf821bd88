// Which operation makes a ring write durable faster here, measured with the lcore's own way of waiting: without FUA the
// two are finished by different kernel workers (docs/adr/0005-write-ahead-ring.md).
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <vector>

#include "base/log.h"
#include "storage/api/folder.h"

namespace penstock::storage {
namespace {

constexpr size_t kScratchBytes = 256 * kKiB;
constexpr int kRounds = 24;  // of each, by turns; the median of so many is steady enough to tell 0.1 from 4 ms

struct Freer {
  void operator()(std::byte* memory) const { std::free(memory); }
};

Result<Nanos> timed_write(Disk& disk, Clock& clock, DiskOp& op, Nanos spin) {
  const Nanos begin = clock.monotonic();
  disk.submit(op);
  for (DiskOp* done = nullptr; disk.poll({&done, 1}) == 0;)
    pause_between_polls(disk, clock.monotonic() - begin < spin, kSecond);
  if (op.result < 0) return fail(op.result == -ENOSPC ? Errc::kNoSpace : Errc::kIo, static_cast<int>(-op.result));
  if (op.result != static_cast<int64_t>(op.memory.size())) return fail(Errc::kShort);
  return clock.monotonic() - begin;
}

Result<DurableMethod> measure(Disk& disk, Clock& clock, FileHandle file, std::span<std::byte> memory, Nanos spin) {
  DiskOp fill{.kind = DiskOp::Kind::kWrite, .file = file, .memory = memory};
  TRY_VOID(run_to_end(disk, fill));
  DiskOp flush{.kind = DiskOp::Kind::kFlush, .file = file};
  TRY_VOID(run_to_end(disk, flush));
  constexpr std::array kMethods{DurableMethod::kDsync, DurableMethod::kLinkedFlush};
  std::array<std::vector<Nanos>, 2> times;
  const uint32_t block = disk.block_bytes();
  for (int round = 0; round < 2 * kRounds; ++round) {
    const auto which = static_cast<size_t>(round % 2);
    disk.set_durable_method(kMethods[which]);
    DiskOp op{.kind = DiskOp::Kind::kWriteDurable,
              .file = file,
              .at = static_cast<uint64_t>(round) * block % kScratchBytes,
              .memory = memory.first(block)};
    times[which].push_back(TRY(timed_write(disk, clock, op, spin)));
  }
  std::array<Nanos, 2> median;
  for (size_t i = 0; i < 2; ++i) {
    std::ranges::nth_element(times[i], times[i].begin() + kRounds / 2);
    median[i] = times[i][kRounds / 2];
  }
  const size_t best = median[0] <= median[1] ? 0 : 1;
  LOG_INFO("durable write of %u bytes: %lld us with DSYNC, %lld us with a linked fdatasync; using %s", block,
           static_cast<long long>(median[0] / kMicrosecond), static_cast<long long>(median[1] / kMicrosecond),
           best == 0 ? "DSYNC" : "the linked fdatasync");
  return kMethods[best];
}

Result<DurableMethod> measure_in(Disk& disk, Clock& clock, const std::string& path, Nanos spin) {
  const FileHandle file = TRY(disk.open(path, {.create = true}));
  const std::unique_ptr<std::byte, Freer> memory(
      static_cast<std::byte*>(std::aligned_alloc(disk.block_bytes(), kScratchBytes)));
  std::fill_n(memory.get(), kScratchBytes, std::byte{0x5a});
  auto method = measure(disk, clock, file, {memory.get(), kScratchBytes}, spin);
  disk.close(file);
  TRY_VOID(disk.unlink(path));
  return method;
}

}  // namespace

Result<DurableMethod> measure_durable_method(Disk& disk, Clock& clock, std::string_view folder, Nanos spin) {
  auto method = measure_in(disk, clock, fmt::format("{}/scratch", folder), spin);
  // A full drive must not keep a broker from starting: its ring has its space, and only a running one can free some.
  // The linked form is nowhere slow by far, as DSYNC can be.
  if (!method && (method.error().code == Errc::kNoSpace || method.error().code == Errc::kShort)) {
    LOG_INFO("no space left in %.*s to measure durable writes: using the linked fdatasync; free some space there",
             static_cast<int>(folder.size()), folder.data());
    method = DurableMethod::kLinkedFlush;
  }
  if (method) disk.set_durable_method(*method);
  return method;
}

}  // namespace penstock::storage
