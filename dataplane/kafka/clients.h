// Clients: the connections of one lcore over one transport, by the transport's slot: hands them the transport's events
// and wakes those whose wait is over. A template over the stream, like Connection. An lcore with several transports has
// one for each; a ConnectionId says which (dataplane/all_clients.h).
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <variant>
#include <vector>

#include "base/assert.h"
#include "dataplane/kafka/connection.h"

namespace penstock::dataplane {

// Once a turn, behind store.poll(), with what that returned: whose wait is over, of all transports.
inline void collect_woken(Broker& broker, size_t completed, std::vector<ConnectionId>& woken) {
  woken.clear();
  ++broker.wakes;
  if (completed > 0 || broker.store.any_poisoned()) broker.wakeups.device_moved();
  if (broker.answer_bytes < Broker::kAnswerBytesMax) broker.wakeups.room_made();
  broker.wakeups.collect(broker.store, broker.foreign, broker.now, woken);
}

template <Stream S>
class Clients {
 public:
  static constexpr uint64_t kTransports = 1 << 6;

  explicit Clients(Broker& broker, uint64_t transport = 0) : broker_(broker), transport_(transport) {
    CHECK(transport < kTransports);
  }

  static uint64_t transport_of(ConnectionId id) { return id.value() / kSlots % kTransports; }

  // The stream of slot has a new peer. It must live until its connection is closed.
  ConnectionId add(uint32_t slot, S& stream, uint16_t listener) {
    if (slot >= by_slot_.size()) by_slot_.resize(slot + 1);
    CHECK(by_slot_[slot] == nullptr && slot < kSlots);
    const ConnectionId id{(++serial_ * kTransports + transport_) * kSlots + slot};
    by_slot_[slot] = std::make_unique<Connection<S>>(broker_, stream, id, listener);
    ++count_;
    if constexpr (requires { stream.peer_address(); }) {
      if (broker_.address_news) broker_.address_news->came(id, stream.peer_address());
    }
    return id;
  }

  void received(uint32_t slot) {
    with(slot, [](auto& c) { c.on_received(); });
  }
  void writable(uint32_t slot) {
    with(slot, [](auto& c) { c.on_writable(); });
  }
  void ended(uint32_t slot) {
    with(slot, [](auto& c) { c.on_end(); });
  }
  void broken(uint32_t slot) {
    with(slot, [](auto& c) { c.on_broken(); });
  }

  void answer(const Answer& answer) {
    broker_.slow_answered(answer.connection);
    if (is_there(answer.connection)) {
      with(slot_of(answer.connection), [&](auto& c) { c.on_answer(answer.response); });
    }
  }

  // A part of a request of one of them has come back from another lcore. Its connection may be gone: what was lent to
  // it goes back.
  void home(ParcelPtr parcel) {
    --broker_.parts_out;
    const ConnectionId who = parcel->connection;
    if (is_there(who)) {
      with(slot_of(who), [&](auto& c) { c.on_parcel(std::move(parcel)); });
    } else if (std::holds_alternative<ViewPart>(parcel->part)) {
      Loans().home(broker_, nullptr, std::move(parcel));
    }
  }
  void rings_moved(const RingMoved& said) {
    broker_.foreign.moved(said);
    if (said.poisoned) broker_.wakeups.any_log_moved();  // what is parked for a log of it waits for nothing now
  }
  void logs_moved(const LogsMoved& said) {
    for (const storage::LogId log : said.logs) broker_.wakeups.log_moved(log);
  }

  // Makes image the one that requests see; returns the one before.
  std::shared_ptr<const RoutingImage> publish(std::shared_ptr<const RoutingImage> image) {
    std::swap(broker_.image, image);
    broker_.wakeups.image_changed();
    return image;
  }

  // For an lcore with one transport: wakes whose wait is over. Returns how many.
  size_t wake(size_t completed) {
    collect_woken(broker_, completed, woken_);
    for (const ConnectionId id : woken_) resume(id);
    return woken_.size();
  }
  void resume(ConnectionId id) {
    if (is_there(id)) with(slot_of(id), [this](auto& c) { c.resume(broker_.wakes); });
  }

  // Closes connections on which nothing moved since before; looks at some of them in each call.
  void reap_idle(Nanos before) {
    constexpr size_t kAtOnce = 4096;
    for (size_t i = 0; i < kAtOnce && i < by_slot_.size(); ++i) {
      reap_at_ = (reap_at_ + 1) % by_slot_.size();
      const auto& connection = by_slot_[reap_at_];
      if (connection == nullptr || connection->busy() || connection->last_active() >= before) continue;
      broker_.counters.add(Metric::connections_closed_idle);
      with(static_cast<uint32_t>(reap_at_), [](auto& c) { c.close(); });
    }
  }

  // Once a second or so. While requests wait for room: closes those that hold more than an equal share of it in answers
  // which they do not read, or too slowly. There is always one that holds so much, or all of it waits for the device:
  // so the waiting ends. all: the connections of the lcore, on every transport.
  void close_unread(Nanos now) { close_unread(now, count_); }
  void close_unread(Nanos now, size_t all) {
    if (!broker_.wakeups.any_waits_for_room() || all == 0) {
      short_since_ = 0;
      return;
    }
    if (short_since_ == 0) short_since_ = now;
    const size_t share = Broker::kAnswerBytesMax / all;
    for (uint32_t slot = 0; slot < by_slot_.size(); ++slot) {
      with(slot, [&](auto& c) { c.close_if_unread(now, short_since_, share); });
    }
  }

  // Its address has as many as it may.
  void refuse(ConnectionId id) {
    if (!is_there(id)) return;
    broker_.counters.add(Metric::connections_refused_address);
    with(slot_of(id), [](auto& c) { c.close(); });
  }

  void stop() {
    for (uint32_t slot = 0; slot < by_slot_.size(); ++slot) with(slot, [](auto& c) { c.stop(); });
  }
  void close_all() {
    for (uint32_t slot = 0; slot < by_slot_.size(); ++slot) with(slot, [](auto& c) { c.close(); });
  }
  size_t count() const { return count_; }

 private:
  static constexpr uint64_t kSlots = 1 << 24;

  static uint32_t slot_of(ConnectionId id) { return static_cast<uint32_t>(id.value() % kSlots); }
  bool is_there(ConnectionId id) const {
    const uint32_t slot = slot_of(id);
    return slot < by_slot_.size() && by_slot_[slot] != nullptr && by_slot_[slot]->id() == id;
  }

  template <class Event>
  void with(uint32_t slot, Event&& event) {
    if (slot >= by_slot_.size() || by_slot_[slot] == nullptr) return;
    event(*by_slot_[slot]);
    if (!by_slot_[slot]->closed()) return;
    if (broker_.address_news) broker_.address_news->left(by_slot_[slot]->id());
    by_slot_[slot].reset();
    --count_;
  }

  Broker& broker_;
  const uint64_t transport_;
  std::vector<std::unique_ptr<Connection<S>>> by_slot_;
  std::vector<ConnectionId> woken_;
  uint64_t serial_ = 0;
  size_t count_ = 0;
  size_t reap_at_ = 0;
  Nanos short_since_ = 0;  // requests have waited for room at each look since; 0: at the last one none did
};

}  // namespace penstock::dataplane
