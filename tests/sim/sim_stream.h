// SimStream: a client's connection from a seed: what the peer sends arrives in pieces of random size and at random
// moments, what is sent to it is taken in part, and both ends can stop. One that shares is as our own TCP by a device
// that refers to memory: what it is lent it keeps until its peer acknowledges it, some time after it was read, and then
// it must be as it was. Implements the SharingStream concept.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/prng.h"
#include "dataplane/stream.h"
#include "tests/sim/store_model.h"

namespace penstock::sim {

class SimStream {
 public:
  enum class Event : uint8_t { kNone, kReceived, kWritable, kEnded };

  explicit SimStream(uint64_t seed) : prng_(seed, 5) {}
  SimStream(const SimStream&) = delete;
  SimStream& operator=(const SimStream&) = delete;

  // ---- the Stream
  BufferChain& received() { return chain_; }
  void consume(size_t n) {
    chain_.consume(n);
    if (n > 0) wanted_ = 0;
  }
  BufferChain take(size_t n) {
    wanted_ = 0;
    return chain_.take_front(n);
  }
  void want(size_t n) {
    CHECK(n > chain_.size() && (wanted_ == 0 || wanted_ == n));
    wanted_ = n;
  }
  void pause(bool on) { paused_ = on; }
  size_t send(std::span<const std::span<const std::byte>> pieces) {
    if (closed_ || watches_) return 0;
    size_t offered = 0;
    for (const auto& piece : pieces) offered += piece.size();
    size_t room = std::min(offered, window_ - std::min(window_, to_peer_.size() - read_by_peer_));
    if (room > 0 && prng_.one_in(4)) room = prng_.below(room);
    watches_ = room < offered;
    for (size_t left = room; const auto& piece : pieces) {
      const auto part = piece.first(std::min(piece.size(), left));
      to_peer_.insert(to_peer_.end(), part.begin(), part.end());
      left -= part.size();
    }
    return room;
  }
  void close() {
    closed_ = true;
    chain_.clear();
  }
  bool shares(std::span<const std::byte>) const { return shares_; }
  size_t room_to_share() const {
    return closed_ || watches_ ? 0 : window_ - std::min(window_, to_peer_.size() - read_by_peer_);
  }
  size_t send_shared(std::span<const dataplane::SharedPiece> pieces) {
    size_t taken = 0;
    for (const dataplane::SharedPiece& piece : pieces) {
      if (room_to_share() == 0 || prng_.one_in(8)) break;
      to_peer_.insert(to_peer_.end(), piece.bytes.begin(), piece.bytes.end());
      lent_.push_back({piece, to_peer_.size()});
      ++taken;
    }
    return taken;
  }
  // As tcp::Stack::copy_out().
  template <class Wanted>
  size_t copy_out(const dataplane::net::TxOwner& owner, Wanted&& wanted) {
    size_t copied = 0;
    for (Lent& lent : std::exchange(lent_, {})) {
      if (lent.piece.owner == &owner && wanted(lent.piece.token)) {
        copied += lent.piece.bytes.size();
        give_back(lent);
      } else {
        lent_.push_back(lent);
      }
    }
    return copied;
  }

  // ---- the peer
  void peer_sends(std::span<const std::byte> bytes) { from_peer_.insert(from_peer_.end(), bytes.begin(), bytes.end()); }
  void peer_ends() { peer_ended_ = true; }
  void peer_reads(bool on) { reads_ = on; }
  void share(bool on) { shares_ = on; }
  void peer_window(size_t bytes) { window_ = bytes; }  // how much may be sent that it has not read
  bool closed() const { return closed_; }
  bool peer_at_end() const { return closed_ && read_by_peer_ == to_peer_.size(); }  // it has read all that came
  bool paused() const { return paused_; }
  size_t wanted() const { return wanted_; }
  size_t sent() const { return to_peer_.size(); }  // to the peer
  size_t undelivered() const { return from_peer_.size() - delivered_; }
  // The next whole answer that the peer has read, without its length.
  std::optional<std::vector<std::byte>> next_answer() {
    if (read_by_peer_ - taken_ < 4) return std::nullopt;
    const auto length = static_cast<size_t>(load_be<int32_t>(to_peer_.data() + taken_));
    if (read_by_peer_ - taken_ - 4 < length) return std::nullopt;
    const auto from = to_peer_.begin() + static_cast<std::ptrdiff_t>(taken_ + 4);
    taken_ += 4 + length;
    return std::vector(from, from + static_cast<std::ptrdiff_t>(length));
  }

  // ---- the wire: does at most one thing; what the owner must be told
  Event step() {
    if (reads_) read_by_peer_ += prng_.below(to_peer_.size() - read_by_peer_ + 1);
    if (!lent_.empty()) acknowledge();
    if (closed_) return Event::kNone;
    if (watches_ && read_by_peer_ == to_peer_.size()) {
      watches_ = false;
      return Event::kWritable;
    }
    if (paused_ || prng_.one_in(4)) return Event::kNone;
    if (undelivered() > 0) {
      deliver();
      return Event::kReceived;
    }
    if (!peer_ended_ || end_told_) return Event::kNone;
    end_told_ = true;
    return Event::kEnded;
  }

 private:
  struct Lent {
    dataplane::SharedPiece piece;
    size_t end;  // in to_peer_
  };
  // What has been read, or nothing for a long time: the segment is lost, and sent again.
  void acknowledge() {
    if (lost_ > 0 && --lost_ > 0) return;
    if (prng_.one_in(40)) lost_ = static_cast<int>(prng_.between(1, 300));
    while (!lent_.empty() && lent_.front().end <= read_by_peer_ && !prng_.one_in(4)) {
      give_back(lent_.front());
      lent_.pop_front();
    }
  }
  void give_back(const Lent& lent) {
    const auto begin = to_peer_.begin() + static_cast<std::ptrdiff_t>(lent.end - lent.piece.bytes.size());
    CHECK(std::equal(lent.piece.bytes.begin(), lent.piece.bytes.end(), begin));  // else what is sent again is not it
    lent.piece.owner->release(lent.piece.token);
  }
  void deliver() {
    // As a network card delivers: often some segments, sometimes a byte, sometimes all that there is.
    const size_t most = prng_.one_in(8) ? 1 : prng_.one_in(3) ? undelivered() : 3000;
    const size_t n = prng_.between(1, std::min(most, undelivered()));
    const auto bytes = std::span(from_peer_).subspan(delivered_, n);
    delivered_ += n;
    const auto room = chain_.tail_room();
    const size_t topped = prng_.one_in(2) ? std::min(n, room.size()) : 0;
    std::copy_n(bytes.begin(), topped, room.begin());
    if (topped > 0) chain_.filled(topped);
    const auto rest = bytes.subspan(topped);
    if (rest.empty()) return;
    Buffer buffer(pool_, {new std::byte[rest.size() + 100], rest.size() + 100}, 0);
    std::copy(rest.begin(), rest.end(), buffer.room().begin());
    buffer.filled(rest.size());
    chain_.append(std::move(buffer));
  }

  Prng prng_;
  HeapPool pool_;
  BufferChain chain_;
  std::vector<std::byte> from_peer_;
  size_t delivered_ = 0;
  std::vector<std::byte> to_peer_;
  size_t read_by_peer_ = 0;
  size_t taken_ = 0;  // by next_answer()
  std::deque<Lent> lent_;
  int lost_ = 0;  // steps without an acknowledgement
  bool shares_ = false;
  size_t window_ = 100'000;
  size_t wanted_ = 0;
  bool paused_ = false;
  bool watches_ = false;
  bool reads_ = true;
  bool peer_ended_ = false;
  bool end_told_ = false;
  bool closed_ = false;
};

static_assert(dataplane::SharingStream<SimStream>);

}  // namespace penstock::sim
