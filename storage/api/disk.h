// The Disk seam: what storage asks of a drive and its file system. Real in storage/io/uring_disk.h; in tests/sim a disk
// that loses, tears, delays and reorders from a seed.
//
// Two halves. Files and folders (open, rename, ...) may block: only start-up and helper threads call them. Reads,
// writes and flushes never block: submit() takes a DiskOp that its owner keeps alive, poll() gives it back with its
// result. Durability: a kWrite is durable only after a later kFlush of its file completed; a kWriteDurable when it
// completes. A created, renamed or removed name is durable after sync_dir() of its folder.
#pragma once

#include <cstddef>
#include <cstdint>
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
  FileHandle file;
  uint64_t at = 0;              // byte place in the file, a multiple of block_bytes() on a direct file
  std::span<std::byte> memory;  // aligned to block_bytes() on a direct file; unused by kFlush
  int64_t result = 0;           // set by poll(): bytes moved, or -errno. A short move is reported, never hidden
  bool in_flight = false;       // Disk's: true from submit() to the poll() that returns this op
  bool punted = false;          // Disk's: this write was sent again without RWF_NOWAIT
  uint8_t parts_left = 0;       // Disk's: completions still due
};

struct OpenMode {
  bool create = false;     // make it if it does not exist; its name is durable after sync_dir()
  bool exclusive = false;  // with create: fail with kExists if it does
  bool direct = true;      // O_DIRECT; kUnsupported if the file system cannot
};

class Disk {
 public:
  virtual Result<FileHandle> open(std::string_view path, OpenMode mode) = 0;
  virtual void close(FileHandle file) = 0;
  virtual Result<uint64_t> size(FileHandle file) = 0;
  virtual Result<void> resize(FileHandle file, uint64_t bytes) = 0;
  // Advisory lock of the whole file until close() or the end of the process. kLocked if another process has it.
  virtual Result<void> lock(FileHandle file) = 0;
  virtual Result<void> make_dir(std::string_view path) = 0;  // fine if it exists
  virtual Result<void> rename(std::string_view from, std::string_view to) = 0;
  virtual Result<void> unlink(std::string_view path) = 0;
  virtual Result<void> sync_dir(std::string_view path) = 0;
  virtual Result<std::vector<std::string>> list(std::string_view path) = 0;  // names in it, sorted

  // Unit of place and length of direct I/O on this disk's files: a power of two, at least 4096.
  virtual uint32_t block_bytes() = 0;
  virtual void set_durable_method(DurableMethod method) = 0;
  // Memory that many ops will use (registered with the kernel where possible). Lives as long as the Disk.
  virtual void register_memory(std::span<std::byte> memory) = 0;

  // Queues op. It stays the caller's and must live, unmoved, until poll() returned it.
  virtual void submit(DiskOp& op) = 0;
  // Gives queued ops to the kernel, then takes what has completed: fills done, returns how many.
  virtual size_t poll(std::span<DiskOp*> done) = 0;
  // Start-up and stop only: sleeps until an op has completed or timeout passed.
  virtual void wait(Nanos timeout) = 0;
  // While armed, each completion makes fd (an eventfd) readable. An lcore arms it before it sleeps.
  virtual void arm_wakeup(int fd, bool armed) = 0;

 protected:
  ~Disk() = default;
};

// Start-up and stop only: submits op and waits for it. A short move is an error.
Result<void> run_to_end(Disk& disk, DiskOp& op);
// The same for several at once; the first failure in their order.
Result<void> run_all_to_end(Disk& disk, std::span<DiskOp> ops);

}  // namespace penstock::storage
