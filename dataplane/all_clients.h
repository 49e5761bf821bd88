// AllClients: the connections of one lcore over all of its transports: kernel sockets, and the TCP stack of each
// device. What concerns one connection goes to the transport that its id names.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "dataplane/kafka/clients.h"
#include "dataplane/sockets/uring_stream.h"
#include "dataplane/tcp/tcp_stream.h"

namespace penstock::dataplane {

class AllClients {
 public:
  using Kernel = Clients<UringStream>;
  using Own = Clients<tcp::TcpStream>;

  explicit AllClients(Broker& broker) : broker_(broker), kernel_(broker) {}

  Kernel& kernel() { return kernel_; }
  Own& add_own() {
    own_.push_back(std::make_unique<Own>(broker_, own_.size() + 1));
    return *own_.back();
  }

  void answer(const Answer& answer) {
    with(answer.connection, [&](auto& clients) { clients.answer(answer); });
  }
  void home(ParcelPtr parcel) {
    const ConnectionId who = parcel->connection;
    with(who, [&](auto& clients) { clients.home(std::move(parcel)); });
  }
  // These concern what all of them share.
  void rings_moved(const RingMoved& said) { kernel_.rings_moved(said); }
  void logs_moved(const LogsMoved& said) { kernel_.logs_moved(said); }
  std::shared_ptr<const RoutingImage> publish(std::shared_ptr<const RoutingImage> image) {
    return kernel_.publish(std::move(image));
  }

  // Once a turn, behind store.poll(), with what that returned. Returns how many it woke.
  size_t wake(size_t completed) {
    collect_woken(broker_, completed, woken_);
    for (const ConnectionId id : woken_) {
      with(id, [&](auto& clients) { clients.resume(id); });
    }
    return woken_.size();
  }
  void refuse(ConnectionId id) {
    with(id, [&](auto& clients) { clients.refuse(id); });
  }
  void reap_idle(Nanos before) {
    each([&](auto& clients) { clients.reap_idle(before); });
  }
  void close_unread(Nanos now) {
    const size_t all = count();
    each([&](auto& clients) { clients.close_unread(now, all); });
  }
  void stop() {
    each([](auto& clients) { clients.stop(); });
  }
  void close_all() {
    each([](auto& clients) { clients.close_all(); });
  }
  size_t count() const {
    size_t n = kernel_.count();
    for (const auto& clients : own_) n += clients->count();
    return n;
  }

 private:
  template <class What>
  void with(ConnectionId id, What&& what) {
    const uint64_t transport = Kernel::transport_of(id);
    CHECK(transport <= own_.size());
    transport == 0 ? what(kernel_) : what(*own_[transport - 1]);
  }
  template <class What>
  void each(What&& what) {
    what(kernel_);
    for (const auto& clients : own_) what(*clients);
  }

  Broker& broker_;
  Kernel kernel_;
  std::vector<std::unique_ptr<Own>> own_;  // by device
  std::vector<ConnectionId> woken_;
};

}  // namespace penstock::dataplane
