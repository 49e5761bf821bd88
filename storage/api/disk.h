// The Disk seam: what storage asks of a drive and its file system. Real in storage/io/uring_disk.h; in tests/sim a disk
// that loses, tears, delays and reorders from a seed.
//
// Two halves. Reads, writes and flushes of files (DiskOp) and what is done with names and sizes (FileOp) never block:
// submit() takes an op that its owner keeps alive, poll() gives it back with its result. DiskOps complete in any order;
// FileOps are done one after the other, in order of submission, by a thread of the Disk's own. The blocking forms
// (open, rename, ...) are for start-up and for the tools: no lcore calls them.
//
// Durability: a kWrite is durable only after a later kFlush of its file completed; a kWriteDurable when it completes. A
// created, renamed or removed name is durable after sync_dir() of its folder. flush_all() does both for all files of a
// file system: whatever had completed before it began.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/strong.h"
#include "base/units.h"

namespace penstock::storage {

using FileHandle = Id<struct FileHandleTag, int32_t>;

enum class DurableMethod : uint8_t {
  kDsync,        // RWF_DSYNC: the device's FUA, or write and flush by a kernel worker
  kLinkedFlush,  // the write, then a linked fdatasync
};

struct DiskOp {
  enum class Kind : uint8_t { kRead, kWrite, kWriteDurable, kFlush };
  Kind kind = Kind::kRead;
  FileHandle file;              // stays open until the op is back
  uint64_t at = 0;              // byte place in the file, a multiple of block_bytes() on a direct file
  std::span<std::byte> memory;  // aligned to block_bytes() on a direct file; unused by kFlush
  // What to do with the op once poll() gave it back: for owners that share a Disk. Whoever polls calls it, Disk never.
  void (*on_done)(DiskOp&) = nullptr;
  bool may_block = false;  // a write that may go to a kernel worker at once: it waits for the file system there
  int64_t result = 0;      // set by poll(): bytes moved, or -errno. A short move is reported, never hidden
  bool in_flight = false;  // Disk's: true from submit() to the poll() that returns this op
  bool punted = false;     // Disk's: this write was sent again without RWF_NOWAIT
  uint8_t parts_left = 0;  // Disk's: completions still due
};

struct OpenMode {
  bool create = false;     // make it if it does not exist; its name is durable after sync_dir()
  bool exclusive = false;  // with create: fail with kExists if it does
  bool direct = true;      // O_DIRECT; kUnsupported if the file system cannot
  bool read_only = false;  // without create: only kRead, size() and lock(), which need no right to write
};

// What went wrong, in words for the operator: a file system that is mounted read-only is no matter of permissions.
std::string_view reason_of(Error error);
// What to do about a lack of the right to write.
std::string_view hint_to_write(Error error);

// What may block: names, sizes, space. The fields that a kind does not name are neither read nor written.
struct FileOp {
  enum class Kind : uint8_t {
    kOpen,       // path, mode -> file, bytes: its size
    kClose,      // file; all its DiskOps are back
    kUnlink,     // path
    kRename,     // path, to
    kMakeDir,    // path; fine if it exists
    kRemoveDir,  // path; kExists if it is not empty
    kSyncDir,    // path
    kCut,        // file, bytes: its new length if it has more; a shorter one stays as it is
    kAllocate,   // file, bytes: its length if that is more than it has; space is reserved from its start to there
    kFlushAll,   // path: a folder of the file system that is made durable
    kFreeBytes,  // path -> bytes: what its file system still has for us
    kList,       // path -> names, sorted
  };
  Kind kind = Kind::kOpen;
  FileHandle file;
  std::string path;
  std::string to;
  OpenMode mode;
  uint64_t bytes = 0;
  std::vector<std::string> names;
  std::optional<Error> error;          // set by poll(); nothing: it was done
  bool in_flight = false;              // Disk's: true from submit() to the poll() that returns this op
  void (*on_done)(FileOp&) = nullptr;  // as DiskOp's
};

class Disk {
 public:
  // The most ops between submit() and poll(); one more is a CHECK. The sum of who may hold one, each with its bound:
  // the frame and its seal 2, pieces of a state slot 16, destage writes 64, cold reads 64, flushes of segments 64,
  // start-up and its readers 46.
  static constexpr size_t kOpsInFlightMax = 256;
  // The same for FileOps: whoever has thousands (a topic's files to unlink) gives them as they come back.
  static constexpr size_t kFileOpsInFlightMax = 256;

  virtual Result<FileHandle> open(std::string_view path, OpenMode mode) = 0;
  virtual void close(FileHandle file) = 0;
  virtual Result<uint64_t> size(FileHandle file) = 0;
  virtual Result<void> resize(FileHandle file, uint64_t bytes) = 0;
  // Reserves space for the first bytes of file, which grows if it was shorter. kNoSpace leaves its length as it was.
  virtual Result<void> allocate(FileHandle file, uint64_t bytes) = 0;
  // Advisory lock of the whole file until close() or the end of the process. kLocked if another process has it.
  virtual Result<void> lock(FileHandle file) = 0;
  virtual Result<void> make_dir(std::string_view path) = 0;    // fine if it exists
  virtual Result<void> remove_dir(std::string_view path) = 0;  // kExists if it is not empty
  virtual Result<void> rename(std::string_view from, std::string_view to) = 0;
  virtual Result<void> unlink(std::string_view path) = 0;
  virtual Result<void> sync_dir(std::string_view path) = 0;
  virtual Result<std::vector<std::string>> list(std::string_view path) = 0;  // names in it, sorted
  // path: a folder. All files and names of its file system, as they were when this was called, are durable.
  virtual Result<void> flush_all(std::string_view path) = 0;  // kFull: nothing failed, what it takes cannot be opened
  virtual Result<uint64_t> free_bytes(std::string_view path) = 0;  // of path's file system, for us

  // Unit of place and length of direct I/O on this disk's files: a power of two, at least 4096.
  virtual uint32_t block_bytes() = 0;
  virtual void set_durable_method(DurableMethod method) = 0;
  // Memory that many ops will use (registered with the kernel where possible). Lives as long as the Disk.
  virtual void register_memory(std::span<std::byte> memory) = 0;

  // Queues op. It stays the caller's and must live, unmoved, until poll() returned it.
  virtual void submit(DiskOp& op) = 0;
  // Gives queued ops to the kernel, then takes what has completed: fills done, returns how many.
  virtual size_t poll(std::span<DiskOp*> done) = 0;
  // The same two for FileOps. In order, also among each other: each is begun when the one before it is done.
  virtual void submit(FileOp& op) = 0;
  virtual size_t poll(std::span<FileOp*> done) = 0;
  // What was submitted may wait for the next poll(); this begins it now.
  virtual void begin_submitted() {}
  // Start-up and stop only: sleeps until an op of either kind has completed or timeout passed.
  virtual void wait(Nanos timeout) = 0;
  // While armed, each completion makes fd (an eventfd) readable. An lcore arms it, polls both halves, and sleeps if
  // they gave nothing.
  virtual void arm_wakeup(int fd, bool armed) = 0;

 protected:
  ~Disk() = default;
};

// Start-up and stop only: submits op and waits for it. A short move is an error.
Result<void> run_to_end(Disk& disk, DiskOp& op);
// The same for several at once; the first failure in their order.
Result<void> run_all_to_end(Disk& disk, std::span<DiskOp> ops);
// Submits op and waits for it; its error is in op too.
Result<void> run_to_end(Disk& disk, FileOp& op);
// Between two polls, by whoever waits for an op: sleeps, for timeout at most; or, if it spins, yields. Without FUA a
// durable write is finished by a kernel worker of some CPU, which a thread that never yields there keeps waiting for
// milliseconds.
void pause_between_polls(Disk& disk, bool spins, Nanos timeout);

}  // namespace penstock::storage
