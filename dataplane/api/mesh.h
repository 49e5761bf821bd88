// Mesh: the rings between lcores, one for each ordered pair, and the bell of each. Made by whoever makes the lcores;
// what goes through it is the dataplane's own.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "base/doorbell.h"
#include "base/ring.h"
#include "dataplane/api/types.h"
#include "storage/api/types.h"

namespace penstock::dataplane {

struct Parcel;  // dataplane/kafka/parcel.h

struct FreeParcel {
  void operator()(Parcel* parcel) const;
};
using ParcelPtr = std::unique_ptr<Parcel, FreeParcel>;

// Logs that somebody there waits for have more, or what was read for them has come. Each is said once: who waits on
// asks again.
struct LogsMoved {
  std::vector<storage::LogId> logs;
};
// A ring of the sender: all below durable is. Said when somebody there waits for it, and when it is poisoned.
struct RingMoved {
  uint16_t ring = 0;
  storage::Lsn durable;
  bool poisoned = false;
};
// What others hold of this ring of the sender (dataplane/kafka/lender.h), from a place below, is wanted back.
struct LoansRecalled {
  uint16_t ring = 0;
  storage::Lsn below;
};
// A connection for the receiver to serve.
struct Newcomer {
  int fd = -1;
  uint16_t listener = 0;
};
// So many of the newcomers have gone.
struct Departed {
  uint32_t count = 0;
};
// For AddressLimits, to lcore 0: a connection has come, and is gone; and from it: the first of these is one too many.
struct AddressCame {  // apart: letters stay small
  ConnectionId connection;
  std::string address;
};
struct AddressLeft {
  ConnectionId connection;
};
struct AddressRefused {
  ConnectionId connection;
};
struct Goodbye {};  // the sender stops and asks nothing any more

using Letter = std::variant<std::monostate, ParcelPtr, LogsMoved, RingMoved, LoansRecalled, Newcomer, Departed,
                            std::unique_ptr<AddressCame>, AddressLeft, AddressRefused, Goodbye>;

class Mesh {
 public:
  static constexpr size_t kLetters = 256;  // that one ring holds

  explicit Mesh(uint16_t lcores, size_t letters = kLetters) : lcores_(lcores), bells_(lcores) {
    for (uint16_t from = 0; from < lcores; ++from) {
      for (uint16_t to = 0; to < lcores; ++to)
        rings_.push_back(std::make_unique<SpscRing<Letter>>(from == to ? 1 : letters));
    }
  }

  uint16_t lcores() const { return lcores_; }
  SpscRing<Letter>& ring(uint16_t from, uint16_t to) { return *rings_[size_t{from} * lcores_ + to]; }
  // Before any lcore runs.
  void set_doorbell(uint16_t lcore, const Doorbell& doorbell) { bells_[lcore] = std::make_unique<NightBell>(doorbell); }
  NightBell& bell(uint16_t lcore) { return *bells_[lcore]; }

 private:
  const uint16_t lcores_;
  std::vector<std::unique_ptr<SpscRing<Letter>>> rings_;
  std::vector<std::unique_ptr<NightBell>> bells_;
};

}  // namespace penstock::dataplane
