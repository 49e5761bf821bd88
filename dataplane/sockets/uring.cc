// The only place of the dataplane that speaks to io_uring: set-up with its probes, submission, completion.
#include "dataplane/sockets/uring.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "base/assert.h"
#include "base/locked_memory.h"

namespace penstock::dataplane {
namespace {

constexpr unsigned kSubmissions = 1024;
constexpr unsigned kCompletions =
    8192;  // a turn's worth; beyond it the kernel keeps a list of its own, nothing is lost
constexpr int kBufferGroup = 1;

bool kernel_is_at_least(int major, int minor) {
  utsname name{};
  uname(&name);
  int have_major = 0;
  int have_minor = 0;
  if (std::sscanf(name.release, "%d.%d", &have_major, &have_minor) != 2) return false;
  return have_major != major ? have_major > major : have_minor >= minor;
}

std::string refusal(int error) {
  if (error == ENOSYS || error == EPERM) {
    return "io_uring is switched off here (kernel.io_uring_disabled, or a seccomp filter of the container): allow it";
  }
  if (error == ENOMEM) return "io_uring: " + std::string(hint_for_queue_memory());
  return std::string("io_uring cannot be set up: ") + std::strerror(error);
}

// Best first. Without the last row's flags the kernel may interrupt the lcore to finish work; all else is equal.
int init_ring(io_uring& ring) {
  constexpr unsigned kBase = IORING_SETUP_CQSIZE | IORING_SETUP_R_DISABLED;
  constexpr unsigned kSingle = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
  int result = 0;
  for (const unsigned flags : {kBase | kSingle, kBase | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, kBase}) {
    io_uring_params params{};
    params.flags = flags;
    params.cq_entries = kCompletions;
    result = io_uring_queue_init_params(kSubmissions, &ring, &params);
    if (result != -EINVAL) return result;
  }
  return result;
}

}  // namespace

std::expected<std::unique_ptr<Uring>, std::string> Uring::make(ReceivePool& pool) {
  if (!kernel_is_at_least(6, 1)) {
    return std::unexpected("this kernel is too old: Linux 6.1 or newer is needed (multishot receive of io_uring)");
  }
  std::unique_ptr<Uring> uring(new Uring(pool));
  if (const int result = init_ring(uring->ring_); result < 0) {
    uring->ring_.ring_fd = -1;
    return std::unexpected(refusal(-result));
  }
  void* at =
      mmap(nullptr, kPostedMax * sizeof(io_uring_buf), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(at != MAP_FAILED);
  uring->buffer_ring_ = static_cast<io_uring_buf_ring*>(at);
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<uint64_t>(at);
  registration.ring_entries = kPostedMax;
  registration.bgid = kBufferGroup;
  if (const int result = io_uring_register_buf_ring(&uring->ring_, &registration, 0); result < 0) {
    return std::unexpected(refusal(-result));
  }
  io_uring_buf_ring_init(uring->buffer_ring_);
  for (size_t id = kPostedMax; id-- > 0;) uring->free_ids_.push_back(static_cast<uint16_t>(id));
  return uring;
}

Uring::~Uring() {
  if (ring_.ring_fd >= 0) io_uring_queue_exit(&ring_);
  if (buffer_ring_ != nullptr) munmap(buffer_ring_, kPostedMax * sizeof(io_uring_buf));
  for (const auto& memory : buffers_) {
    if (!memory.empty()) pool_.release(memory);
  }
}

// By number: liburing 2.3 declares io_uring_enable_rings() and does not export it.
void Uring::start() {
  CHECK(io_uring_register(static_cast<unsigned>(ring_.ring_fd), IORING_REGISTER_ENABLE_RINGS, nullptr, 0) == 0);
}

io_uring_sqe& Uring::sqe(SocketTag tag) {
  io_uring_sqe* entry = io_uring_get_sqe(&ring_);
  while (entry == nullptr) {  // full: the kernel takes all of them, it never waits here
    io_uring_submit_and_get_events(&ring_);
    entry = io_uring_get_sqe(&ring_);
  }
  std::memset(entry, 0, sizeof *entry);
  entry->user_data = tag.packed();
  return *entry;
}

// One at a time: a multishot accept takes all that knock before the lcore can refuse one, and with them descriptors
// that the log needs.
void Uring::accept(int fd, SocketTag tag) {
  io_uring_sqe& entry = sqe(tag);
  io_uring_prep_accept(&entry, fd, nullptr, nullptr, SOCK_CLOEXEC);
  entry.user_data = tag.packed();
}

void Uring::receive(int fd, SocketTag tag) {
  io_uring_sqe& entry = sqe(tag);
  io_uring_prep_recv_multishot(&entry, fd, nullptr, 0, 0);
  entry.flags |= IOSQE_BUFFER_SELECT;
  entry.buf_group = kBufferGroup;
  entry.user_data = tag.packed();
}

void Uring::poll(int fd, short events, bool multishot, SocketTag tag) {
  io_uring_sqe& entry = sqe(tag);
  if (multishot) {
    io_uring_prep_poll_multishot(&entry, fd, static_cast<unsigned>(events));
  } else {
    io_uring_prep_poll_add(&entry, fd, static_cast<unsigned>(events));
  }
  entry.user_data = tag.packed();
}

void Uring::cancel(SocketTag of, SocketTag tag) {
  io_uring_sqe& entry = sqe(tag);
  io_uring_prep_cancel64(&entry, of.packed(), 0);
  entry.user_data = tag.packed();
}

void Uring::post_buffers() {
  int count = 0;
  const size_t posted_max = std::min(kPostedMax, pool_.post_max());
  for (; posted_ < posted_max; ++posted_) {
    const auto memory = pool_.take_landing();
    if (memory.empty()) break;
    const uint16_t id = free_ids_.back();
    free_ids_.pop_back();
    buffers_[id] = memory;
    io_uring_buf_ring_add(buffer_ring_, memory.data(), static_cast<unsigned>(memory.size()), id,
                          io_uring_buf_ring_mask(kPostedMax), count++);
  }
  if (count > 0) io_uring_buf_ring_advance(buffer_ring_, count);
}

Buffer Uring::take_buffer(uint16_t id, size_t used) {
  CHECK(id < kPostedMax && !buffers_[id].empty());
  const auto memory = buffers_[id];
  buffers_[id] = {};
  free_ids_.push_back(id);
  --posted_;
  return {pool_, memory, used};
}

void Uring::enter() {
  if (io_uring_sq_ready(&ring_) > 0) {
    io_uring_submit_and_get_events(&ring_);
  } else if ((*ring_.sq.kflags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0) {
    io_uring_get_events(&ring_);
  }
}

void Uring::wait(Nanos timeout) {
  __kernel_timespec limit{.tv_sec = timeout / kSecond, .tv_nsec = timeout % kSecond};
  io_uring_cqe* entry = nullptr;
  io_uring_submit_and_wait_timeout(&ring_, &entry, 1, &limit, nullptr);
}

std::optional<SocketCompletion> Uring::next() {
  io_uring_cqe* entry = nullptr;
  unsigned head = 0;
  unsigned found = 0;
  io_uring_for_each_cqe(&ring_, head, entry) {
    ++found;
    break;
  }
  if (found == 0) return std::nullopt;
  SocketCompletion completion{.tag = SocketTag::unpacked(entry->user_data),
                              .result = entry->res,
                              .last = (entry->flags & IORING_CQE_F_MORE) == 0,
                              .buffer_id = std::nullopt};
  if ((entry->flags & IORING_CQE_F_BUFFER) != 0) {
    completion.buffer_id = static_cast<uint16_t>(entry->flags >> IORING_CQE_BUFFER_SHIFT);
  }
  io_uring_cq_advance(&ring_, 1);
  return completion;
}

}  // namespace penstock::dataplane
