#include "dataplane/kafka/host.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "dataplane/kafka/epochs.h"
#include "dataplane/kafka/list_offsets.h"
#include "dataplane/kafka/look.h"
#include "dataplane/kafka/produce.h"

namespace penstock::dataplane {

Host::Peer& Host::peer(uint16_t lcore) {
  CHECK(lcore < kLcoresMax && lcore != broker_.lcore);
  if (peers_.size() <= lcore) peers_.resize(lcore + 1u);
  return peers_[lcore];
}

// life: 20
void Host::take(ParcelPtr parcel) {
  Peer& from = peer(parcel->home);
  // Control told the other lcore of a log before it told this one.
  const bool early = broker_.image == nullptr || parcel->revision > broker_.image->revision;
  if (early || !from.early.empty()) {
    from.early.push_back(std::move(parcel));
  } else {
    serve(std::move(parcel));
  }
}

void Host::serve(ParcelPtr parcel) {
  broker_.counters.add(Metric::parcels_served);
  Parcel& open = *parcel;
  if (std::holds_alternative<ProducePart>(open.part) && peer(open.home).held_of.contains(open.connection))
    return hold(std::move(parcel));
  if (!std::visit([&](auto& part) { return serve(open, part); }, open.part)) return hold(std::move(parcel));
  const auto* view = std::get_if<ViewPart>(&open.part);
  if (view != nullptr && view->items.empty()) return;  // it only brought back what was lent
  send_home(std::move(parcel));
}

void Host::send_home(ParcelPtr parcel) {
  const uint16_t home = parcel->home;
  broker_.mail->send(home, std::move(parcel));
}

// ---- Produce

// False: the device is behind.
bool Host::serve(Parcel& parcel, ProducePart& part) {
  for (; part.done < part.items.size(); ++part.done) {
    ProducePart::Item& item = part.items[part.done];
    const BufferChain& chain = item.own != nullptr ? *item.own : *part.chain;
    auto outcome = append_batch(broker_, item.log, item.epoch, chain, item.at, item.bytes, item.times);
    if (!outcome) return false;
    outcome->partition = item.outcome.partition;
    item.outcome = *outcome;
    if (item.outcome.error == ErrorCode::kNone) want(parcel.home, item.outcome.durable_at);
  }
  return true;
}

// Behind it wait later batches of its connection: they may be for the same partition.
void Host::hold(ParcelPtr parcel) {
  Peer& from = peer(parcel->home);
  ++from.held_of[parcel->connection];
  from.held.push_back(std::move(parcel));
}

size_t Host::go_on(Peer& peer) {
  size_t went_on = 0;
  std::unordered_set<ConnectionId> still_held;
  std::deque<ParcelPtr> held = std::exchange(peer.held, {});
  for (ParcelPtr& parcel : held) {
    ProducePart& part = std::get<ProducePart>(parcel->part);
    if (still_held.contains(parcel->connection) || !serve(*parcel, part)) {
      still_held.insert(parcel->connection);
      peer.held.push_back(std::move(parcel));
      continue;
    }
    const auto count = peer.held_of.find(parcel->connection);
    if (--count->second == 0) peer.held_of.erase(count);
    send_home(std::move(parcel));
    ++went_on;
  }
  return went_on;
}

// ---- what is answered at once

bool Host::serve(Parcel& parcel, LookPart& part) {
  Budget budget{.bytes_left = part.max_bytes};
  for (LookPart::Item& item : part.items) keep_settled(broker_.store, item.look, budget);
  for (LookPart::Item& item : part.items) {
    Look& look = item.look;
    if (!look.settled) {
      look_at(broker_.store, look, budget);
      if (look.cursor.remaining > 0) look.first_bytes = first_batch_bytes(broker_.store, look.cursor);
    }
    if (part.watch) watch(parcel.home, look.log);
  }
  return true;
}

bool Host::serve(Parcel& parcel, ListPart& part) {
  for (ListPart::Item& item : part.items) {
    look_up(broker_, part.version, item);
    if (part.watch && item.pending) watch(parcel.home, item.log);
  }
  return true;
}

bool Host::serve(Parcel&, EpochPart& part) {
  for (EpochPart::Item& item : part.items) find_epoch_end(broker_, item);
  return true;
}

bool Host::serve(Parcel& parcel, ViewPart& part) {
  for (const storage::StoreSet::Lent& lent : part.lent) broker_.store.take_back(lent);
  broker_.pins_freed = broker_.pins_freed || !part.lent.empty();
  part.lent.clear();
  part.pieces.clear();
  part.failed = part.is_brief = false;
  size_t room = ViewPart::kBytes;
  for (ViewPart::Item& item : part.items) {
    if (item.advance > 0) broker_.store.advance(item.cursor, std::exchange(item.advance, 0));
    item.first_piece = part.pieces.size();
    item.pieces = 0;
    if (room > 0 && !part.failed) lend(part, item, room);
  }
  if (part.failed && part.watch && !part.items.empty()) watch(parcel.home, part.items.front().cursor.log);
  return true;
}

// As much of it as there is room for.
void Host::lend(ViewPart& part, ViewPart::Item& item, size_t& room) {
  storage::ReadCursor cursor = item.cursor;
  while (cursor.remaining > 0 && room > 0 && part.pieces.size() < ViewPart::kPieces) {
    const size_t first = part.pieces.size();
    part.pieces.resize(ViewPart::kPieces);
    const auto lent = broker_.store.lend(cursor, room, std::span(part.pieces).subspan(first));
    const size_t count = lent ? lent->loan.pieces : 0;
    part.pieces.resize(first + count);
    if (count == 0) {
      room = 0;  // what follows is asked for when this has been sent
      if (!part.lent.empty()) return;
      part.failed = true;
      part.error = lent ? Errc::kNotFound : lent.error().code;
      return;
    }
    part.lent.push_back(*lent);
    part.is_brief = part.is_brief || lent->loan.is_brief;
    size_t bytes = 0;
    for (const auto piece : std::span(part.pieces).subspan(first)) bytes += piece.size();
    item.pieces += count;
    room -= bytes;
    broker_.store.advance(cursor, bytes);
  }
  if (part.pieces.size() == ViewPart::kPieces) room = 0;
}

// ---- once a turn

size_t Host::settle(size_t completed) {
  const bool pins_freed = std::exchange(broker_.pins_freed, false);
  if (pins_freed) broker_.wakeups.device_moved();
  if (broker_.mail == nullptr) return 0;
  size_t went_on = 0;
  const bool device_moved = completed > 0 || pins_freed || broker_.store.any_poisoned();
  for (Peer& from : peers_) {
    while (!from.early.empty() && broker_.image != nullptr && from.early.front()->revision <= broker_.image->revision) {
      serve(std::move(from.early.front()));
      from.early.pop_front();
      ++went_on;
    }
    if (device_moved && !from.held.empty()) went_on += go_on(from);
  }
  if (!watched_.empty()) {
    for (const storage::LogId log : broker_.store.advanced_logs()) log_moved(log);
    for (const storage::LogId log : broker_.store.readable_logs()) log_moved(log);
  }
  for (uint16_t lcore = 0; broker_.store.any_poisoned() && lcore < broker_.mail->lcores(); ++lcore) {
    if (lcore == broker_.lcore) continue;
    for (const uint16_t ring : broker_.store.rings())
      want(lcore, {.ring = ring, .lsn = storage::Lsn{0}});  // all are told
  }
  for (uint16_t lcore = 0; lcore < peers_.size(); ++lcore) {
    if (lcore != broker_.lcore) tell(lcore, peers_[lcore]);
  }
  return went_on;
}

void Host::give_up() {
  for (Peer& from : peers_) {
    from.held_of.clear();
    for (std::deque<ParcelPtr>* waiting : {&from.held, &from.early}) {
      for (ParcelPtr& parcel : std::exchange(*waiting, {})) {
        if (auto* part = std::get_if<ProducePart>(&parcel->part)) {
          for (; part->done < part->items.size(); ++part->done)
            part->items[part->done].outcome.error = ErrorCode::kKafkaStorageError;
        }
        send_home(std::move(parcel));
      }
    }
  }
}

void Host::log_moved(storage::LogId log) {
  const auto found = watched_.find(log);
  if (found == watched_.end()) return;
  for (uint16_t lcore = 0; lcore < peers_.size(); ++lcore) {
    if ((found->second >> lcore & 1) != 0) peers_[lcore].moved.push_back(log);
  }
  watched_.erase(found);
}

void Host::log_dropped(storage::LogId log) { log_moved(log); }

void Host::want(uint16_t lcore, storage::DurableAt at) {
  auto& rings = peer(lcore).rings;
  auto ring = std::ranges::find(rings, at.ring, &RingTold::ring);
  if (ring == rings.end()) ring = rings.insert(ring, RingTold{.ring = at.ring, .wanted = {}, .told = {}});
  ring->wanted = std::max(ring->wanted, at.lsn);
}

void Host::tell(uint16_t lcore, Peer& peer) {
  if (!peer.moved.empty()) broker_.mail->send(lcore, LogsMoved{.logs = std::exchange(peer.moved, {})});
  for (RingTold& ring : peer.rings) {
    const storage::Lsn durable = broker_.store.durable(ring.ring);
    const bool poisoned = broker_.store.poisoned(ring.ring);
    const bool is_news = ring.told < ring.wanted && ring.told < durable;
    if (!is_news && poisoned == ring.told_poisoned) continue;
    ring.told = durable;
    ring.told_poisoned = poisoned;
    broker_.mail->send(lcore, RingMoved{.ring = ring.ring, .durable = durable, .poisoned = poisoned});
  }
}

}  // namespace penstock::dataplane
