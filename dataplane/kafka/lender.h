// Lender: record bytes that a transport of this lcore refers to where they lie, in this lcore's stores or another
// lcore's, until its peers have acknowledged them. Each loan is counted by the pieces of it that are out, and goes home
// when the last one is back. What a store recalls, because it needs the memory, the transports copy (begin_recall).
//
// Bounds: the transport's, which takes no more pieces than it could copy (dataplane/tcp/send_memory.h); and what a
// store says must be given back soon (Loan::is_brief) is not sent in this way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "dataplane/kafka/parcel.h"
#include "dataplane/stream.h"

namespace penstock::dataplane {

struct Broker;

class Lender final : public net::TxOwner {
 public:
  using Token = uint64_t;  // of one loan

  // Counted once, until the first release().
  Token open(storage::StoreSet::Lent lent);
  Token open(uint16_t lcore, ParcelPtr parcel);
  const ViewPart& part_of(Token token) const { return std::get<ViewPart>(loans_[token].parcel->part); }
  // One more piece of it is out.
  void count(Token token) { ++loans_[token].out; }
  void release(Token token) override;

  // Once a turn and behind the transports' work: asks the stores what they want back, and the other lcores for what
  // they have of it; gives home what is free. Returns how many loans went home.
  size_t settle(Broker& broker);
  // An lcore wants back what was lent of its ring below this place.
  void recall(uint16_t ring, storage::Lsn below);
  // Everything, from now on.
  void recall_all() { all_recalled_ = awaits_ = true; }
  // Whether anything was recalled since the last call: then the transports copy what is_recalled().
  bool begin_recall() { return (std::exchange(recall_due_, false) || all_recalled_) && any_out(); }
  bool is_recalled(Token token) const;
  // Whether some of that is still out, as a frame that waits for its neighbour's address: the devices are asked for it.
  bool awaits_recalled();

  bool any_out() const { return out_ > 0; }
  // The transports have had their time: everything goes home, whoever still has it.
  void give_up(Broker& broker);

 private:
  struct Loan {
    size_t out = 0;
    storage::StoreSet::Lent own{};
    uint16_t lcore = 0;
    ParcelPtr parcel{};  // another lcore's
  };
  struct Recalled {
    uint16_t ring;
    storage::Lsn below;
  };

  Token take_slot();
  Recalled& recalled(uint16_t ring);
  bool is_recalled(const storage::StoreSet::Lent& lent) const;
  void expect_recall(Token token);
  void give_home(Broker& broker, Loan loan);

  std::vector<Loan> loans_;
  std::vector<uint32_t> slots_;  // of loans_ that are free
  std::vector<Token> free_;      // nothing of them is out: they go home
  std::vector<Recalled> recalled_;
  size_t out_ = 0;  // loans
  bool recall_due_ = false;
  bool awaits_ = false;  // something was recalled, and not all of it has been seen home
  bool all_recalled_ = false;
  bool given_up_ = false;
};

}  // namespace penstock::dataplane
