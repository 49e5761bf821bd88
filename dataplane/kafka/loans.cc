#include "dataplane/kafka/loans.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "dataplane/kafka/broker.h"
#include "dataplane/kafka/response.h"

namespace penstock::dataplane {

void Loans::ask(Broker& broker, ConnectionId who, const Response& response, bool watch) {
  CHECK(away_ == 0);
  give_back(broker);
  std::vector<std::pair<uint16_t, ViewPart>> parts;
  uint64_t bytes = 0;
  for (size_t i = response.next_records_; i < response.records_.size() && bytes < ViewPart::kBytes; ++i) {
    const Response::Records& records = response.records_[i];
    bytes += records.left();
    if (records.lcore == broker.lcore) continue;
    auto part = std::ranges::find(parts, records.lcore, &std::pair<uint16_t, ViewPart>::first);
    if (part == parts.end()) {
      parts.emplace_back(records.lcore, ViewPart{.owner = records.lcore, .watch = watch});
      part = parts.end() - 1;
    }
    part->second.items.push_back({.place = i, .cursor = records.cursor, .advance = records.sent});
  }
  number_ = broker.next_number();
  for (auto& [lcore, part] : parts) {
    ++away_;
    broker.send_part(lcore, who, number_, std::move(part));
  }
}

Loans::Home Loans::home(Broker& broker, Response* response, ParcelPtr parcel) {
  ViewPart& part = std::get<ViewPart>(parcel->part);
  const uint16_t lcore = part.owner;
  if (away_ == 0 || parcel->number != number_ || response == nullptr) {
    give_back(broker, lcore, std::move(parcel));
    return Home::kStranger;
  }
  --away_;
  for (const ViewPart::Item& item : part.items) {
    Response::Records& records = response->records_[item.place];
    records.cursor = item.cursor;
    records.sent = 0;
  }
  const bool is_next = part.items.front().place == response->next_records_;
  if (part.failed && is_next) {
    if (part.error != Errc::kWouldBlock) return Home::kLost;
    return part.watch ? Home::kReadingWatched : Home::kReading;
  }
  lent_.push_back({.lcore = lcore, .part = &part, .parcel = std::move(parcel)});
  return Home::kUseful;
}

Loans::Lent* Loans::find(size_t place) {
  for (Lent& lent : lent_) {
    if (std::ranges::find(lent.part->items, place, &ViewPart::Item::place) != lent.part->items.end()) return &lent;
  }
  return nullptr;
}

std::span<const std::span<const std::byte>> Loans::pieces_of(size_t place) {
  const Lent* lent = find(place);
  if (lent == nullptr) return {};
  const auto item = std::ranges::find(lent->part->items, place, &ViewPart::Item::place);
  return std::span(lent->part->pieces).subspan(item->first_piece, item->pieces);
}

std::optional<Lender::Token> Loans::share(Lender& lender, size_t place) {
  Lent* lent = find(place);
  if (lent == nullptr || lent->part->is_brief) return std::nullopt;
  if (!lent->token) lent->token = lender.open(lent->lcore, std::move(lent->parcel));
  return lent->token;
}

void Loans::give_back(Broker& broker) {
  for (Lent& lent : std::exchange(lent_, {})) {
    if (lent.token) {
      broker.lender.release(*lent.token);
    } else {
      give_back(broker, lent.lcore, std::move(lent.parcel));
    }
  }
}

void Loans::give_back(Broker& broker, uint16_t lcore, ParcelPtr parcel) {
  ViewPart& part = std::get<ViewPart>(parcel->part);
  part.items.clear();
  if (!part.lent.empty()) broker.mail->send(lcore, std::move(parcel));
}

}  // namespace penstock::dataplane
