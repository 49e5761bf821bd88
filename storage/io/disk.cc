// Waiting for one op, for start-up and stop.
#include "storage/api/disk.h"

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
    case EINVAL:
    case EOPNOTSUPP: return fail(Errc::kUnsupported, code);  // a file system in memory knows no RWF_NOWAIT
    default: return fail(Errc::kIo, code);
  }
}

}  // namespace

Result<void> run_all_to_end(Disk& disk, std::span<DiskOp> ops) {
  for (DiskOp& op : ops) disk.submit(op);
  for (size_t left = ops.size(); left > 0;) {
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

Result<void> run_to_end(Disk& disk, DiskOp& op) { return run_all_to_end(disk, {&op, 1}); }

}  // namespace penstock::storage
