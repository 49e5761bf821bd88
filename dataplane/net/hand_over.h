// Segments that came to another lcore's queue than their connection's owner: they go there whole, by a bounded ring
// from each lcore to each other. What does not fit is lost, as on a wire, and counted. News of neighbours, which arrive
// at one queue, go to all.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <variant>
#include <vector>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/ring.h"
#include "dataplane/net/metrics.h"
#include "dataplane/net/network.h"
#include "dataplane/net/steering.h"

namespace penstock::dataplane::net {

class HandOver {
 public:
  using Item = std::variant<std::monostate, TcpPacket, IcmpError, NeighbourNews>;

  // capacity: items that wait from one lcore to one other; a power of two. It bounds the buffers held here.
  HandOver(unsigned stacks, size_t capacity) : stacks_(stacks) {
    for (unsigned i = 0; i < stacks * stacks; ++i) rings_.push_back(std::make_unique<SpscRing<Item>>(capacity));
  }

  // On lcore `from`. False: full; the item is as it was.
  [[nodiscard]] bool give(unsigned from, unsigned to, Item& item) { return ring(from, to).try_push(item); }

  // On lcore `to`: calls take(Item) for at most `budget` items of each other lcore.
  template <class Take>
  size_t drain(unsigned to, size_t budget, Take&& take) {
    size_t taken = 0;
    for (unsigned from = 0; from < stacks_; ++from) {
      for (size_t i = 0; i < budget; ++i) {
        auto item = ring(from, to).try_pop();
        if (!item) break;
        take(std::move(*item));
        ++taken;
      }
    }
    return taken;
  }
  // On lcore `to`: whether it must not go to sleep.
  bool waiting(unsigned to) const {
    for (unsigned from = 0; from < stacks_; ++from) {
      if (!ring(from, to).empty()) return true;
    }
    return false;
  }
  unsigned stacks() const { return stacks_; }

 private:
  SpscRing<Item>& ring(unsigned from, unsigned to) const {
    CHECK(from < stacks_ && to < stacks_);
    return *rings_[from * stacks_ + to];
  }

  const unsigned stacks_;
  std::vector<std::unique_ptr<SpscRing<Item>>> rings_;
};

// The sink of one lcore's Network::poll(): keeps what this lcore owns, for `Sink`, and hands the rest over. wake(lcore)
// is called for each item given, so that an owner that sleeps is woken.
template <class Sink, class Wake>
class SteeringSink {
 public:
  SteeringSink(unsigned self, const Steering& steering, HandOver& hand_over, Network& network, Sink& sink, Wake wake)
      : self_(self), steering_(steering), hand_over_(hand_over), network_(network), sink_(sink), wake_(wake) {}

  void on_packet(TcpPacket packet) {
    const auto tcp = packet.segment.bytes();
    if (tcp.size() < 4) return sink_.on_packet(std::move(packet));  // no ports: whoever looks at it drops it
    const unsigned to = steering_.owner_of({.source = packet.source,
                                            .destination = packet.destination,
                                            .source_port = load_be<uint16_t>(tcp.data()),
                                            .destination_port = load_be<uint16_t>(tcp.data() + 2)});
    if (to == self_) return sink_.on_packet(std::move(packet));
    give(to, HandOver::Item(std::move(packet)));
  }
  // By what it quotes, which we sent: the peer is its destination.
  void on_icmp(const IcmpError& error) {
    const unsigned to = steering_.owner_of({.source = error.destination,
                                            .destination = error.source,
                                            .source_port = error.destination_port,
                                            .destination_port = error.source_port});
    if (to == self_) return sink_.on_icmp(error);
    give(to, HandOver::Item(error));
  }
  void on_neighbour(const NeighbourNews& news) {
    for (unsigned to = 0; to < hand_over_.stacks(); ++to) {
      if (to != self_) give(to, HandOver::Item(news));
    }
  }
  // What others have handed to this lcore; at most `budget` of each.
  size_t take_handed(size_t budget) {
    return hand_over_.drain(self_, budget, [this](HandOver::Item item) {
      if (auto* packet = std::get_if<TcpPacket>(&item)) sink_.on_packet(std::move(*packet));
      if (const auto* error = std::get_if<IcmpError>(&item)) sink_.on_icmp(*error);
      if (const auto* news = std::get_if<NeighbourNews>(&item)) network_.on_neighbour(*news);
    });
  }

 private:
  void give(unsigned to, HandOver::Item item) {
    if (hand_over_.give(self_, to, item)) {
      network_.counters().add(NetMetric::net_handed_over);
      wake_(to);
    } else {
      network_.counters().add(NetMetric::net_hand_over_full);
    }
  }

  const unsigned self_;
  const Steering& steering_;
  HandOver& hand_over_;
  Network& network_;
  Sink& sink_;
  Wake wake_;
};

}  // namespace penstock::dataplane::net
