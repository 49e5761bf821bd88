// Link: one connection to a broker as a queue of frames out and frames in, never blocking. The command-line client
// waits on one of them; the load generator polls many. A frame is i32 size and that many bytes
// (docs/internals/protocol.md). Bounds: at most frame_most bytes are taken for an answer; what is queued for sending is
// the caller's to bound.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "control/cli/transport.h"

namespace penstock::cli {

class Link {
 public:
  // peer names the other end in messages.
  Link(std::unique_ptr<Wire> wire, std::string peer, size_t frame_most);

  Wire& wire() { return *wire_; }
  // A socket's, for who waits with poll(2).
  int fd() const { return wire_->fd(); }
  const std::string& peer() const { return peer_; }

  // Queues one whole frame: head (its size first), body, tail. body stays the caller's and unchanged until it is sent.
  void queue(std::vector<std::byte> head, std::span<const std::byte> body = {}, std::vector<std::byte> tail = {});
  // Gives the wire what it takes. True when nothing is left. Throws ConnectionLost when the connection is gone.
  bool flush();
  // Whole frames that the wire has taken, since the beginning.
  uint64_t frames_sent() const { return frames_sent_; }

  // One read of what has arrived; false if nothing had. Throws ConnectionLost at the end of the stream, and CliError
  // for a frame that exceeds the bound.
  bool receive();
  // The next whole frame without its size; valid until the next receive().
  std::optional<std::span<const std::byte>> next_frame();

 private:
  struct Outgoing {
    std::vector<std::byte> head;
    std::span<const std::byte> body;
    std::vector<std::byte> tail;
    size_t size() const { return head.size() + body.size() + tail.size(); }
  };

  std::optional<size_t> frame_size() const;
  void make_room();
  void sent(size_t n);

  std::unique_ptr<Wire> wire_;
  std::string peer_;
  size_t frame_most_;

  std::deque<Outgoing> out_;
  size_t out_at_ = 0;  // bytes of out_.front() that are sent
  uint64_t frames_sent_ = 0;

  std::unique_ptr<std::byte[]> in_;
  size_t in_capacity_ = 0;
  size_t in_begin_ = 0;
  size_t in_end_ = 0;
};

}  // namespace penstock::cli
