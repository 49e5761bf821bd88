// Broker: what the Kafka handlers of one lcore work with. Passed by reference to all of them; knows no transport, so
// that the simulator runs connections, handlers and Store on one thread (tests/sim).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/clock.h"
#include "base/doorbell.h"
#include "base/ring.h"
#include "dataplane/api/messages.h"
#include "dataplane/api/routing.h"
#include "dataplane/api/types.h"
#include "dataplane/kafka/address_news.h"
#include "dataplane/kafka/fetch_sessions.h"
#include "dataplane/kafka/foreign_rings.h"
#include "dataplane/kafka/lender.h"
#include "dataplane/kafka/mail.h"
#include "dataplane/kafka/recompressor.h"
#include "dataplane/kafka/response.h"
#include "dataplane/kafka/wakeups.h"
#include "storage/api/store_set.h"

namespace penstock::dataplane {

struct Broker {
  // Frames that control holds at once, of all connections; a larger one goes when there is no other.
  static constexpr size_t kSlowBytesMax = 64 * kMiB;
  // Bytes of answers that wait for their clients to read, of all connections: at that no request begins.
  static constexpr size_t kAnswerBytesMax = 64 * kMiB;

  storage::StoreSet& store;
  const DataplaneOptions& options;
  DataplaneCounters& counters;
  SpscRing<Event>& events;
  const Doorbell* control_doorbell;  // nullptr: control looks without being rung
  uint16_t lcore = 0;
  Mail* mail = nullptr;                  // to the other lcores; nullptr: there is no other
  Recompressor* recompressor = nullptr;  // nullptr: batches stay as they came

  Nanos now = 0;                                        // of this turn
  std::shared_ptr<const RoutingImage> image = nullptr;  // null before the first
  Wakeups wakeups{};
  uint64_t wakes = 0;  // times that who waited was woken
  Outgoing outgoing{};
  Lender lender{};
  bool pins_freed = false;  // loans of this lcore's stores came home: who waits for their memory goes on
  std::unordered_map<ConnectionId, size_t> slow_frames{};  // bytes that control holds, until it answers
  size_t slow_bytes = 0;                                   // their sum

  size_t answer_bytes = 0;  // of answers that have not left
  FetchSessions sessions{};
  ForeignRings foreign{};  // what other lcores have said of theirs
  uint64_t last_number = 0;
  std::optional<AddressNews> address_news{};  // nothing: connections have no limit by address
  size_t parts_out = 0;                       // parcels of this lcore's that are with others

  // Of requests that other lcores work on.
  uint64_t next_number() { return ++last_number; }
  bool is_durable(storage::DurableAt at) const {
    return store.has_ring(at.ring) ? store.is_durable(at) : foreign.is_durable(at);
  }
  bool is_durable(const storage::DurableMark& mark) const {
    bool all = true;
    mark.for_each([&](const storage::DurableAt& at) { all = all && is_durable(at); });
    return all;
  }
  // Something of it is not durable and never will be: its ring is poisoned.
  bool is_lost(const storage::DurableMark& mark) const {
    bool lost = false;
    mark.for_each([&](const storage::DurableAt& at) {
      const bool poisoned = store.has_ring(at.ring) ? store.poisoned(at.ring) : foreign.poisoned(at.ring);
      lost = lost || (poisoned && !is_durable(at));
    });
    return lost;
  }
  // part goes to the lcore that can do it, and comes back to this connection with what it has found.
  template <class Part>
  void send_part(uint16_t to, ConnectionId who, uint64_t number, Part part) {
    ++parts_out;
    counters.add(Metric::parts_sent);
    mail->send(to, make_parcel(lcore, who, number, image->revision, std::move(part)));
  }

  // batch goes to be recompressed and comes back to this connection. False: not now, batch is as it was.
  bool send_batch(ConnectionId who, uint64_t number, RecompressPart& part) {
    const bool other_codec = protocol::view_of(part.batch).compression() != part.codec;  // else its keys are looked at
    ParcelPtr parcel = make_parcel(lcore, who, number, image->revision, std::move(part));
    if (!recompressor->try_send(parcel)) {
      part = std::move(std::get<RecompressPart>(parcel->part));
      return false;
    }
    ++parts_out;
    if (other_codec) counters.add(Metric::batches_recompressed);
    return true;
  }

  // Who waits for room comes first.
  bool has_room_for_answers() const { return answer_bytes < kAnswerBytesMax && !wakeups.any_waits_for_room(); }
  // False: too much is with control now; try again.
  bool admit_slow(ConnectionId who, size_t bytes) {
    if (slow_bytes > 0 && slow_bytes + bytes > kSlowBytesMax) return false;
    slow_bytes += bytes;
    slow_frames[who] = bytes;
    return true;
  }
  void slow_answered(ConnectionId who) {
    const auto found = slow_frames.find(who);
    if (found == slow_frames.end()) return;
    slow_bytes -= found->second;
    slow_frames.erase(found);
  }
  // Moves event to control; false and unmoved if its ring is full.
  bool tell_control(Event& event) {
    if (!events.try_push(event)) return false;
    if (control_doorbell != nullptr) control_doorbell->ring();
    return true;
  }
};

}  // namespace penstock::dataplane
