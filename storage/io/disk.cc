// Waiting for one op, for start-up and stop.
#include "storage/api/disk.h"

#include <cerrno>

#include "base/assert.h"

namespace penstock::storage {

Result<void> run_to_end(Disk& disk, DiskOp& op) {
  disk.submit(op);
  for (DiskOp* done = nullptr; done == nullptr;) {
    if (disk.poll({&done, 1}) == 0) disk.wait(kSecond);
    CHECK(done == nullptr || done == &op);
  }
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

}  // namespace penstock::storage
