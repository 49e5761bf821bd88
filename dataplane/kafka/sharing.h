// send_out(): what is laid out of a connection's answers goes to its transport: by reference where both sides can, so
// that record bytes are not touched again on their way out, else copied.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>

#include "dataplane/kafka/broker.h"
#include "dataplane/kafka/lender.h"
#include "dataplane/kafka/loans.h"
#include "dataplane/kafka/response.h"
#include "dataplane/stream.h"

namespace penstock::dataplane {

// Below this a reference costs more than a copy (DESIGN.md 5).
inline constexpr size_t kShareFrom = 256;
// A reference is given back whole: with larger ones much would stay lent for the last bytes of it.
inline constexpr size_t kShareMost = 64 * kKiB;

// The loan in which a laid out piece lies, counted once for the caller; nothing if it cannot be kept.
inline std::optional<Lender::Token> open_loan(Broker& broker, Loans& loans, const Outgoing::Origin& origin,
                                              std::span<const std::byte> piece) {
  switch (origin.kind) {
    case Outgoing::Origin::Kind::kHere: return std::nullopt;
    case Outgoing::Origin::Kind::kBorrowed: {
      const auto token = loans.share(broker.lender, origin.place);
      if (token) broker.lender.count(*token);
      return token;
    }
    case Outgoing::Origin::Kind::kStore: break;
  }
  const auto lent = broker.store.keep(origin.log, piece);
  if (!lent.loan.is_brief) return broker.lender.open(lent);
  broker.store.take_back(lent);
  return std::nullopt;
}

// One piece, of which the stream takes references; as much of it as there is room for. What is left of less than
// kShareFrom is copied, and so is all of it if it must not be kept, or too many references are out.
template <SharingStream S>
size_t send_shared_piece(S& stream, Broker& broker, Loans& loans, size_t number) {
  const std::span<const std::byte> piece = broker.outgoing.pieces()[number];
  Lender& lender = broker.lender;
  const auto token = open_loan(broker, loans, broker.outgoing.origin(number), piece);
  size_t sent = 0;
  while (token && sent < piece.size()) {
    const size_t n = std::min({piece.size() - sent, stream.room_to_share(), kShareMost});
    if (n < kShareFrom) break;
    lender.count(*token);
    const SharedPiece part{.bytes = piece.subspan(sent, n), .owner = &lender, .token = *token};
    if (stream.send_shared(std::span(&part, 1)) == 0) {
      lender.release(*token);
      break;
    }
    sent += n;
  }
  if (token) lender.release(*token);
  broker.counters.add(Metric::bytes_fetched_lent, sent);
  if (sent == piece.size()) return sent;
  const auto rest = piece.subspan(sent);
  return sent + stream.send(std::span(&rest, 1));
}

// Returns how many bytes the stream took.
template <Stream S>
size_t send_out(S& stream, Broker& broker, Loans& loans) {
  const auto pieces = broker.outgoing.pieces();
  if constexpr (SharingStream<S>) {
    const auto is_shared = [&](size_t i) {
      return broker.outgoing.origin(i).kind != Outgoing::Origin::Kind::kHere && pieces[i].size() >= kShareFrom &&
             stream.shares(pieces[i]);
    };
    size_t sent = 0;
    size_t offered = 0;
    for (size_t i = 0; i < pieces.size() && sent == offered;) {
      size_t end = i;
      for (; end < pieces.size() && !is_shared(end); ++end) offered += pieces[end].size();
      if (end > i) {
        sent += stream.send(pieces.subspan(i, end - i));
      } else {
        offered += pieces[i].size();
        sent += send_shared_piece(stream, broker, loans, end++);
      }
      i = end;
    }
    return sent;
  } else {
    return stream.send(pieces);
  }
}

}  // namespace penstock::dataplane
