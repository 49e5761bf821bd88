// Waiting for one op, for start-up and stop.
#include "storage/api/disk.h"

#include <sched.h>

#include <cerrno>

#include "base/assert.h"

namespace penstock::storage {

namespace {

Result<void> outcome_of(const DiskOp& op) {
  const auto want = op.kind == DiskOp::Kind::kFlush ? 0 : static_cast<int64_t>(op.memory.size());
  if (op.result == want) return {};
  if (op.result >= 0) return fail(Errc::kShort);
  const int code = static_cast<int>(-op.result);
  switch (code) {
    case ENOSPC:
    case EDQUOT: return fail(Errc::kNoSpace, code);
    case EROFS: return fail(Errc::kNoPermission, code);
    case EINVAL:
    case EOPNOTSUPP: return fail(Errc::kUnsupported, code);  // a file system in memory knows no RWF_NOWAIT
    default: return fail(Errc::kIo, code);
  }
}

}  // namespace

std::string_view reason_of(Error error) {
  return error.os_errno == EROFS ? "the file system is mounted read-only" : to_string(error.code);
}

std::string_view hint_to_write(Error error) {
  return error.os_errno == EROFS
             ? "mount it for writing, and look into dmesg first: after errors of the drive the kernel mounts it so"
             : "give the user that runs penstock the right to write there";
}

Result<void> run_all_to_end(Disk& disk, std::span<DiskOp> ops) {
  size_t begun = 0;
  for (size_t left = ops.size(); left > 0;) {
    for (; begun < ops.size() && begun + left < ops.size() + Disk::kOpsInFlightMax; ++begun) disk.submit(ops[begun]);
    DiskOp* done = nullptr;
    if (disk.poll({&done, 1}) == 0) {
      disk.wait(kSecond);
      continue;
    }
    CHECK(done >= ops.data() && done < ops.data() + ops.size());
    left -= 1;
  }
  for (const DiskOp& op : ops) TRY_VOID(outcome_of(op));
  return {};
}

void pause_between_polls(Disk& disk, bool spins, Nanos timeout) {
  if (spins) {
    sched_yield();
  } else {
    disk.wait(timeout);
  }
}

Result<void> run_to_end(Disk& disk, DiskOp& op) { return run_all_to_end(disk, {&op, 1}); }

Result<void> run_to_end(Disk& disk, FileOp& op) {
  disk.submit(op);
  for (FileOp* done = nullptr; disk.poll({&done, 1}) == 0;) disk.wait(kSecond);
  CHECK(!op.in_flight);
  if (op.error) return std::unexpected(*op.error);
  return {};
}

}  // namespace penstock::storage
