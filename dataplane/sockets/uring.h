// Uring: the sockets' io_uring and the ring of buffers that the kernel fills. Made on any thread; start() binds it to
// the lcore. Each operation carries a Tag that comes back with its completion.
#pragma once

#include <liburing.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/units.h"
#include "dataplane/sockets/receive_pool.h"

namespace penstock::dataplane {

enum class SocketOp : uint8_t {
  kAccept,    // of one connection; slot is the listener
  kReceive,   // multishot, into posted buffers
  kReadable,  // one poll for input: the connection reads for itself
  kWritable,  // one poll for room to send
  kCancel,    // of one of the above; its own outcome is of no interest
  kDoorbell,  // multishot poll of the lcore's doorbell
};

// What an operation is for. A slot's generation changes when its connection is gone, and a slot is used again only
// after all its operations ended: no completion reaches a stranger.
struct SocketTag {
  SocketOp op;
  uint32_t slot;        // 24 bits
  uint32_t generation;  // 32 bits

  uint64_t packed() const {
    return static_cast<uint64_t>(op) << 56 | static_cast<uint64_t>(slot & 0xff'ffff) << 32 | generation;
  }
  static SocketTag unpacked(uint64_t data) {
    return {static_cast<SocketOp>(data >> 56), static_cast<uint32_t>(data >> 32) & 0xff'ffff,
            static_cast<uint32_t>(data)};
  }
};

struct SocketCompletion {
  SocketTag tag;
  int32_t result = 0;                 // bytes, events or a descriptor; -errno
  bool last = false;                  // the operation has ended
  std::optional<uint16_t> buffer_id;  // kReceive: which posted buffer holds the bytes
};

class Uring {
 public:
  static constexpr size_t kPostedMax = 64;  // 4 MiB: what a burst of arrivals may fill before the lcore looks

  // The failure is one line for the operator.
  static std::expected<std::unique_ptr<Uring>, std::string> make(ReceivePool& pool);
  ~Uring();
  Uring(const Uring&) = delete;
  Uring& operator=(const Uring&) = delete;

  // The calling thread is the one that submits and waits from now on.
  void start();

  void accept(int fd, SocketTag tag);
  void receive(int fd, SocketTag tag);
  void poll(int fd, short events, bool multishot, SocketTag tag);
  void cancel(SocketTag of, SocketTag tag);

  // Posts buffers up to kPostedMax, or a quarter of the landing share, as far as the pool allows.
  void post_buffers();
  size_t posted() const { return posted_; }
  // The buffer of a completion, filled with used bytes.
  Buffer take_buffer(uint16_t id, size_t used);

  // Gives the kernel what is queued and lets it finish what is ready; does not wait.
  void enter();
  // The same, and sleeps until there is a completion or timeout passed.
  void wait(Nanos timeout);
  // The oldest completion not yet taken.
  std::optional<SocketCompletion> next();

 private:
  explicit Uring(ReceivePool& pool) : pool_(pool) {}
  io_uring_sqe& sqe(SocketTag tag);

  ReceivePool& pool_;
  io_uring ring_{};
  io_uring_buf_ring* buffer_ring_ = nullptr;
  std::array<std::span<std::byte>, kPostedMax> buffers_{};  // posted, by buffer id
  std::vector<uint16_t> free_ids_;
  size_t posted_ = 0;
};

}  // namespace penstock::dataplane
