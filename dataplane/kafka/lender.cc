#include "dataplane/kafka/lender.h"

#include <algorithm>

#include "base/assert.h"
#include "dataplane/kafka/broker.h"
#include "dataplane/kafka/loans.h"

namespace penstock::dataplane {

Lender::Token Lender::take_slot() {
  if (slots_.empty()) {
    slots_.push_back(static_cast<uint32_t>(loans_.size()));
    loans_.emplace_back();
  }
  const Token token = slots_.back();
  slots_.pop_back();
  ++out_;
  loans_[token].out = 1;
  return token;
}

Lender::Token Lender::open(storage::StoreSet::Lent lent) {
  const Token token = take_slot();
  loans_[token].own = lent;
  expect_recall(token);
  return token;
}

Lender::Token Lender::open(uint16_t lcore, ParcelPtr parcel) {
  const Token token = take_slot();
  loans_[token].lcore = lcore;
  loans_[token].parcel = std::move(parcel);
  expect_recall(token);
  return token;
}

// Of a recall that went further than what is next now.
void Lender::expect_recall(Token token) {
  if (is_recalled(token)) recall_due_ = awaits_ = true;
}

void Lender::release(Token token) {
  if (given_up_) return;
  CHECK(loans_[token].out > 0);
  if (--loans_[token].out == 0) free_.push_back(token);
}

void Lender::give_home(Broker& broker, Loan loan) {
  if (loan.parcel != nullptr) return Loans::give_back(broker, loan.lcore, std::move(loan.parcel));
  broker.store.take_back(loan.own);
  broker.pins_freed = true;
}

size_t Lender::settle(Broker& broker) {
  for (const uint16_t ring : broker.store.rings()) {
    const storage::Lsn below = broker.store.recalled(ring);
    if (below <= recalled(ring).below) continue;
    recall(ring, below);
    if (broker.mail == nullptr) continue;
    for (uint16_t lcore = 0; lcore < broker.mail->lcores(); ++lcore) {
      if (lcore != broker.lcore) broker.mail->send(lcore, LoansRecalled{.ring = ring, .below = below});
    }
  }
  const size_t home = free_.size();
  for (const Token token : std::exchange(free_, {})) {
    give_home(broker, std::exchange(loans_[token], {}));
    slots_.push_back(static_cast<uint32_t>(token));
    --out_;
  }
  return home;
}

Lender::Recalled& Lender::recalled(uint16_t ring) {
  const auto found = std::ranges::find(recalled_, ring, &Recalled::ring);
  return found != recalled_.end() ? *found : recalled_.emplace_back(Recalled{.ring = ring, .below = storage::Lsn{0}});
}

void Lender::recall(uint16_t ring, storage::Lsn below) {
  Recalled& known = recalled(ring);
  if (below <= known.below) return;
  known.below = below;
  recall_due_ = awaits_ = true;
}

bool Lender::is_recalled(const storage::StoreSet::Lent& lent) const {
  const auto found = std::ranges::find(recalled_, lent.ring, &Recalled::ring);
  return found != recalled_.end() && lent.loan.cold == nullptr && lent.loan.memory_from < found->below;
}

bool Lender::is_recalled(Token token) const {
  const Loan& loan = loans_[token];
  if (all_recalled_) return true;
  if (loan.parcel == nullptr) return is_recalled(loan.own);
  return std::ranges::any_of(part_of(token).lent, [this](const auto& lent) { return is_recalled(lent); });
}

bool Lender::awaits_recalled() {
  for (Token token = 0; awaits_ && token < loans_.size(); ++token)
    if (loans_[token].out > 0 && is_recalled(token)) return true;
  return awaits_ = false;
}

void Lender::give_up(Broker& broker) {
  given_up_ = true;
  for (Loan& loan : loans_) {
    if (loan.parcel != nullptr || loan.own.loan.pieces > 0) give_home(broker, std::exchange(loan, {}));
  }
  free_.clear();
  out_ = 0;
}

}  // namespace penstock::dataplane
