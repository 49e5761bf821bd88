// UringStream: a client's TCP connection as a Stream (dataplane/stream.h). Owned by UringSockets, used on its lcore.
//
// Receiving has two ways. Normally one multishot receive stays armed and the kernel fills posted buffers. A connection
// reads for itself, when a poll says that there is something, if no buffer may be posted, or if its requests come in
// pieces: then the bytes go straight behind the ones it has, and none is moved. It goes on so until its requests are
// small again. Where memory is short or reserved it takes never more than the request's bytes, so that a reservation of
// exactly what is missing suffices.
//
// Sending is a plain system call that takes what the kernel's buffer takes; a poll tells when there is room again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/buffer.h"
#include "base/units.h"
#include "dataplane/progress.h"
#include "dataplane/sockets/uring.h"
#include "dataplane/stream.h"

namespace penstock::dataplane {

class UringSockets;

// The numeric address of a socket's peer; empty if that is gone. No peer of IPv4 comes by a socket of IPv6
// (IPV6_V6ONLY). A system call.
std::string peer_address_of(int fd);

class UringStream {
 public:
  UringStream(UringSockets& sockets, uint32_t slot) : sockets_(sockets), slot_(slot) {}
  UringStream(const UringStream&) = delete;
  UringStream& operator=(const UringStream&) = delete;

  // ---- the Stream that the Kafka code sees
  BufferChain& received() { return chain_; }
  void consume(size_t n);
  BufferChain take(size_t n);
  void want(size_t n);
  void pause(bool on);
  size_t send(std::span<const std::span<const std::byte>> pieces);
  void close();

  std::string peer_address() const { return peer_address_of(fd_); }

  uint32_t slot() const { return slot_; }

 private:
  friend class UringSockets;

  // What stands armed in the ring to bring bytes.
  enum class Receive : uint8_t {
    kOff,
    kMultishot,
    kPolling,
    kCancelling,  // one of the two before, on its way to kOff
  };
  enum class Read : uint8_t { kNothing, kBytes, kEnd, kBroken };
  // When the multishot receive last brought bytes; kQuiet: none since, and it has not been looked at yet.
  enum class Heard : uint8_t { kNothing, kQuiet, kLastTick, kThisTick };

  bool open() const { return fd_ >= 0 && !closing_; }
  void start(int fd, uint16_t listener);
  void touch();
  void settle();
  Receive wanted_receive() const;
  size_t lacks() const { return want_ > chain_.size() ? want_ - chain_.size() : 0; }
  bool reads_exactly() const { return !ahead_ || starved_ || exact_; }
  size_t bytes_to_read() const;
  void arm(Receive receive);
  void cancel(SocketOp of);
  void cancel_receive();
  void on_cancelled(int result);
  Read look() const;
  void arm_anew();
  void land(Buffer buffer);
  Read read_directly();
  bool may_read_many() const;
  Read read_many();
  Read read_once();
  Read read_into(Buffer buffer, size_t n);
  std::optional<Buffer> take_buffer(bool& promised);
  void leave_large_buffer();
  void request_done(size_t n);
  void give_back_reservation();
  SocketTag tag(SocketOp op) const { return {op, slot_, generation_}; }

  UringSockets& sockets_;
  const uint32_t slot_;
  uint32_t generation_ = 0;
  uint32_t operations_ = 0;  // in the ring; the slot is free when none is left
  int fd_ = -1;
  uint16_t listener_ = 0;
  Receive receive_ = Receive::kOff;
  Receive armed_ = Receive::kOff;  // what kCancelling cancels
  Heard heard_ = Heard::kNothing;
  bool touched_ = false;        // settle() is due this turn
  bool starved_ = false;        // no buffer was posted when bytes came
  bool directly_ = false;       // reads for itself
  bool ahead_ = false;          // always: its requests come in pieces
  bool exact_ = false;          // no byte behind the request at the front: its memory is reserved, or the pool is short
  uint8_t small_in_row_ = 0;    // requests, while ahead_
  bool paused_ = false;         // by its owner
  bool waits_in_line_ = false;  // for its request's reservation
  bool watches_ = false;        // a kWritable poll is armed
  bool ended_ = false;          // nothing more will come
  bool closing_ = false;

  BufferChain chain_;
  bool holds_large_buffer_ = false;  // chain_ has memory of the pool
  size_t want_ = 0;                  // bytes of the request at the front, once known
  size_t promised_ = 0;              // reserved buffers it may still take
  size_t asked_ = 0;                 // buffers it waits in line for
  uint64_t ticket_ = 0;              // its request's place in the line, also while it is not there; 0: none
  Nanos waited_ = 0;                 // in the line, in all; 0 again once it has shown that its peer goes on

  Progress progress_;  // either way: the watch on stalled requests
};

static_assert(Stream<UringStream>);

}  // namespace penstock::dataplane
