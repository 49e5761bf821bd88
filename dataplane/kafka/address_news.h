// AddressNews: which connections of an lcore have come and gone since it told who counts them by address
// (dataplane/api/address_limits.h).
//
// Bounds: those that have come are there; those that are gone had been told. Who comes and goes before anything is told
// leaves nothing.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "base/assert.h"
#include "dataplane/api/mesh.h"
#include "dataplane/api/types.h"
#include "dataplane/kafka/mail.h"

namespace penstock::dataplane {

class AddressNews {
 public:
  // address is empty if the peer has gone already: such a connection counts for nobody.
  void came(ConnectionId who, std::string address) {
    if (!address.empty()) came_.emplace(who, std::move(address));
  }
  void left(ConnectionId who) {
    if (came_.erase(who) == 0) left_.push_back(who);
  }
  bool empty() const { return came_.empty() && left_.empty(); }
  void clear() {
    came_.clear();
    left_.clear();
  }

  // What to tell next. Goers first: an address that has all it may closes one and opens another.
  Letter next() {
    CHECK(!empty());
    if (!left_.empty()) {
      const ConnectionId gone = left_.front();
      left_.pop_front();
      return AddressLeft{.connection = gone};
    }
    auto first = came_.extract(came_.begin());
    return std::make_unique<AddressCame>(first.key(), std::move(first.mapped()));
  }
  // As much of it as there is room for now; the rest stays here.
  void send(Mail& mail, uint16_t to) {
    while (!empty() && !mail.waits(to)) mail.send(to, next());
  }

 private:
  std::map<ConnectionId, std::string> came_;  // and their addresses, until these are told
  std::deque<ConnectionId> left_;
};

}  // namespace penstock::dataplane
