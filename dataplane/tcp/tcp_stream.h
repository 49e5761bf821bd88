// TcpStream: a connection of our own TCP as a Stream (dataplane/stream.h). Owned by its Stack, used on its lcore; of
// use from its kAccepted or kConnected event until close() or abort().
//
// The window opens only by consume(): who is slow to take bytes slows down exactly the peers that send them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/buffer.h"
#include "dataplane/net/ip.h"
#include "dataplane/stream.h"

namespace penstock::dataplane::tcp {

struct Core;
struct Flow;
struct Tcb;

class TcpStream {
 public:
  TcpStream(Core& core, Tcb& tcb) : core_(core), tcb_(tcb) {}
  TcpStream(const TcpStream&) = delete;
  TcpStream& operator=(const TcpStream&) = delete;

  // ---- the Stream that the Kafka code sees
  BufferChain& received();
  void consume(size_t n);
  BufferChain take(size_t n);
  void want(size_t n);
  void pause(bool on);
  size_t send(std::span<const std::span<const std::byte>> pieces) { return send(pieces, false); }
  // Everything that was taken is sent, then FIN. What comes behind that is thrown away, until the peer has acknowledged
  // everything, for two seconds at most; then it is answered with a reset. Idempotent.
  void close();

  // ---- and more
  // more: a last part of a segment may wait for what follows (at most 200 ms).
  size_t send(std::span<const std::span<const std::byte>> pieces, bool more);
  // The zero-copy form (dataplane/stream.h): pieces are taken whole, from the front; returns how many. Each one that is
  // taken is given back exactly once, when its bytes are acknowledged and the device has sent them, or when they were
  // copied instead (Stack::copy_out). One may be larger than room_to_share(), unless that is 0.
  size_t send_shared(std::span<const SharedPiece> pieces);
  // The device refers to such memory, and would not copy it anyway.
  bool shares(std::span<const std::byte> memory) const;
  // Bytes that are taken of those that are offered now.
  size_t room_to_share() const;
  // Half a close: no more is sent, receiving goes on (kEnded tells when the peer has closed too).
  void shutdown_send();
  // A reset, at once; what was not sent is lost.
  void abort();

  const Flow& flow() const;
  std::string peer_address() const;  // numeric
  uint32_t slot() const;             // unique among the streams of a stack
  size_t unacknowledged() const;     // bytes taken that the peer has not acknowledged

 private:
  void consumed(size_t n);
  Core& core_;
  Tcb& tcb_;
};

}  // namespace penstock::dataplane::tcp
