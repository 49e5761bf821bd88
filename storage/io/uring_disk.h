// Disk over io_uring with direct I/O. The kernel ring belongs to the thread that uses it (SINGLE_ISSUER,
// DEFER_TASKRUN): start-up uses one, and the lcore's first use makes its own.
//
// Ring writes carry RWF_NOWAIT: where the file system would have to wait, it says EAGAIN instead of blocking the lcore
// or going to a kernel worker unseen; such a write is sent again without the flag, and its op says so (punted). A write
// that may block goes to a kernel worker at once. FileOps have a thread (storage/io/file_thread.h).
#pragma once

#include <liburing.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/units.h"
#include "storage/api/disk.h"
#include "storage/api/uring_disk.h"
#include "storage/io/file_thread.h"
#include "storage/io/posix_files.h"
#include "storage/io/prefaulter.h"

namespace penstock::storage {

class UringDisk final : public Disk {
 public:
  // Of registered memory; what is not larger is one piece.
  static constexpr size_t kPieceBytesMin = 8 * kMiB;

  // A durable write may take two entries.
  explicit UringDisk(size_t ops_at_once = kOpsInFlightMax) : queue_entries_(static_cast<unsigned>(2 * ops_at_once)) {}
  ~UringDisk();

  // Whether this kernel lets us: an old kernel or a forbidden io_uring is an error with its errno.
  Result<void> probe();

  Result<FileHandle> open(std::string_view path, OpenMode mode) override { return files_.open(path, mode); }
  void close(FileHandle file) override { files_.close(file); }
  Result<uint64_t> size(FileHandle file) override { return files_.size(file); }
  Result<void> resize(FileHandle file, uint64_t bytes) override { return files_.resize(file, bytes); }
  Result<void> allocate(FileHandle file, uint64_t bytes) override { return files_.allocate(file, bytes); }
  Result<void> lock(FileHandle file) override { return files_.lock(file); }
  Result<void> make_dir(std::string_view path) override { return files_.make_dir(path); }
  Result<void> remove_dir(std::string_view path) override { return files_.remove_dir(path); }
  Result<void> rename(std::string_view from, std::string_view to) override { return files_.rename(from, to); }
  Result<void> unlink(std::string_view path) override { return files_.unlink(path); }
  Result<void> sync_dir(std::string_view path) override { return files_.sync_dir(path); }
  Result<std::vector<std::string>> list(std::string_view path) override { return files_.list(path); }
  Result<void> flush_all(std::string_view path) override { return files_.flush_all(path); }
  Result<uint64_t> free_bytes(std::string_view path) override { return files_.free_bytes(path); }

  uint32_t block_bytes() override { return files_.block_bytes(); }
  void set_durable_method(DurableMethod method) override { method_ = method; }
  void register_memory(std::span<std::byte> memory) override;
  void submit(DiskOp& op) override;
  size_t poll(std::span<DiskOp*> done) override;
  void submit(FileOp& op) override;
  size_t poll(std::span<FileOp*> done) override;
  void begin_submitted() override { give_to_kernel(); }
  void wait(Nanos timeout) override;
  void arm_wakeup(int fd, bool armed) override;
  // Of the memory that was registered, from the front on: what the kernel holds for this thread's ring.
  size_t locked_bytes() const { return locked_; }

 private:
  Result<void> make_ring();
  void leave_ring();
  void own_ring();  // makes this thread's ring if another thread's is there
  bool is_small() const;
  void register_piece();
  void give_up_locking(int error);
  io_uring_sqe* next_sqe();
  void give_to_kernel();
  void prepare(DiskOp& op, bool nowait);
  void prepare_transfer(DiskOp& op, bool nowait);
  bool settle(DiskOp& op, bool flush_part, int result);  // true when the op is complete
  void watch_files();
  void take_files_event(const io_uring_cqe& cqe);
  void drop_files_events();
  int buffer_index(std::span<const std::byte> memory) const;

  const unsigned queue_entries_;
  io_uring ring_{};
  bool have_ring_ = false;
  bool holds_locks_ = false;  // a data folder's, until its writes have landed
  std::thread::id ring_thread_;
  int wakeup_fd_ = -1;
  size_t in_flight_ = 0;
  size_t files_in_flight_ = 0;
  bool watches_files_ = false;  // this ring tells when FileOps were done
  PosixFiles files_;
  std::unique_ptr<FileThread> file_thread_;  // from the first FileOp on
  DurableMethod method_ = DurableMethod::kLinkedFlush;
  std::span<std::byte> registered_;
  std::unique_ptr<Prefaulter> prefaulter_;  // of a large one
  size_t piece_bytes_ = 0;
  size_t locked_ = 0;
  bool has_table_ = false;  // of registered pieces, in this ring
  bool gave_up_locking_ = false;
  bool had_locked_ = false;
  bool had_ring_ = false;
  bool moved_ = false;  // another thread had a ring before
  bool submit_warned_ = false;
};

}  // namespace penstock::storage
