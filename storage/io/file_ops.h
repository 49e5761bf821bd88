// What each kind of FileOp does, in terms of the blocking forms: one list for the Disk's thread, the simulated Disk and
// those in memory.
#pragma once

#include <utility>

#include "storage/api/disk.h"

namespace penstock::storage {

namespace detail {

inline Result<void> perform_open(auto& files, FileOp& op) {
  const FileHandle file = TRY(files.open(op.path, op.mode));
  const auto size = files.size(file);
  if (!size) {
    files.close(file);
    return std::unexpected(size.error());
  }
  op.file = file;
  op.bytes = *size;
  return {};
}

inline Result<void> perform_kind(auto& files, FileOp& op) {
  switch (op.kind) {
    case FileOp::Kind::kOpen: return perform_open(files, op);
    case FileOp::Kind::kClose: files.close(op.file); return {};
    case FileOp::Kind::kUnlink: return files.unlink(op.path);
    case FileOp::Kind::kRename: return files.rename(op.path, op.to);
    case FileOp::Kind::kMakeDir: return files.make_dir(op.path);
    case FileOp::Kind::kRemoveDir: return files.remove_dir(op.path);
    case FileOp::Kind::kSyncDir: return files.sync_dir(op.path);
    case FileOp::Kind::kCut:
      return TRY(files.size(op.file)) > op.bytes ? files.resize(op.file, op.bytes) : Result<void>{};
    case FileOp::Kind::kAllocate: return files.allocate(op.file, op.bytes);
    case FileOp::Kind::kFlushAll: return files.flush_all(op.path);
    case FileOp::Kind::kFreeBytes: op.bytes = TRY(files.free_bytes(op.path)); return {};
    case FileOp::Kind::kList: op.names = TRY(files.list(op.path)); return {};
  }
  std::unreachable();
}

}  // namespace detail

// files: a Disk, or what has its blocking forms. Sets op's results and its error; in_flight is the caller's.
inline void perform(auto& files, FileOp& op) {
  op.error.reset();
  if (auto done = detail::perform_kind(files, op); !done) op.error = done.error();
}

}  // namespace penstock::storage
