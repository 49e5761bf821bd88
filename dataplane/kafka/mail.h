// Mail: one lcore's ends of the Mesh. A letter goes into the ring at once, or waits here, in order, until there is
// room: nobody spins and nothing is dropped. What waits is bounded by who makes it: parcels by their connections
// (parcel.h), of the rest one letter a peer and matter (an address that is refused: one a connection, so
// max.connections); who has more to say than that keeps it until nothing waits here (address_news.h).
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "dataplane/api/mesh.h"
#include "dataplane/api/types.h"
#include "dataplane/kafka/parcel.h"

namespace penstock::dataplane {

class Mail {
 public:
  static constexpr size_t kAtOnce = 64;  // letters of a peer in one turn, before others have theirs

  Mail(std::shared_ptr<Mesh> mesh, uint16_t self, DataplaneCounters& counters)
      : mesh_(std::move(mesh)), self_(self), counters_(counters), peers_(mesh_->lcores()) {}

  uint16_t self() const { return self_; }
  uint16_t lcores() const { return mesh_->lcores(); }

  void send(uint16_t to, Letter letter) {
    DCHECK(to != self_);
    Peer& peer = peers_[to];
    counters_.add(Metric::letters_sent);
    peer.unrung = true;
    if (peer.waiting.empty() && mesh_->ring(self_, to).try_push(letter)) return;
    counters_.add(Metric::letters_delayed);
    peer.waiting.push_back(std::move(letter));
  }

  // What waited, as far as there is room now, and the bells of those who were written to.
  void flush() {
    for (uint16_t to = 0; to < peers_.size(); ++to) {
      Peer& peer = peers_[to];
      while (!peer.waiting.empty() && mesh_->ring(self_, to).try_push(peer.waiting.front())) {
        peer.waiting.pop_front();
        peer.unrung = true;
      }
      if (std::exchange(peer.unrung, false)) mesh_->bell(to).ring();
    }
  }
  // Something for that lcore could not be pushed.
  bool waits(uint16_t to) const { return !peers_[to].waiting.empty(); }
  // Something could not be pushed: for room nobody rings.
  bool retrying() const {
    for (const Peer& peer : peers_) {
      if (!peer.waiting.empty()) return true;
    }
    return false;
  }

  // The next letter of peer.
  std::optional<Letter> next(uint16_t peer) {
    return peer == self_ ? std::nullopt : mesh_->ring(peer, self_).try_pop();
  }
  bool empty() const {
    for (uint16_t from = 0; from < peers_.size(); ++from) {
      if (from != self_ && !mesh_->ring(from, self_).empty()) return false;
    }
    return true;
  }
  NightBell& bell() { return mesh_->bell(self_); }

 private:
  struct Peer {
    std::deque<Letter> waiting;
    bool unrung = false;
  };

  const std::shared_ptr<Mesh> mesh_;
  const uint16_t self_;
  DataplaneCounters& counters_;
  std::vector<Peer> peers_;
};

}  // namespace penstock::dataplane
