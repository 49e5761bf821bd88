// Stream: one connection's byte stream as the Kafka code sees it, whichever transport carries it. A concept, not an
// interface: kafka/connection.h is a template over it, instantiated for kernel sockets, our own TCP, and SimStream.
//
// Received bytes arrive as a chain of Buffers and are given back with consume(), which is what reopens the window. Once
// the owner knows how long the request at the front is it says so with want(): the transport then reserves the memory
// that is missing, whole, and brings no byte more before it has it; the next consume() ends that reservation.
// What is sent is lent for the call: send() takes as much as the transport takes now and returns how many bytes that
// was; nothing of the pieces is kept afterwards. After a short send the owner is told when there is room again.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/buffer.h"
#include "dataplane/net/tx.h"

namespace penstock::dataplane {

template <class S>
concept Stream = requires(S s, size_t n, bool on, std::span<const std::span<const std::byte>> pieces) {
  { s.received() } -> std::same_as<BufferChain&>;  // bytes not yet consumed
  { s.consume(n) };                                // the first n of them are done with
  { s.take(n) } -> std::same_as<BufferChain>;      // the same, and they are the caller's from now on
  { s.want(n) };                                   // the front's request has n bytes and is not all there: reserve
  { s.pause(on) };                                 // stop (go on) receiving: back-pressure on this peer
  { s.send(pieces) } -> std::same_as<size_t>;      // bytes taken now; less than offered: wait for the writable event
  { s.close() };                                   // no more of either; idempotent
};

// Bytes that stay where they are until owner->release(token).
struct SharedPiece {
  std::span<const std::byte> bytes;
  net::TxOwner* owner;
  uint64_t token;
};

// A Stream that can send memory without copying it. Pieces are taken whole, from the front; the result is how many. The
// owner of a taken piece is told exactly once when the transport is done with it (perhaps before this returns); of one
// that was not taken the transport keeps nothing. Memory that it would copy all the same (shares() is false) is better
// offered to send().
template <class S>
concept SharingStream =
    Stream<S> && requires(S s, std::span<const SharedPiece> pieces, std::span<const std::byte> one) {
      { s.shares(one) } -> std::same_as<bool>;
      { s.room_to_share() } -> std::same_as<size_t>;  // bytes that would be taken now; of a part of them, whole pieces
      { s.send_shared(pieces) } -> std::same_as<size_t>;
    };

}  // namespace penstock::dataplane
