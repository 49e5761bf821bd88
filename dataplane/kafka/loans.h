// Loans: record bytes of other lcores that one connection is about to send, from where they lie there. They are asked
// for when the socket takes bytes, at most ViewPart::kBytes an lcore, sent at once, and given back behind that send,
// whatever it took: so a slow client keeps nobody's memory. A transport that refers to them shares them: then they are
// the lender's (lender.h), and go home when it is done with them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/kafka/lender.h"
#include "dataplane/kafka/mail.h"
#include "dataplane/kafka/parcel.h"

namespace penstock::dataplane {

struct Broker;
class Response;

class Loans {
 public:
  // Asks the owners of what response sends next, as far as it is others'. with watch: they say when its log has moved.
  void ask(Broker& broker, ConnectionId who, const Response& response, bool watch);
  bool away() const { return away_ > 0; }
  bool any() const { return !lent_.empty(); }

  enum class Home : uint8_t {
    kStranger,  // not of the last ask: it was given back
    kUseful,
    kReading,         // the drive is being read for what comes next
    kReadingWatched,  // the same, and the owner will say when
    kLost,            // what comes next is gone or damaged
  };
  // A parcel of ask() has come back.
  Home home(Broker& broker, Response* response, ParcelPtr parcel);

  // The bytes of the answer's records at place, from its cursor on.
  std::span<const std::span<const std::byte>> pieces_of(size_t place);
  // The loan in which these bytes of the answer's records at place lie, for a transport that refers to them; nothing if
  // they must be given back at once. Good until give_back(), and longer for who counts on it.
  std::optional<Lender::Token> share(Lender& lender, size_t place);
  // All of it, to the owners. Nothing that was laid out from it may be sent any more.
  void give_back(Broker& broker);
  // The parcel of one loan.
  static void give_back(Broker& broker, uint16_t lcore, ParcelPtr parcel);

 private:
  struct Lent {
    uint16_t lcore;
    const ViewPart* part;
    ParcelPtr parcel;  // or, of one that is shared and the lender's,
    std::optional<Lender::Token> token{};
  };

  Lent* find(size_t place);

  std::vector<Lent> lent_;
  uint64_t number_ = 0;
  size_t away_ = 0;
};

}  // namespace penstock::dataplane
