// Disk over io_uring with direct I/O. The kernel ring belongs to the thread that uses it (SINGLE_ISSUER,
// DEFER_TASKRUN): start-up uses one, and the lcore's first use makes its own.
//
// Ring writes carry RWF_NOWAIT: where the file system would have to wait, it says EAGAIN instead of blocking the lcore
// or going to a kernel worker unseen; such a write is sent again without the flag, and its op says so (punted).
#pragma once

#include <liburing.h>

#include <thread>
#include <vector>

#include "storage/api/disk.h"
#include "storage/api/uring_disk.h"

namespace penstock::storage {

class UringDisk final : public Disk {
 public:
  ~UringDisk();

  // Whether this kernel lets us: an old kernel or a forbidden io_uring is an error with its errno.
  Result<void> probe();

  Result<FileHandle> open(std::string_view path, OpenMode mode) override;
  void close(FileHandle file) override;
  Result<uint64_t> size(FileHandle file) override;
  Result<void> resize(FileHandle file, uint64_t bytes) override;
  Result<void> allocate(FileHandle file, uint64_t bytes) override;
  Result<void> lock(FileHandle file) override;
  Result<void> make_dir(std::string_view path) override;
  Result<void> remove_dir(std::string_view path) override;
  Result<void> rename(std::string_view from, std::string_view to) override;
  Result<void> unlink(std::string_view path) override;
  Result<void> sync_dir(std::string_view path) override;
  Result<std::vector<std::string>> list(std::string_view path) override;
  Result<void> flush_all(std::string_view path) override;
  Result<uint64_t> free_bytes(std::string_view path) override;

  uint32_t block_bytes() override { return block_bytes_; }
  void set_durable_method(DurableMethod method) override { method_ = method; }
  void register_memory(std::span<std::byte> memory) override;
  void submit(DiskOp& op) override;
  size_t poll(std::span<DiskOp*> done) override;
  void submit(FileOp& op) override;
  size_t poll(std::span<FileOp*> done) override;
  void wait(Nanos timeout) override;
  void arm_wakeup(int fd, bool armed) override;

 private:
  Result<void> make_ring();
  void own_ring();  // makes this thread's ring if another thread's is there
  void register_buffers();
  io_uring_sqe* next_sqe();
  void give_to_kernel();
  void prepare(DiskOp& op, bool nowait);
  void prepare_transfer(DiskOp& op, bool nowait);
  bool settle(DiskOp& op, bool flush_part, int result);  // true when the op is complete
  int buffer_index(std::span<const std::byte> memory) const;

  io_uring ring_{};
  bool have_ring_ = false;
  std::thread::id ring_thread_;
  int wakeup_fd_ = -1;
  size_t in_flight_ = 0;
  DurableMethod method_ = DurableMethod::kLinkedFlush;
  uint32_t block_bytes_ = 4096;
  std::vector<FileOp*> files_done_;
  std::span<std::byte> registered_;
  bool buffers_registered_ = false;
  bool had_ring_ = false;
  bool submit_warned_ = false;
  bool warned_ = false;  // that the memory cannot be locked
};

}  // namespace penstock::storage
