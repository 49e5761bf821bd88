// deliver(): an lcore's mail, a bounded part of each other lcore's in turn, to those whom it is for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <variant>

#include "dataplane/kafka/host.h"
#include "dataplane/kafka/mail.h"

namespace penstock::dataplane {

// other(from, letter) gets what is not about requests. Returns how many letters there were.
// clients: Clients, or those of several transports together.
template <class SomeClients, class Other>
size_t deliver(Mail& mail, Host& host, SomeClients& clients, Other&& other) {
  size_t taken = 0;
  for (uint16_t from = 0; from < mail.lcores(); ++from) {
    for (size_t n = 0; n < Mail::kAtOnce; ++n, ++taken) {
      auto letter = mail.next(from);
      if (!letter) break;
      if (auto* parcel = std::get_if<ParcelPtr>(&*letter)) {
        (*parcel)->home == mail.self() ? clients.home(std::move(*parcel)) : host.take(std::move(*parcel));
      } else if (const auto* logs = std::get_if<LogsMoved>(&*letter)) {
        clients.logs_moved(*logs);
      } else if (const auto* ring = std::get_if<RingMoved>(&*letter)) {
        clients.rings_moved(*ring);
      } else if (const auto* recalled = std::get_if<LoansRecalled>(&*letter)) {
        host.loans_recalled(*recalled);
      } else {
        other(from, std::move(*letter));
      }
    }
  }
  return taken;
}

}  // namespace penstock::dataplane
