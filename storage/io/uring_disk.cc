// Ops in, completions out. Nothing here blocks but wait() and the hand-over to another thread.
#include "storage/io/uring_disk.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "base/assert.h"
#include "base/locked_memory.h"
#include "base/log.h"

namespace penstock::storage {
namespace {

constexpr size_t kPiecesMax = 1024;  // of registered memory: each at most 1 GiB by the kernel's rule
constexpr uint64_t kFlushTag = 1;    // low bit of user_data: the fdatasync behind a write
constexpr int kRwfNowait = RWF_NOWAIT;
constexpr int kRwfDsync = RWF_DSYNC;
constexpr uint64_t kFilesTag = 2;  // all of user_data: FileOps were done. No op is there
static_assert(alignof(DiskOp) > kFlushTag);

// A ring that moves to another thread is made again there. The kernel gives the old one's locked memory back some time
// after it is closed, and under a low limit both together do not fit.
constexpr int kReleaseWaitsMax = 2000;  // of 1 ms
int try_until_released(const auto& attempt) {
  int rc = attempt();
  for (int waits = 0; rc == -ENOMEM && waits < kReleaseWaitsMax; ++waits) {
    poll(nullptr, 0, 1);
    rc = attempt();
  }
  return rc;
}

}  // namespace

UringDisk::~UringDisk() { leave_ring(); }

Result<void> UringDisk::probe() { return make_ring(); }

Result<void> UringDisk::make_ring() {
  CHECK(!have_ring_);
  io_uring_params params{};
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
  const auto make = [&] { return io_uring_queue_init_params(queue_entries_, &ring_, &params); };
  const int rc = std::exchange(had_ring_, true) ? try_until_released(make) : make();
  if (rc < 0) return fail(rc == -EPERM || rc == -EACCES ? Errc::kNoPermission : Errc::kUnsupported, -rc);
  have_ring_ = true;
  // A killed process's writes may land after it is gone. The kernel lets go of these files with the ring, when all of
  // them are done: so whoever gets the lock after us writes after us.
  const auto& locked = PosixFiles::locked_files();
  holds_locks_ =
      !locked.empty() && io_uring_register_files(&ring_, locked.data(), static_cast<unsigned>(locked.size())) == 0;
  ring_thread_ = std::this_thread::get_id();
  if (is_small()) register_piece();
  return {};
}

// The kernel closes a ring some time after its process did, and locked files with it. What is handed back first is free
// when the process ends: whoever starts next has nothing to wait for.
void UringDisk::leave_ring() {
  if (!have_ring_) return;
  if (holds_locks_) (void)io_uring_unregister_files(&ring_);
  io_uring_queue_exit(&ring_);
  have_ring_ = holds_locks_ = has_table_ = false;
  locked_ = 0;
}

void UringDisk::own_ring() {
  if (have_ring_ && ring_thread_ == std::this_thread::get_id()) [[likely]]
    return;
  CHECK(in_flight_ + files_in_flight_ == 0);  // whoever hands a Disk over has waited for its ops
  moved_ = have_ring_;
  leave_ring();
  wakeup_fd_ = -1;
  watches_files_ = false;
  CHECK(make_ring());
}

// A memory of one piece is registered at once. A larger one is, piece by piece as its pages come, by the ring of the
// thread that takes over: the ring of the start is gone soon. Until then its ops go without.
void UringDisk::register_memory(std::span<std::byte> memory) {
  CHECK(registered_.empty());
  piece_bytes_ = align_up(std::max(memory.size() / kPiecesMax, kPieceBytesMin), kMiB);
  registered_ = memory;
  if (!is_small()) {
    // All of it or nothing: half of it would only take the limit away from the sockets. A lock on what has no page yet
    // asks the limit, and costs nothing.
    if (mlock2(memory.data(), memory.size(), MLOCK_ONFAULT) == 0)
      (void)munlock(memory.data(), memory.size());
    else
      give_up_locking(errno);
    prefaulter_ = std::make_unique<Prefaulter>(memory, piece_bytes_);
  }
  own_ring();
  if (is_small() && locked_ == 0) register_piece();
}

bool UringDisk::is_small() const { return !registered_.empty() && registered_.size() <= piece_bytes_; }

void UringDisk::register_piece() {
  const std::span<std::byte> piece = registered_.subspan(locked_, std::min(piece_bytes_, registered_.size() - locked_));
  if (prefaulter_ && prefaulter_->ready() < locked_ + piece.size()) return;
  const auto lock = [&] {
    const iovec what{piece.data(), piece.size()};
    const auto pieces = static_cast<unsigned>((registered_.size() + piece_bytes_ - 1) / piece_bytes_);
    if (locked_ == 0 && !has_table_) {
      if (const int rc = io_uring_register_buffers_sparse(&ring_, pieces); rc < 0) return rc;
      has_table_ = true;
    }
    const __u64 no_tag = 0;
    return io_uring_register_buffers_update_tag(&ring_, static_cast<unsigned>(locked_ / piece_bytes_), &what, &no_tag,
                                                1);
  };
  const int rc = locked_ == 0 && had_locked_ ? try_until_released(lock) : lock();
  if (rc < 0) return give_up_locking(-rc);
  had_locked_ = true;
  locked_ += piece.size();
}

void UringDisk::give_up_locking(int error) {
  if (std::exchange(gave_up_locking_, true)) return;
  LOG_WARN(
      "the ring's memory cannot be locked for the drive (%s): going on without; raise the locked-memory limit "
      "(ulimit -l, LimitMEMLOCK=) to %zu MiB to save the CPU some work",
      std::strerror(error), registered_.size() / kMiB);
}

int UringDisk::buffer_index(std::span<const std::byte> memory) const {
  if (memory.data() < registered_.data() || memory.data() + memory.size() > registered_.data() + locked_) return -1;
  const auto at = static_cast<size_t>(memory.data() - registered_.data());
  const size_t index = at / piece_bytes_;
  return (at + memory.size() - 1) / piece_bytes_ == index ? static_cast<int>(index) : -1;
}

io_uring_sqe* UringDisk::next_sqe() {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  if (sqe == nullptr) {
    io_uring_submit(&ring_);
    sqe = io_uring_get_sqe(&ring_);
  }
  CHECK(sqe != nullptr);
  return sqe;
}

void UringDisk::submit(DiskOp& op) {
  own_ring();
  CHECK(!op.in_flight);
  CHECK(in_flight_ < kOpsInFlightMax);
  op.in_flight = true;
  op.punted = false;
  in_flight_ += 1;
  prepare(op, !op.may_block);
}

void UringDisk::prepare(DiskOp& op, bool nowait) {
  const auto tag = reinterpret_cast<uint64_t>(&op);
  op.parts_left = 1;
  op.result = 0;
  if (op.kind == DiskOp::Kind::kFlush) {
    io_uring_sqe* sqe = next_sqe();
    io_uring_prep_fsync(sqe, op.file.value(), IORING_FSYNC_DATASYNC);
    io_uring_sqe_set_data64(sqe, tag | kFlushTag);
    return;
  }
  const bool linked = op.kind == DiskOp::Kind::kWriteDurable && method_ == DurableMethod::kLinkedFlush;
  // Write and flush go into one submission, or the link would end with the first.
  if (linked && io_uring_sq_space_left(&ring_) < 2) io_uring_submit(&ring_);
  prepare_transfer(op, nowait);
  if (!linked) return;
  op.parts_left = 2;
  io_uring_sqe* flush = next_sqe();
  io_uring_prep_fsync(flush, op.file.value(), IORING_FSYNC_DATASYNC);
  io_uring_sqe_set_data64(flush, tag | kFlushTag);
}

void UringDisk::prepare_transfer(DiskOp& op, bool nowait) {
  io_uring_sqe* sqe = next_sqe();
  const int fd = op.file.value();
  const int index = buffer_index(op.memory);
  const auto bytes = static_cast<unsigned>(op.memory.size());
  if (op.kind == DiskOp::Kind::kRead) {
    if (index >= 0)
      io_uring_prep_read_fixed(sqe, fd, op.memory.data(), bytes, op.at, index);
    else
      io_uring_prep_read(sqe, fd, op.memory.data(), bytes, op.at);
  } else {
    if (index >= 0)
      io_uring_prep_write_fixed(sqe, fd, op.memory.data(), bytes, op.at, index);
    else
      io_uring_prep_write(sqe, fd, op.memory.data(), bytes, op.at);
    const bool durable = op.kind == DiskOp::Kind::kWriteDurable;
    // Appending never runs without a worker: a write that may block goes there without the attempt.
    if (op.may_block) sqe->flags |= IOSQE_ASYNC;
    sqe->rw_flags = (nowait ? kRwfNowait : 0) | (durable && method_ == DurableMethod::kDsync ? kRwfDsync : 0);
    if (durable && method_ == DurableMethod::kLinkedFlush) sqe->flags |= IOSQE_IO_LINK;
  }
  io_uring_sqe_set_data64(sqe, reinterpret_cast<uint64_t>(&op));
}

// What the kernel does not take now (it may be short of memory) stays queued and is offered again by the next poll.
void UringDisk::give_to_kernel() {
  if (io_uring_sq_ready(&ring_) == 0) return;
  const int rc = io_uring_submit(&ring_);
  if (rc < 0 && !std::exchange(submit_warned_, true))
    LOG_WARN("the kernel does not take the drive's work now (%s): it is offered again", std::strerror(-rc));
}

size_t UringDisk::poll(std::span<DiskOp*> done) {
  own_ring();
  if (moved_ && locked_ < registered_.size() && !gave_up_locking_) [[unlikely]]
    register_piece();
  size_t count = 0;
  give_to_kernel();
  if (in_flight_ + files_in_flight_ == 0) return 0;
  std::array<io_uring_cqe*, 16> cqes;
  while (count < done.size()) {
    const unsigned most = static_cast<unsigned>(std::min(cqes.size(), done.size() - count));
    const unsigned n = io_uring_peek_batch_cqe(&ring_, cqes.data(), most);
    if (n == 0) break;
    for (unsigned i = 0; i < n; ++i) {
      const uint64_t tag = io_uring_cqe_get_data64(cqes[i]);
      if (tag == kFilesTag) {
        take_files_event(*cqes[i]);
        continue;
      }
      auto& op = *reinterpret_cast<DiskOp*>(tag & ~kFlushTag);
      if (settle(op, (tag & kFlushTag) != 0, cqes[i]->res)) done[count++] = &op;
    }
    io_uring_cq_advance(&ring_, n);
  }
  give_to_kernel();
  return count;
}

bool UringDisk::settle(DiskOp& op, bool flush_part, int result) {
  CHECK(op.in_flight && op.parts_left > 0);
  op.parts_left -= 1;
  if (!flush_part) {
    op.result = result;
  } else if (result < 0 && op.result >= 0 && result != -ECANCELED) {
    op.result = result;  // written, but not durable
  } else if (result == -ECANCELED && op.result == static_cast<int64_t>(op.memory.size())) {
    op.result = -EIO;  // the flush never ran: not durable either
  }
  if (op.parts_left > 0) return false;
  if (op.result == -EAGAIN && !op.punted && op.kind != DiskOp::Kind::kRead) {
    op.punted = true;
    prepare(op, false);
    return false;
  }
  op.in_flight = false;
  in_flight_ -= 1;
  return true;
}

// ---- FileOps

void UringDisk::submit(FileOp& op) {
  own_ring();
  CHECK(!op.in_flight);
  CHECK(files_in_flight_ < kFileOpsInFlightMax);
  if (!file_thread_) file_thread_ = std::make_unique<FileThread>();
  if (files_in_flight_ == 0) drop_files_events();
  if (!watches_files_) watch_files();
  files_in_flight_ += 1;
  file_thread_->submit(op);
}

size_t UringDisk::poll(std::span<FileOp*> done) {
  if (files_in_flight_ == 0) return 0;
  const size_t count = file_thread_->poll(done, files_);
  for (FileOp* op : done.first(count)) op->in_flight = false;
  files_in_flight_ -= count;
  return count;
}

// What is done on the other thread becomes an event of this ring, so that one sleep waits for both.
void UringDisk::watch_files() {
  io_uring_sqe* sqe = next_sqe();
  io_uring_prep_poll_multishot(sqe, file_thread_->done_fd(), POLLIN);
  io_uring_sqe_set_data64(sqe, kFilesTag);
  watches_files_ = true;
}

void UringDisk::take_files_event(const io_uring_cqe& cqe) {
  file_thread_->clear_done();
  if ((cqe.flags & IORING_CQE_F_MORE) != 0) return;
  watches_files_ = false;
  if (files_in_flight_ > 0) watch_files();
}

// An event that nobody has taken would hide the next one.
void UringDisk::drop_files_events() {
  io_uring_cqe* cqe = nullptr;
  while (io_uring_peek_cqe(&ring_, &cqe) == 0 && io_uring_cqe_get_data64(cqe) == kFilesTag) {
    take_files_event(*cqe);
    io_uring_cqe_seen(&ring_, cqe);
  }
}

// ---- sleeping

void UringDisk::wait(Nanos timeout) {
  own_ring();
  io_uring_cqe* cqe = nullptr;
  __kernel_timespec ts{.tv_sec = timeout / kSecond, .tv_nsec = timeout % kSecond};
  io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, &ts, nullptr);
  drop_files_events();  // each ends one sleep
}

void UringDisk::arm_wakeup(int fd, bool armed) {
  own_ring();
  if (wakeup_fd_ != fd) {
    CHECK(wakeup_fd_ == -1);
    CHECK(io_uring_register_eventfd(&ring_, fd) == 0);
    wakeup_fd_ = fd;
  }
  io_uring_cq_eventfd_toggle(&ring_, armed);
}

void DiskDeleter::operator()(Disk* disk) const { delete static_cast<UringDisk*>(disk); }

std::expected<DiskPtr, OpenFailure> open_uring_disk(size_t ops_at_once) {
  auto disk = std::make_unique<UringDisk>(ops_at_once);
  if (auto ready = disk->probe(); !ready) {
    const int error = ready.error().os_errno;
    std::string what = std::string("io_uring is not available (") + std::strerror(error) + "): ";
    if (ready.error().code == Errc::kNoPermission) {
      what += "allow it: sysctl kernel.io_uring_disabled=0, and a container profile that permits io_uring";
    } else if (error == ENOMEM) {
      what += hint_for_queue_memory();
    } else {
      utsname kernel{};
      ::uname(&kernel);
      what += std::string("Linux 6.1 or newer is needed, this is ") + kernel.release;
    }
    return std::unexpected(OpenFailure{ready.error(), what});
  }
  return DiskPtr(disk.release());
}

}  // namespace penstock::storage
