// The thread that does FileOps, one after the other. A request goes to it by value through one ring and comes back
// through another, so the thread never touches its owner's memory: an owner that is gone before its op is done (a
// broker that ends on a poisoned ring) leaves nothing dangling.
#pragma once

#include <thread>

#include "base/doorbell.h"
#include "base/ring.h"
#include "storage/io/posix_files.h"
#include "storage/io/wake_pipe.h"

namespace penstock::storage {

class FileThread {
 public:
  FileThread();
  // Does what was submitted, ends, and closes the files that it opened and nobody fetched.
  ~FileThread();
  FileThread(const FileThread&) = delete;
  FileThread& operator=(const FileThread&) = delete;

  // All of these by the thread that owns the Disk. At most Disk::kFileOpsInFlightMax are out at once.
  void submit(FileOp& op);
  // Fills done in the order of submission; files learns of a larger unit of direct I/O.
  size_t poll(std::span<FileOp*> done, PosixFiles& files);
  int done_fd() const { return done_bell_.fd(); }  // readable once an op was done
  void clear_done() const { done_bell_.clear(); }

 private:
  struct Job {
    FileOp* owner = nullptr;  // null: the thread ends
    FileOp work;
    uint32_t block_bytes = 0;
  };
  void run();

  SpscRing<Job> asked_{2 * Disk::kFileOpsInFlightMax};  // the word to end finds room behind a full load
  SpscRing<Job> done_{Disk::kFileOpsInFlightMax};
  Doorbell asked_bell_;
  WakePipe done_bell_;
  std::thread thread_;
};

}  // namespace penstock::storage
